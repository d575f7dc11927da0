package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Resum gives each sector of a note's file that was changed the checksum that it
// ought to have.
func Resum(file []byte) {
	for ; len(file) >= sectorSize; file = file[sectorSize:] {
		body := file[:sectorSize-4]
		binary.LittleEndian.PutUint32(file[sectorSize-4:], crc32.Checksum(body, castagnoli))
	}
}

// EncodeNote1 is a note's file as version 1 had it.
func EncodeNote1(note []byte) []byte {
	b := append([]byte(noteMagic), 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(note)))
	return sum1(append(b, note...))
}

func sum1(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// ErrCut ends a directory's work on its files.
var ErrCut = errors.New("cut short")

// CutShort has each call that a directory makes beside its store fail from the
// k-th on, as if the process had ended there. cut says whether it came to that.
func CutShort(d *Dir, k int) (cut func() bool) {
	f := &cutFiles{files: d.files, left: k}
	d.files = f
	return func() bool { return f.left < 0 }
}

type cutFiles struct {
	files
	left int
}

func (f *cutFiles) step() error {
	if f.left <= 0 {
		f.left = -1
		return ErrCut
	}
	f.left--
	return nil
}

func (f *cutFiles) create(path string) (syncWriter, error) {
	if err := f.step(); err != nil {
		return nil, err
	}
	return f.files.create(path)
}

func (f *cutFiles) rename(from, to string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.files.rename(from, to)
}

func (f *cutFiles) remove(path string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.files.remove(path)
}

func (f *cutFiles) removeAll(path string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.files.removeAll(path)
}

func (f *cutFiles) syncDir(path string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.files.syncDir(path)
}

// GatherBytes is how much of a table is written at once.
const GatherBytes = gatherBytes

// NewTableFile has a table written to a file.
func NewTableFile(f vfs.File) vfs.File { return newTableFile(f) }
