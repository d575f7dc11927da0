package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidings-mesh/tidings/chain"
)

// ErrSnapshot is wrapped by Dir.Snapshot while another snapshot of the
// directory is open.
var ErrSnapshot = errors.New("a snapshot of the data directory is in use")

// SnapshotDir is where a snapshot is, inside a data directory. What a process
// that was killed left there the next opening removes.
const SnapshotDir = "snapshot"

// Snapshot is a data directory that stays as it is while the one that it was
// taken of goes on. Its tables are hard links, so it takes no space at first; what the
// store compacts away afterwards takes space until Close. It holds the node's key.
type Snapshot struct {
	dir    *Dir
	closes sync.Once
	err    error // of the close
}

// Snapshot takes a snapshot of the directory and of its store, which has to be
// open and synced, with a note of all that is in it. Nothing may be committed
// meanwhile: the store's writer calls it. A failure of it leaves the store as
// it is. There is one at a time.
func (d *Dir) Snapshot(s *Disk) (*Snapshot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, chain.ErrClosed
	case d.snapped:
		return nil, ErrSnapshot
	case d.Damaged():
		return nil, fmt.Errorf("data directory %s: %w: restart its node, which mends it", d.path, ErrDamaged)
	}
	if err := d.snapshot(s); err != nil {
		return nil, errors.Join(fmt.Errorf("snapshot of data directory %s: %w", d.path, err), d.files.removeAll(filepath.Join(d.path, SnapshotDir)))
	}
	d.snapped = true
	return &Snapshot{dir: d}, nil
}

func (d *Dir) snapshot(s *Disk) error {
	path := filepath.Join(d.path, SnapshotDir)
	if err := d.files.removeAll(path); err != nil {
		return err
	}
	if err := d.files.mkdir(path); err != nil {
		return err
	}
	for _, name := range []string{identityFile, noteFile, membersFile} {
		if err := copyFile(d.files, filepath.Join(d.path, name), filepath.Join(path, name)); err != nil {
			return err
		}
	}
	return s.checkpoint(dbPath(s.fs, path))
}

// Path is the snapshot's directory.
func (s *Snapshot) Path() string { return filepath.Join(s.dir.path, SnapshotDir) }

// Close removes the snapshot. It is idempotent.
func (s *Snapshot) Close() error {
	s.closes.Do(func() {
		s.dir.mu.Lock()
		defer s.dir.mu.Unlock()
		if s.dir.snapped && !s.dir.closed { // else it is gone, and what is there may be another's
			s.err = s.dir.files.removeAll(s.Path())
			s.dir.snapped = false
		}
	})
	return s.err
}

// checkpoint makes a Pebble at path of what is committed, all of which must be
// synced. It is not on the committer, whose errors are the store's end.
func (d *Disk) checkpoint(path string) error {
	if !d.gate.enter() {
		return chain.ErrClosed
	}
	defer d.gate.leave()
	if err := d.g.check(); err != nil {
		return err
	}
	return readError(d.peek(func() error { return d.db.Checkpoint(path) }))
}

// besideFS is guardFS but for what is below a snapshot: a write there that fails
// takes nothing from the store.
type besideFS struct {
	guardFS
	snapshot string // its path
}

func (f besideFS) beside(name string) bool {
	return name == f.snapshot || strings.HasPrefix(name, f.snapshot+string(filepath.Separator))
}

// of is the file system for a name.
func (f besideFS) of(name string) vfs.FS {
	if f.beside(name) {
		return f.FS
	}
	return f.guardFS
}

func (f besideFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.of(name).Create(name, category)
}

func (f besideFS) OpenDir(name string) (vfs.File, error) { return f.of(name).OpenDir(name) }

func (f besideFS) Link(from, to string) error { return f.of(to).Link(from, to) }

func (f besideFS) Rename(from, to string) error { return f.of(to).Rename(from, to) }

func (f besideFS) Remove(name string) error { return f.of(name).Remove(name) }

func (f besideFS) RemoveAll(name string) error { return f.of(name).RemoveAll(name) }
