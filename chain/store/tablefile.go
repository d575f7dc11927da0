package store

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// gatherBytes is how much of a table is written to its file at once.
const gatherBytes = 128 << 10

// tableFile is the file of a table that is being written. Pebble writes one block of
// 4 KiB at a time, which costs the kernel four times as much as many at once; more
// than 128 KiB at once win little. One goroutine at a time uses it.
type tableFile struct {
	vfs.File
	gathered *[]byte // written to the file by the next sync or close, at the latest
	err      error   // of the first write that failed, after which bytes are missing
}

var gatherers = sync.Pool{New: func() any {
	b := make([]byte, 0, gatherBytes)
	return &b
}}

func newTableFile(f vfs.File) *tableFile {
	b := gatherers.Get().(*[]byte)
	*b = (*b)[:0]
	return &tableFile{File: f, gathered: b}
}

func (f *tableFile) Write(p []byte) (n int, err error) {
	b := f.gathered
	if len(*b)+len(p) > cap(*b) {
		if err := f.flush(); err != nil {
			return 0, err
		}
		if len(p) > cap(*b) {
			n, f.err = f.File.Write(p)
			return n, f.err
		}
	}
	*b = append(*b, p...)
	return len(p), nil
}

// flush writes what is gathered.
func (f *tableFile) flush() error {
	if len(*f.gathered) > 0 && f.err == nil {
		_, f.err = f.File.Write(*f.gathered)
		*f.gathered = (*f.gathered)[:0]
	}
	return f.err
}

func (f *tableFile) Sync() error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *tableFile) SyncData() error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f *tableFile) SyncTo(length int64) (bool, error) {
	if err := f.flush(); err != nil {
		return false, err
	}
	return f.File.SyncTo(length)
}

// Close closes the file in any case.
func (f *tableFile) Close() error {
	err := f.flush()
	gatherers.Put(f.gathered)
	f.gathered = nil
	return errors.Join(err, f.File.Close())
}
