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
// or the machine stops.
func CursorFile(path string) CursorStore { return cursorFile(path) }

type cursorFile string

// maxCursor bounds what is read of a file, well above the longest cursor.
const maxCursor = 8 << 20

// Load reads the file. One that is absent or empty holds nothing yet.
func (f cursorFile) Load(context.Context) (string, error) {
	// A pipe would hold the opening up, and Save would take a device's place.
	info, err := os.Stat(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: no regular file", f)
	}
	if err != nil {
		return "", err
	}
	file, err := os.Open(string(f))
	if err != nil {
		return "", err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxCursor+1))
	if err == nil && len(b) > maxCursor {
		err = fmt.Errorf("%s: more than %d bytes: not a cursor", f, maxCursor)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(b)), nil
}

// Save replaces the file.
func (f cursorFile) Save(_ context.Context, cursor string) error {
	path := string(f)
	// One name for each process: what a crash leaves is written over by the next.
	temporary := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d.tmp", filepath.Base(path), os.Getpid()))
	err := writeSynced(temporary, cursor+"\n")
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		// The cause is worth more than what becomes of the remains.
		_ = os.Remove(temporary)
		return err
	}
	return syncDir(filepath.Dir(path))
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
