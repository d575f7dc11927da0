package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tidings-mesh/tidings/chain/store"
)

type backupCmd struct {
	DataDir string `placeholder:"DIR" required:"" help:"The data directory to copy."`
	Dest    string `arg:"" help:"Directory to make, which must not be there yet."`
}

// Help is the long text of the command.
func (c *backupCmd) Help() string {
	return "It copies the data directory of an agent on this host, whether that runs or not, and checks the copy before it gets its name." +
		" The copy holds the node's key: keep it as secret as the directory itself. To restore, stop the agent, put the copy in the" +
		" place of the directory, and start the agent: it takes what is newer from its peers."
}

// Run copies a data directory.
func (c *backupCmd) Run(s *session) error {
	if _, err := os.Stat(filepath.Join(c.DataDir, "identity.json")); err != nil {
		return fmt.Errorf("%s is no data directory: %w", c.DataDir, err)
	}
	if inside(c.Dest, c.DataDir) {
		return usagef("%s is in the data directory: name one elsewhere, best on another disk", c.Dest)
	}
	began := time.Now()
	running, bytes, err := c.copy(s)
	if err != nil {
		return err
	}
	if s.json() {
		return s.printJSON(map[string]any{
			"path": c.Dest, "bytes": bytes, "running": running, "seconds": time.Since(began).Seconds(),
		})
	}
	return s.printLine("%s", plain(c.Dest))
}

// inside reports whether a path is to be below a directory, as far as links are
// resolved where it is to be.
func inside(path, dir string) bool {
	path, err := filepath.Abs(path)
	if err != nil {
		return false // to copy there fails as well
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(parent, filepath.Base(path))
	}
	if dir, err = filepath.Abs(dir); err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	below, rel := filepath.Rel(dir, path)
	return err == nil && rel == nil && filepath.IsLocal(below)
}

// copy reports whether an agent ran, and how much was copied.
func (c *backupCmd) copy(s *session) (running bool, bytes int64, err error) {
	said := time.Now()
	progress := func(done, total int64) {
		if bytes = done; time.Since(said) >= time.Second {
			said = time.Now()
			s.say("%d of %d MiB", done>>20, total>>20)
		}
	}
	held, err := askSnapshot(s.ctx, c.DataDir)
	if err == nil {
		err = store.Backup(s.ctx, held.Path, c.Dest, progress)
		return true, bytes, errors.Join(err, held.Close())
	}
	if !errors.Is(err, errNoControl) {
		return true, 0, fmt.Errorf("the agent on %s: %w", c.DataDir, err)
	}
	// No agent: nobody may start one while the files are copied.
	dir, err := store.OpenDir(c.DataDir, store.DirOptions{})
	if errors.Is(err, store.ErrInUse) {
		return true, 0, fmt.Errorf("%w, which has no %s: a program that embeds a node backs it up by Node.Backup; or it is about to start", err, controlFile)
	} else if err != nil {
		return false, 0, err
	}
	if dir.Damaged() {
		err = fmt.Errorf("%w: start the agent on it once, which mends it", store.ErrDamaged)
	} else {
		err = store.Backup(s.ctx, dir.Path(), c.Dest, progress)
	}
	return false, bytes, errors.Join(err, dir.Close())
}
