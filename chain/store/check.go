package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// check reads the whole of a data directory that is not in use: every block of
// its store has a good checksum, a ledger opens on it, and every head that the note
// beside it names is there. It leaves no trace.
func check(ctx context.Context, path string) (err error) {
	o := Options{}.withDefaults()
	note, _, err := readNote(o.FS, notePath(o.FS, path))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNote, err)
	}
	b, err := os.ReadFile(filepath.Join(path, identityFile))
	if err != nil {
		return err
	}
	id, err := decodeIdentity(b)
	if err != nil {
		return err
	}
	w, err := openPlain(dbPath(o.FS, path), o, true)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, w.Close(), osFiles{}.remove(filepath.Join(dbPath(o.FS, path), lockFile)))
	}()
	if version, _, err := checkFormat(w.db); err != nil {
		return err
	} else if version == 0 {
		return errNoVersion
	}
	if err := readAll(ctx, w); err != nil {
		return err
	}
	ledger, err := chain.NewLedger(stillStore{w, note}, chain.Config{
		Key: id.private(), Node: id.Name, Authority: id.Authority, Predecessor: id.Predecessor, Former: id.formerKeys(),
	}, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	lost, err := chain.NewArchive(ledger).CheckNote(note)
	if err == nil && len(lost) > 0 {
		err = fmt.Errorf("%w: %d chains end before what was noted of them, as that of origin %s, noted with seq %d; start the node on its directory, which fetches what is missing",
			chain.ErrCorrupt, len(lost), lost[0].Origin, lost[0].Seq)
	}
	return err
}

// readAll reads every key and value.
func readAll(ctx context.Context, from chain.Reader) error {
	it := from.Scan(nil, nil)
	for n := 0; it.Next(); n++ {
		_ = it.Value()
		if n%1024 == 0 && ctx.Err() != nil {
			return errors.Join(ctx.Err(), it.Close())
		}
	}
	return it.Close()
}

// stillStore is a store that is only read.
type stillStore struct {
	*wreck
	note []byte
}

var _ chain.Store = stillStore{}

var errReadOnly = errors.New("opened for reading only")

// Commit implements [chain.Store]. It refuses, as Sync and Mark do.
func (s stillStore) Commit(*chain.Batch, bool) error { return errReadOnly }

// Sync implements [chain.Store].
func (s stillStore) Sync() error { return errReadOnly }

// Mark implements [chain.Store].
func (s stillStore) Mark([]byte) error { return errReadOnly }

// Note implements [chain.Store].
func (s stillStore) Note() []byte { return s.note }

// Durable implements [chain.Store].
func (s stillStore) Durable() bool { return true }

// Bytes implements [chain.Store].
func (s stillStore) Bytes() int64 { return 0 }
