package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidings-mesh/tidings/chain"
)

// ErrDamaged is wrapped by OpenStore when what is stored does not read back, or
// did not while the store was open last. Dir.Salvage mends it. A disk that
// reports errors, a file that may not be read and another format are no damage.
var ErrDamaged = errors.New("damaged store")

// Names inside a data directory. What was set aside is never touched again: it
// is for people.
const (
	markFile    = "damaged"     // why the next opening must salvage
	salvageDir  = "salvage"     // a new store under way
	salvagedDir = "db.salvaged" // the new store, whole, on its way to its place
	aside       = ".damaged-%d" // after the name of what was set aside
)

// Salvaged says what Salvage has set aside.
type Salvaged struct {
	Aside  []string // paths, of the damaged store and note
	NoNote bool     // the note was damaged too, or alone
}

// damage tells damage from all else that keeps a store from being opened.
func damage(err error) bool {
	var errno syscall.Errno
	switch {
	case err == nil, errors.Is(err, ErrFormat), errors.Is(err, fs.ErrPermission):
		return false
	case errors.Is(err, chain.ErrCorrupt), errors.Is(err, fs.ErrNotExist):
		return true
	case errors.As(err, &errno), errors.Is(err, chain.ErrStoreFailed):
		return false // the system's word, or a write that failed
	}
	return true // Pebble cannot make sense of a file
}

// unlocked reports whether no other Pebble holds the store, such as one that
// this process has abandoned.
func (d *Dir) unlocked(disk vfs.FS) bool {
	lock, err := disk.Lock(filepath.Join(d.path, dbDir, "LOCK"))
	return err == nil && lock.Close() == nil
}

// MarkDamaged has the next OpenStore fail with ErrDamaged, so that the store is
// salvaged then.
func (d *Dir) MarkDamaged(why error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return chain.ErrClosed
	}
	return markDamaged(d.path, why)
}

func markDamaged(path string, why error) error {
	mark := filepath.Join(path, markFile)
	if _, err := os.Lstat(mark); err == nil {
		return nil // what was met first says most
	}
	return replaceFile(osFiles{}, mark, func(string) ([]byte, error) { return []byte(why.Error() + "\n"), nil })
}

// Damaged reports whether the next OpenStore will fail with ErrDamaged.
func (d *Dir) Damaged() bool {
	_, err := os.Lstat(filepath.Join(d.path, markFile))
	return err == nil
}

// checkMark returns the damage that was met before.
func (d *Dir) checkMark() error {
	b, err := os.ReadFile(filepath.Join(d.path, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("data directory %s: %w", d.path, err)
	}
	return fmt.Errorf("%w: met while it was open last: %w: %s", ErrDamaged, chain.ErrCorrupt, strings.TrimSpace(string(b)))
}

// Salvage mends a store for which OpenStore returned ErrDamaged, or in which a
// ledger met damage. Where only the note beside it is damaged, that is set
// aside. Otherwise rebuild fills a new store from what the damaged one still
// gives, which may answer any call with chain.ErrCorrupt; the note is nil if it
// is damaged too; it must not use the directory. Then the new store takes the place of the damaged one, which
// is set aside beside it. From then on the directory counts as changed, for the
// end of its own chain may be lost: see Adopt and Rekey. A salvage that is cut
// short is finished, or begun anew, by the next opening.
func (d *Dir) Salvage(why error, o Options, rebuild func(from chain.Reader, note []byte, to chain.Store) error) (Salvaged, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return Salvaged{}, chain.ErrClosed
	}
	out, err := d.salvage(why, o.withDefaults(), rebuild)
	if err != nil {
		return out, fmt.Errorf("salvage store %s: %w", d.path, err)
	}
	return out, nil
}

func (d *Dir) salvage(why error, o Options, rebuild func(chain.Reader, []byte, chain.Store) error) (Salvaged, error) {
	note, _, noteErr := readNote(o.FS, notePath(o.FS, d.path))
	if noteErr != nil && !damage(noteErr) {
		return Salvaged{}, noteErr
	}
	if !errors.Is(why, ErrNote) || d.Damaged() {
		if err := d.fill(note, o, rebuild); err != nil {
			return Salvaged{}, err
		}
	}
	// Before the new store is in its place: its key must not be used as if
	// nothing had happened.
	id := d.id.clone()
	id.Place = Place{}
	if err := d.write(&id, func(string) error { return nil }); err != nil {
		return Salvaged{}, err
	}
	d.id, d.unchanged = id, false
	out := Salvaged{NoNote: noteErr != nil || note == nil}
	if out.NoNote {
		path, err := d.setAside(noteFile)
		if err != nil {
			return out, err
		}
		if path != "" {
			out.Aside = append(out.Aside, path)
		}
		// The store knows of a note; an empty one misses nothing.
		if err := writeNote(o.FS, notePath(o.FS, d.path), nil); err != nil {
			return out, err
		}
	}
	path, err := d.settle()
	if path != "" {
		out.Aside = append(out.Aside, path)
	}
	return out, err
}

// fill makes the new store.
func (d *Dir) fill(note []byte, o Options, rebuild func(chain.Reader, []byte, chain.Store) error) error {
	under := filepath.Join(d.path, salvageDir)
	if err := d.files.removeAll(under); err != nil {
		return err
	}
	from, err := openWreck(filepath.Join(d.path, dbDir), filepath.Join(under, "raw"), o)
	if err != nil {
		return err
	}
	to, err := OpenPebble(under, o)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	err = rebuild(from, note, to)
	if err = errors.Join(err, to.Close(), from.Close()); err != nil {
		return err
	}
	if err := d.files.rename(filepath.Join(under, dbDir), filepath.Join(d.path, salvagedDir)); err != nil {
		return err
	}
	return errors.Join(d.files.syncDir(under), d.files.syncDir(d.path))
}

// settle puts a store that was salvaged into its place, if there is one, and
// returns where the damaged one went. It goes on wherever it was cut short.
func (d *Dir) settle() (path string, err error) {
	fresh := filepath.Join(d.path, salvagedDir)
	if there, err := d.files.exists(fresh); err != nil || !there {
		return "", err
	}
	if path, err = d.setAside(dbDir); err != nil {
		return path, err
	}
	if err := d.files.remove(filepath.Join(d.path, markFile)); err != nil {
		return path, err
	}
	if err := d.files.rename(fresh, filepath.Join(d.path, dbDir)); err != nil {
		return path, err
	}
	if err := (osFiles{}).syncDir(d.path); err != nil {
		return path, err
	}
	return path, d.files.removeAll(filepath.Join(d.path, salvageDir))
}

// setAside renames what is in the directory to a name that was not there, and
// returns its path, empty if there was nothing.
func (d *Dir) setAside(name string) (string, error) {
	from := filepath.Join(d.path, name)
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	for n := 1; ; n++ {
		to := from + fmt.Sprintf(aside, n)
		switch _, err := os.Lstat(to); {
		case errors.Is(err, fs.ErrNotExist):
			if err := d.files.rename(from, to); err != nil {
				return "", err
			}
			return to, d.files.syncDir(d.path)
		case err != nil:
			return "", err
		}
	}
}

// onDamage is what a store of the directory does at the first damage that it
// meets while it is open.
func (d *Dir) onDamage(log *slog.Logger) func(error) {
	return func(why error) {
		log.Error("stored data is damaged, and nothing more is written: restart this node, which then sets the store aside and carries over what is whole",
			slog.String("dir", d.path), slog.String("error", why.Error()))
		if err := markDamaged(d.path, why); err != nil {
			log.Error("cannot mark the store as damaged", slog.String("dir", d.path), slog.Any("error", err))
		}
		d.damage.Store(&why)
	}
}

// Damage is what was met while the store was open, nil if nothing was. The store
// is dead then, and the next OpenStore fails with ErrDamaged.
func (d *Dir) Damage() error {
	if why := d.damage.Load(); why != nil {
		return *why
	}
	return nil
}
