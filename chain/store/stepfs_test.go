package store_test

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// call is one call of a store to its file system.
type call struct {
	n     int // counted from 0
	name  string
	path  string
	write bool // it may change the disk
	size  int  // bytes to write
}

// how a call fails.
type how struct {
	err   error
	short bool // a write does half of its work first
	late  bool // all of it is done all the same
}

// sectorSize is what a disk writes over as a whole or not at all.
const sectorSize = 512

// stepFS counts every call that reaches a file system, and has some fail. One
// call runs at a time, so that a copy of the disk can be taken between two.
type stepFS struct {
	under vfs.FS

	mu   sync.Mutex
	n    int
	fail func(call) *how   // nil to let it pass
	torn func(call) func() // what to do half way through a write
}

// do runs a call, unless it is to fail.
func (s *stepFS) do(name, path string, write bool, run func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.step(call{name: name, path: path, write: write})
	if h == nil {
		return run()
	}
	if h.late {
		return errors.Join(h.err, run())
	}
	return h.err
}

func (s *stepFS) step(c call) *how {
	c.n = s.n
	s.n++
	if s.fail == nil {
		return nil
	}
	return s.fail(c)
}

func (s *stepFS) file(name, path string, write bool, open func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	err := s.do(name, path, write, func() (err error) {
		file, err = open()
		return err
	})
	if err != nil {
		if file != nil {
			_ = file.Close()
		}
		return nil, err
	}
	return &stepFile{file, s, path}, nil
}

func (s *stepFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return s.file("create", name, true, func() (vfs.File, error) { return s.under.Create(name, category) })
}

func (s *stepFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return s.file("open", name, false, func() (vfs.File, error) { return s.under.Open(name, opts...) })
}

func (s *stepFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return s.file("open for writing", name, true, func() (vfs.File, error) { return s.under.OpenReadWrite(name, category, opts...) })
}

func (s *stepFS) OpenDir(name string) (vfs.File, error) {
	return s.file("open directory", name, false, func() (vfs.File, error) { return s.under.OpenDir(name) })
}

func (s *stepFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return s.file("reuse", newname, true, func() (vfs.File, error) { return s.under.ReuseForWrite(oldname, newname, category) })
}

func (s *stepFS) Link(oldname, newname string) error {
	return s.do("link", newname, true, func() error { return s.under.Link(oldname, newname) })
}

func (s *stepFS) Remove(name string) error {
	return s.do("remove", name, true, func() error { return s.under.Remove(name) })
}

func (s *stepFS) RemoveAll(name string) error {
	return s.do("remove all", name, true, func() error { return s.under.RemoveAll(name) })
}

func (s *stepFS) Rename(oldname, newname string) error {
	return s.do("rename", newname, true, func() error { return s.under.Rename(oldname, newname) })
}

func (s *stepFS) MkdirAll(dir string, perm os.FileMode) error {
	return s.do("mkdir", dir, true, func() error { return s.under.MkdirAll(dir, perm) })
}

func (s *stepFS) Lock(name string) (held io.Closer, err error) {
	err = s.do("lock", name, true, func() (err error) {
		held, err = s.under.Lock(name)
		return err
	})
	if err != nil && held != nil {
		_ = held.Close()
		held = nil
	}
	return held, err
}

func (s *stepFS) List(dir string) (names []string, err error) {
	err = s.do("list", dir, false, func() (err error) {
		names, err = s.under.List(dir)
		return err
	})
	return names, err
}

func (s *stepFS) Stat(name string) (info vfs.FileInfo, err error) {
	err = s.do("stat", name, false, func() (err error) {
		info, err = s.under.Stat(name)
		return err
	})
	return info, err
}

func (s *stepFS) GetDiskUsage(path string) (usage vfs.DiskUsage, err error) {
	err = s.do("disk usage", path, false, func() (err error) {
		usage, err = s.under.GetDiskUsage(path)
		return err
	})
	return usage, err
}

func (s *stepFS) PathBase(path string) string    { return s.under.PathBase(path) }
func (s *stepFS) PathJoin(elem ...string) string { return s.under.PathJoin(elem...) }
func (s *stepFS) PathDir(path string) string     { return s.under.PathDir(path) }
func (s *stepFS) Unwrap() vfs.FS                 { return s.under }

// stepFile counts the calls of one file.
type stepFile struct {
	vfs.File
	s    *stepFS
	path string
}

// Close closes the file in any case, as close(2) does.
func (f *stepFile) Close() error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	h := f.s.step(call{name: "close", path: f.path})
	err := f.File.Close()
	if h != nil {
		err = errors.Join(h.err, err)
	}
	return err
}

func (f *stepFile) Read(p []byte) (n int, err error) {
	err = f.s.do("read", f.path, false, func() (err error) {
		n, err = f.File.Read(p)
		return err
	})
	return n, err
}

func (f *stepFile) ReadAt(p []byte, offset int64) (n int, err error) {
	err = f.s.do("read", f.path, false, func() (err error) {
		n, err = f.File.ReadAt(p, offset)
		return err
	})
	return n, err
}

func (f *stepFile) Write(p []byte) (int, error) {
	return f.write(p, len(p)/2, f.File.Write)
}

// WriteAt writes over what is there, of which a half ends with a sector.
func (f *stepFile) WriteAt(p []byte, offset int64) (int, error) {
	half := len(p) / 2 / sectorSize * sectorSize
	return f.write(p, half, func(part []byte) (int, error) {
		n, err := f.File.WriteAt(part, offset)
		offset += int64(n)
		return n, err
	})
}

// write may fail before it, after it or half way through, or be looked at
// there.
func (f *stepFile) write(p []byte, half int, write func([]byte) (int, error)) (int, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	c := call{name: "write", path: f.path, write: true, size: len(p)}
	h := f.s.step(c)
	switch {
	case h == nil && f.s.torn != nil:
		if look := f.s.torn(c); look != nil {
			n, err := write(p[:half])
			look()
			if err != nil {
				return n, err
			}
			rest, err := write(p[half:])
			return n + rest, err
		}
		return write(p)
	case h == nil:
		return write(p)
	case h.short:
		n, err := write(p[:half])
		return n, errors.Join(h.err, err)
	case h.late:
		n, err := write(p)
		return n, errors.Join(h.err, err)
	}
	return 0, h.err
}

func (f *stepFile) Preallocate(offset, length int64) error {
	return f.s.do("preallocate", f.path, true, func() error { return f.File.Preallocate(offset, length) })
}

func (f *stepFile) Stat() (info vfs.FileInfo, err error) {
	err = f.s.do("file stat", f.path, false, func() (err error) {
		info, err = f.File.Stat()
		return err
	})
	return info, err
}

func (f *stepFile) Sync() error { return f.s.do("sync", f.path, true, f.File.Sync) }

func (f *stepFile) SyncData() error { return f.s.do("sync data", f.path, true, f.File.SyncData) }

func (f *stepFile) SyncTo(length int64) (full bool, err error) {
	err = f.s.do("sync to", f.path, true, func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}
