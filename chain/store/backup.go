package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// membersFile is gossip's: whom to ask for what is missing.
const membersFile = "members.json"

// Progress hears how far a copy is, in bytes of all files.
type Progress func(done, total int64)

// Backup copies a data directory, which nobody may write to meanwhile, to dest,
// which must not be there: a Snapshot's, or one that is not in use. Its files are
// synced, read back and compared with the note of what they have to hold; only
// then is the copy given its name. A copy that fails or is cut short leaves
// nothing at dest.
//
// A backup holds the node's key (it has mode 0700) and counts as moved: a node
// that starts on it asks its peers for its own chain before it appends.
func Backup(ctx context.Context, from, dest string, progress Progress) (err error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	if dest, err = filepath.Abs(dest); err != nil {
		return err
	}
	if _, err := os.Lstat(dest); err == nil {
		return fmt.Errorf("%s is there already: name a directory that is not", dest)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c := &copying{ctx: ctx, from: from, progress: progress}
	if err := c.list(); err != nil {
		return err
	}
	above := filepath.Dir(dest)
	if err := c.fits(above); err != nil {
		return err
	}
	if c.to, err = os.MkdirTemp(above, filepath.Base(dest)+".partial-"); err != nil { // mode 0700
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(c.to))
		}
	}()
	if err := c.run(); err != nil {
		return err
	}
	if err := check(ctx, c.to); err != nil {
		return fmt.Errorf("the copy is not good: %w", err)
	}
	for _, dir := range []string{filepath.Join(c.to, dbDir), c.to} {
		if err := (osFiles{}).syncDir(dir); err != nil {
			return err
		}
	}
	if err := os.Rename(c.to, dest); err != nil {
		return err
	}
	return osFiles{}.syncDir(above)
}

// copying is a data directory's copy under way.
type copying struct {
	ctx         context.Context
	from, to    string
	files       []string // below from
	done, total int64    // bytes
	progress    Progress
}

// list finds what belongs to a data directory. What a salvage has set aside does
// not, nor do locks.
func (c *copying) list() error {
	entries, err := os.ReadDir(filepath.Join(c.from, dbDir))
	if err != nil {
		return err
	}
	for _, name := range []string{noteFile, membersFile} {
		if _, err := os.Lstat(filepath.Join(c.from, name)); err == nil {
			c.files = append(c.files, name)
		}
	}
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name() != lockFile {
			c.files = append(c.files, filepath.Join(dbDir, e.Name()))
		}
	}
	for _, name := range c.files {
		info, err := os.Lstat(filepath.Join(c.from, name))
		if err != nil {
			return err
		}
		c.total += info.Size()
	}
	return nil
}

// fits says what is missing of the space that the copy takes.
func (c *copying) fits(dir string) error {
	usage, err := vfs.Default.GetDiskUsage(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there: make it first", dir)
	}
	if err == nil && usage.AvailBytes < uint64(c.total) {
		return fmt.Errorf("no room in %s: the copy takes %d KiB, and %d KiB are free", dir, (c.total+1023)>>10, usage.AvailBytes>>10)
	}
	return nil // where the space is not known, the copy finds out
}

func (c *copying) run() error {
	if err := (osFiles{}).mkdir(filepath.Join(c.to, dbDir)); err != nil {
		return err
	}
	if err := c.identity(); err != nil {
		return err
	}
	c.progress(0, c.total)
	for _, name := range c.files {
		if err := c.file(name); err != nil {
			return err
		}
	}
	return nil
}

// identity copies the identity without the place where it was written, so that
// no directory passes for that one, whatever inodes it gets.
func (c *copying) identity() error {
	b, err := os.ReadFile(filepath.Join(c.from, identityFile))
	if err != nil {
		return err
	}
	id, err := decodeIdentity(b)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(c.from, identityFile), err)
	}
	id.Place = Place{}
	return replaceFile(osFiles{}, filepath.Join(c.to, identityFile), func(string) ([]byte, error) { return id.encode() })
}

func (c *copying) file(name string) error {
	from, err := os.Open(filepath.Join(c.from, name))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := osFiles{}.create(filepath.Join(c.to, name))
	if err != nil {
		return err
	}
	for err == nil {
		var n int64
		n, err = io.CopyN(to, from, 1<<20)
		c.done += n
		c.progress(c.done, c.total)
		if err == nil {
			err = c.ctx.Err()
		}
	}
	if errors.Is(err, io.EOF) {
		err = to.Sync()
	}
	return errors.Join(err, to.Close())
}

// copyFile copies a small file that may be absent.
func copyFile(disk files, from, to string) error {
	b, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return replaceFile(disk, to, func(string) ([]byte, error) { return b, nil })
}
