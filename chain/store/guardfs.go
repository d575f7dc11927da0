package store

import (
	"errors"
	"runtime"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guardFS is the file system that Pebble sees. The first write that fails
// kills the store, and a dead store's writes do not reach the disk.
//
// The committer itself touches files only where Pebble changes from one log to
// the next. There Pebble panics at a failure, with a mutex unlocked that its
// deferred calls unlock again, which ends the process past any recover. So no
// failure is ever returned to the committer: it is parked instead. Failures
// elsewhere, such as those of the goroutine that writes the log, are returned,
// and Pebble reports them by Fatalf or as a background error.
type guardFS struct {
	vfs.FS
	g *guard
}

// wrote passes on the outcome of a write, which kills the store if it failed.
func (g *guard) wrote(what, path string, err error) error {
	if err != nil && g.armed.Load() {
		_ = g.fail(what+" "+path, err)
		g.parkCommitter()
	}
	return err
}

// refuse is why a write must not be tried, nil while the store lives.
func (g *guard) refuse() error {
	err := g.check()
	if err != nil && g.armed.Load() {
		g.parkCommitter()
	}
	return err
}

func (f guardFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(f.PathBase(name), "marker.") {
		if err := f.settle(f.PathDir(name)); err != nil {
			return nil, err
		}
	}
	file, err := f.open("create", name, func() (vfs.File, error) { return f.FS.Create(name, category) })
	if err == nil && strings.HasSuffix(name, tableSuffix) {
		return newTableFile(file), nil
	}
	return file, err
}

func (f guardFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open("reuse", newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, category) })
}

func (f guardFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.open("open", name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, category, opts...) })
}

// settle syncs a directory before Pebble makes a marker in it. The marker's name
// is that of a manifest that was just made, and Pebble syncs the directory only
// after both: where a power loss keeps the later entry and not the earlier one,
// the store could not be opened.
func (f guardFS) settle(dir string) error {
	if err := f.g.refuse(); err != nil {
		return err
	}
	d, err := f.OpenDir(dir)
	if err != nil {
		return f.g.wrote("open", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f guardFS) open(what, name string, open func() (vfs.File, error)) (vfs.File, error) {
	if err := f.g.refuse(); err != nil {
		return nil, err
	}
	file, err := open()
	if f.g.wrote(what, name, err) != nil {
		return nil, err
	}
	return &guardFile{File: file, g: f.g, name: name}, nil
}

func (f guardFS) OpenDir(name string) (vfs.File, error) {
	d, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardDir{guardFile{File: d, g: f.g, name: name}}, nil
}

func (f guardFS) Link(oldname, newname string) error {
	if err := f.g.refuse(); err != nil {
		return err
	}
	return f.g.wrote("link", newname, f.FS.Link(oldname, newname))
}

func (f guardFS) Rename(oldname, newname string) error {
	if err := f.g.refuse(); err != nil {
		return err
	}
	return f.g.wrote("rename", newname, f.FS.Rename(oldname, newname))
}

// Remove keeps a dead store's files. A failure only leaves garbage.
func (f guardFS) Remove(name string) error {
	if err := f.g.refuse(); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

func (f guardFS) RemoveAll(name string) error {
	if err := f.g.refuse(); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

// GetDiskUsage hides a failed look, which Pebble would report as a background
// error though nothing was lost.
func (f guardFS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	usage, err := f.FS.GetDiskUsage(path)
	if err != nil {
		return vfs.DiskUsage{}, vfs.ErrUnsupported
	}
	return usage, nil
}

func (f guardFS) Unwrap() vfs.FS { return f.FS }

// guardFile is a file, or directory, that Pebble may write to or sync.
type guardFile struct {
	vfs.File
	g    *guard
	name string
}

func (f *guardFile) Write(p []byte) (int, error) {
	if err := f.g.refuse(); err != nil {
		return 0, err
	}
	n, err := f.File.Write(p)
	return n, f.g.wrote("write", f.name, err)
}

func (f *guardFile) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.g.refuse(); err != nil {
		return 0, err
	}
	n, err := f.File.WriteAt(p, offset)
	return n, f.g.wrote("write", f.name, err)
}

func (f *guardFile) Sync() error {
	if err := f.g.refuse(); err != nil {
		return err
	}
	return f.g.wrote("sync", f.name, f.File.Sync())
}

func (f *guardFile) SyncData() error {
	if err := f.g.refuse(); err != nil {
		return err
	}
	return f.g.wrote("sync", f.name, f.File.SyncData())
}

func (f *guardFile) SyncTo(length int64) (bool, error) {
	if err := f.g.refuse(); err != nil {
		return false, err
	}
	full, err := f.File.SyncTo(length)
	return full, f.g.wrote("sync", f.name, err)
}

// Stat is for a log that is used again.
func (f *guardFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	return info, f.g.wrote("stat", f.name, err)
}

// Close closes the file in any case. Pebble may have kept the reason to panic
// from a write before.
func (f *guardFile) Close() error {
	if err := f.g.wrote("close", f.name, f.File.Close()); err != nil {
		return err
	}
	return f.g.refuse()
}

// guardDir is a directory that Pebble may sync. Where that fails as it moves to
// another manifest Pebble panics, on a goroutine of its own as well, which
// would end the process. There the goroutine ends instead, as at Fatalf.
type guardDir struct{ guardFile }

func (f *guardDir) Sync() error {
	err := f.guardFile.Sync()
	if err != nil && !onStack(recovering) {
		_ = f.g.fail("sync "+f.name, err)
		runtime.Goexit()
	}
	return err
}
