package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// readNote returns the note at path, nil if there is none. torn is whether a
// later one was being written when a crash came. Nobody may write meanwhile.
func readNote(disk vfs.FS, path string) (note []byte, torn bool, err error) {
	f, err := disk.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(2*slotSize(MaxNote)+1)))
	if err != nil {
		return nil, false, err
	}
	return decodeNote(b)
}

// noteWriter keeps the note at path. The first one since the open replaces the
// file; the others are written into it, which changes no metadata: one write and
// one sync, for which the file system has nothing to put into its journal. So
// whoever linked the file elsewhere before keeps what he has, and no
// generation is ever used twice in a file.
type noteWriter struct {
	disk       vfs.FS
	path       string
	file       vfs.File // nil before the first note
	slot       int      // size
	generation uint64   // of the last note
	buf        []byte
}

// write replaces the note. It returns once that is durable, and is not to be
// called again after an error.
func (w *noteWriter) write(note []byte) error {
	if len(note) > MaxNote {
		return fmt.Errorf("a note of %d bytes, at most %d", len(note), MaxNote)
	}
	sectors := sectorsOf(len(note))
	if w.file == nil || sectors*sectorSize > w.slot {
		return w.replace(note)
	}
	w.generation++
	w.buf = appendSlot(w.buf[:0], w.generation, note, sectors)
	if _, err := w.file.WriteAt(w.buf, int64(w.generation%2)*int64(w.slot)); err != nil {
		return err
	}
	return w.file.SyncData()
}

// replace puts a new file in the place of what is there.
func (w *noteWriter) replace(note []byte) error {
	err := w.close()
	if err == nil {
		err = writeNote(w.disk, w.path, note)
	}
	if err != nil {
		return err
	}
	f, err := w.disk.OpenReadWrite(w.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w.file, w.slot, w.generation = f, slotSize(len(note)), 1
	return nil
}

func (w *noteWriter) close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// writeNote puts a file with the note in the place of the one at path. Every byte
// of it is written, so that a file system that writes in place has room for what is
// written into it later. It returns once that is durable.
func writeNote(disk vfs.FS, path string, note []byte) error {
	temp := path + tempSuffix
	f, err := disk.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(encodeNote(note, slotSize(len(note))))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := disk.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(disk, disk.PathDir(path))
}

func syncDir(disk vfs.FS, path string) error {
	d, err := disk.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
