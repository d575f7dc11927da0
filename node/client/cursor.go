package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// CursorStore keeps a consumer's place. One that keeps it in the same transaction
// as what the consumer makes of a batch makes that happen exactly once: it then
// need not do anything in Save.
type CursorStore interface {
	// Load returns what was saved last, "" for nothing yet.
	Load(ctx context.Context) (cursor string, err error)
	// Save keeps a cursor. Its context does not end with that of the feed: the
	// batch is done with.
	Save(ctx context.Context, cursor string) error
}

// CursorFile keeps the cursor in a file of this path, which belongs to one
// consumer. It is replaced as a whole and synced, with its directory, so that
// whoever reads it gets the last cursor or the one before, whenever the process
// or the machine stops. Load finds out whether it can be, before anything was
// delivered. Save finds that somebody else has written it, or taken it away,
// rather than to write over a place that is not its own; two that save at the same
// time it does not always find.
func CursorFile(path string) CursorStore {
	return &cursorFile{path: path, number: cursorFiles.Add(1)}
}

type cursorFile struct {
	path   string
	number int64 // among those of the process

	mu    sync.Mutex // protects what follows, and the file
	place string     // what it holds, as far as is known here
	known bool       // by Load or Save
}

var cursorFiles atomic.Int64

// maxCursor bounds what is read of a file, well above the longest cursor.
const maxCursor = 8 << 20

// Load reads the file. One that is absent or empty holds nothing yet.
func (f *cursorFile) Load(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	place, err := f.read()
	if err == nil {
		err = f.checkReplaceable()
	}
	if err != nil {
		return "", err
	}
	f.place, f.known = place, true
	return place, nil
}

// Save replaces the file.
func (f *cursorFile) Save(_ context.Context, cursor string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known {
		if place, err := f.read(); err != nil || place != f.place {
			return errors.Join(err, fmt.Errorf("%s: it was changed by somebody else: a cursor file belongs to one consumer", f.path))
		}
	}
	temporary := f.temporary()
	err := writeSynced(temporary, cursor+"\n")
	if err == nil {
		err = os.Rename(temporary, f.path)
	}
	if err != nil {
		// The cause is worth more than what becomes of the remains.
		_ = os.Remove(temporary)
		return err
	}
	f.place, f.known = strings.TrimSpace(cursor), true
	return syncDir(filepath.Dir(f.path))
}

func (f *cursorFile) read() (string, error) {
	// A pipe would hold the opening up, and Save would take a device's place.
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: no regular file", f.path)
	}
	if err != nil {
		return "", err
	}
	file, err := os.Open(f.path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxCursor+1))
	if err == nil && len(b) > maxCursor {
		err = fmt.Errorf("%s: more than %d bytes: not a cursor", f.path, maxCursor)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(b)), nil
}

// temporary is a name of its own for each cursor file of a process, and the same
// when that is started again in its place: what a crash leaves is written over.
func (f *cursorFile) temporary() string {
	return filepath.Join(filepath.Dir(f.path), fmt.Sprintf(".%s.%d.%d.tmp", filepath.Base(f.path), os.Getpid(), f.number))
}

// checkReplaceable reports what would keep Save from replacing the file.
func (f *cursorFile) checkReplaceable() error {
	if f.path == "" {
		return errors.New("the path of a cursor file is empty")
	}
	temporary := f.temporary()
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(temporary))
}

func writeSynced(path, content string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteString(content); err != nil {
		return err
	}
	return f.Sync()
}
