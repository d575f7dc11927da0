package store

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

var (
	// ErrInUse is wrapped by OpenDir when another opening, of this or another
	// process, holds the directory.
	ErrInUse = errors.New("data directory in use")
	// ErrOtherNode is wrapped by OpenDir when the directory was begun under
	// another name or authority than was asked for.
	ErrOtherNode = errors.New("data directory of another node")
)

// Names inside a data directory.
const (
	lockFile     = "LOCK"
	identityFile = "identity.json"
)

// DirOptions say whose directory is to be opened.
type DirOptions struct {
	// Name and Authority, if given, must be what the directory began with.
	Name, Authority string
	// DefaultName names a new directory's node where Name is empty. The
	// authority defaults to the name.
	DefaultName string
	// Now is the time to record in a new identity; zero is the system's.
	Now time.Time
}

// Dir is a node's data directory, locked for this process:
//
//	LOCK           held by flock(2) while open; has the process ID as text
//	identity.json  the node's key and where it was written, mode 0600
//	heads          the note beside the store; see Disk.Mark
//	db/            the store
//	damaged        there if damage was met: the next opening must salvage
//	*.damaged-N    what Salvage has set aside
//	snapshot/      there while a Snapshot is open
//
// Its methods may be called by any number of goroutines.
type Dir struct {
	path   string
	lock   *dirLock
	files  files
	damage atomic.Pointer[error] // met by the open store

	mu        sync.Mutex // protects all below
	id        Identity
	unchanged bool
	fresh     bool
	snapped   bool // a snapshot is open
	closed    bool
}

// OpenDir locks the data directory path, making it (mode 0700) and the node's
// identity if they are not there. A directory that is in use, is not a
// directory, cannot be written to, is not a data directory, is of another
// format version or of another node is an error and is left as it is.
func OpenDir(path string, o DirOptions) (*Dir, error) {
	for _, name := range []string{o.Name, o.Authority, o.DefaultName} {
		if name != "" {
			if err := chain.CheckName(name); err != nil {
				return nil, fmt.Errorf("data directory %s: %w", path, err)
			}
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	if err := prepareDir(path); err != nil {
		return nil, err
	}
	lock, err := lockDir(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, lock: lock, files: osFiles{}}
	if err := d.load(o); err != nil {
		return nil, errors.Join(err, lock.release())
	}
	if err := d.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", path, err), lock.release())
	}
	if err := lock.sign(); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", path, err), lock.release())
	}
	return d, nil
}

// prepareDir makes path where there is nothing, and refuses what must not be
// touched. It looks at names only; contents wait for the lock.
func prepareDir(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := makeDir(osFiles{}, path); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("data directory: %w", err)
	case !info.IsDir():
		return fmt.Errorf("data directory %s is not a directory", path)
	}
	if err := writable(path); err != nil {
		return fmt.Errorf("data directory %s is not writable: %w", path, err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("data directory %s: %w", path, err)
	}
	for _, e := range entries {
		if e.Name() == lockFile || e.Name() == identityFile {
			return nil
		}
	}
	if len(entries) > 0 {
		return fmt.Errorf("%w: directory %s is not empty and no data directory", ErrFormat, path)
	}
	return nil
}

// load reads the identity, or makes one.
func (d *Dir) load(o DirOptions) error {
	file := filepath.Join(d.path, identityFile)
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return d.begin(o)
	} else if err != nil {
		return fmt.Errorf("data directory %s: %w", d.path, err)
	}
	id, err := decodeIdentity(b)
	if err != nil {
		return fmt.Errorf("data directory %s: %s: %w", d.path, identityFile, err)
	}
	if o.Name != "" && o.Name != id.Name {
		return fmt.Errorf("%w: %s has name %q, not %q", ErrOtherNode, d.path, id.Name, o.Name)
	}
	if o.Authority != "" && o.Authority != id.Authority {
		return fmt.Errorf("%w: %s has authority %q, not %q", ErrOtherNode, d.path, id.Authority, o.Authority)
	}
	if _, err := d.settle(); err != nil {
		return fmt.Errorf("data directory %s: put the salvaged store into its place: %w", d.path, err)
	}
	if _, err := os.Stat(filepath.Join(d.path, dbDir)); id.Store && errors.Is(err, fs.ErrNotExist) {
		// The key without its chain would use seqs again.
		return fmt.Errorf("data directory %s: %w: %s had a store and %s is missing; put it back, or start with an "+
			"empty directory", d.path, chain.ErrCorrupt, identityFile, dbDir)
	}
	here, err := d.whereabouts(file)
	if err != nil {
		return fmt.Errorf("data directory %s: %w", d.path, err)
	}
	d.id, d.unchanged = id, id.Place.is(here)
	return nil
}

// begin makes the identity of a new directory.
func (d *Dir) begin(o DirOptions) error {
	for _, name := range []string{dbDir, noteFile} {
		if _, err := os.Lstat(filepath.Join(d.path, name)); err == nil {
			return fmt.Errorf("data directory %s: %w: %s is there and %s is missing; put it back, or start with an "+
				"empty directory", d.path, chain.ErrCorrupt, name, identityFile)
		}
	}
	name := o.Name
	if name == "" {
		name = o.DefaultName
	}
	if err := chain.CheckName(name); err != nil {
		return fmt.Errorf("new data directory %s: %w", d.path, err)
	}
	id := Identity{Name: name, Authority: o.Authority, Created: whole(o.Now)}
	if id.Authority == "" {
		id.Authority = name
	}
	id.newKey()
	if err := d.record(&id); err != nil {
		return err
	}
	d.id, d.unchanged, d.fresh = id, true, true
	return nil
}

// sweep removes what writes that were cut short have left.
func (d *Dir) sweep() error {
	var err error
	for _, name := range []string{identityFile, noteFile, markFile} {
		err = errors.Join(err, d.files.remove(filepath.Join(d.path, name+tempSuffix)))
	}
	return errors.Join(err, d.files.removeAll(filepath.Join(d.path, SnapshotDir)))
}

// Path is the directory's absolute path.
func (d *Dir) Path() string { return d.path }

// Identity returns a copy of what the directory says of its node.
func (d *Dir) Identity() Identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id.clone()
}

// Key is the private key that signs the node's chain.
func (d *Dir) Key() ed25519.PrivateKey {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id.private()
}

// FormerKeys are the keys that signed the chains which the node wrote before, the
// oldest first.
func (d *Dir) FormerKeys() []ed25519.PrivateKey {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id.formerKeys()
}

// Origin names the node's chain.
func (d *Dir) Origin() chain.Origin {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id.Origin
}

// Fresh reports whether OpenDir made the identity.
func (d *Dir) Fresh() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fresh
}

// Unchanged reports whether the machine, and the inodes and the ages of the
// directory, the identity and the store, are those that were recorded: false for
// a copy, such as a restored backup, also of the store alone. It cannot see that a
// whole file system or machine image was set back, nor that files were
// overwritten in place. Where a system has no inodes it is false.
func (d *Dir) Unchanged() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unchanged
}

// Adopt records where the identity is now, after its chain was recovered, so
// that Unchanged is true again. It is durable when it returns.
func (d *Dir) Adopt() error {
	return d.update(func(*Identity) {})
}

// Rekey gives the node a new key, and so a new origin that names the one
// before as its predecessor, and records where the identity is now. The old
// key is kept. It is durable when it returns.
func (d *Dir) Rekey(now time.Time) error {
	return d.update(func(id *Identity) {
		id.Previous = append(id.Previous, FormerKey{Origin: id.Origin, Key: id.Key, Created: id.Created, Until: whole(now)})
		id.Predecessor = id.Origin
		id.Created = whole(now)
		id.newKey()
	})
}

func (d *Dir) update(change func(*Identity)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return chain.ErrClosed
	}
	id := d.id.clone()
	change(&id)
	if err := d.record(&id); err != nil {
		return err
	}
	d.id, d.unchanged = id, id.Place.known()
	return nil
}

// OpenStore opens the directory's store, or makes one. Close it before the
// directory. o.FS must be nil: the lock is the operating system's. Damage is
// ErrDamaged; met while the store is open, it is noted in the directory, and the
// next OpenStore says so.
func (d *Dir) OpenStore(o Options) (*Disk, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, chain.ErrClosed
	}
	if o.FS != nil {
		return nil, errors.New("a data directory is on the operating system's file system")
	}
	if err := d.checkMark(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	o.onDamage = d.onDamage(o.Logger)
	s, err := OpenPebble(d.path, o)
	if (damage(err) || d.id.Store && errors.Is(err, errNoVersion)) && d.unlocked(o.FS) {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil || d.id.Store {
		return s, err
	}
	// From now on the key must not be used without the store, which has
	// nothing in it yet.
	id := d.id.clone()
	id.Store = true
	if err := d.rewrite(&id); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	d.id = id
	return s, nil
}

// Close unlocks the directory, and removes a snapshot that is still open. It is
// idempotent.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	var err error
	if d.snapped {
		err = d.files.removeAll(filepath.Join(d.path, SnapshotDir))
	}
	return errors.Join(err, d.lock.release())
}
