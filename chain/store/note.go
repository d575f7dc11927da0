package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidings-mesh/tidings/chain"
)

// The side file; FORMAT.md has its bytes.
const (
	noteMagic   = "TIDNOTE"
	noteVersion = 1
	noteHeader  = len(noteMagic) + 1 + 4
	noteTrailer = 4
	// MaxNote bounds a note: 56 bytes of head for each of 290,000 origins.
	MaxNote = 16 << 20
)

// ErrNote is wrapped by an open that finds the side file damaged, of another
// version, or gone. What is in the store itself may be whole; whether its log
// lost its tail cannot be told any more.
var ErrNote = errors.New("the note beside the store cannot be read")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeNote(note []byte) []byte {
	b := make([]byte, 0, noteHeader+len(note)+noteTrailer)
	b = append(b, noteMagic...)
	b = append(b, noteVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(note)))
	b = append(b, note...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeNote returns a part of b.
func decodeNote(b []byte) ([]byte, error) {
	if len(b) < noteHeader+noteTrailer || string(b[:len(noteMagic)]) != noteMagic {
		return nil, fmt.Errorf("%w: it does not begin as a note does", chain.ErrCorrupt)
	}
	body, sum := b[:len(b)-noteTrailer], b[len(b)-noteTrailer:]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(sum) {
		return nil, fmt.Errorf("%w: its checksum is wrong", chain.ErrCorrupt)
	}
	if v := body[len(noteMagic)]; v != noteVersion {
		return nil, fmt.Errorf("%w: version %d, want %d", ErrFormat, v, noteVersion)
	}
	note := body[noteHeader:]
	if n := binary.LittleEndian.Uint32(body[len(noteMagic)+1:]); uint64(n) != uint64(len(note)) {
		return nil, fmt.Errorf("%w: it says %d bytes and has %d", chain.ErrCorrupt, n, len(note))
	}
	return note, nil
}

// readNote returns the note at path, nil if there is none.
func readNote(disk vfs.FS, path string) ([]byte, error) {
	f, err := disk.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(noteHeader+MaxNote+noteTrailer+1)))
	if err != nil {
		return nil, err
	}
	return decodeNote(b)
}

// writeNote replaces the note at path. It returns once that is durable.
func writeNote(disk vfs.FS, path string, note []byte) error {
	if len(note) > MaxNote {
		return fmt.Errorf("a note of %d bytes, at most %d", len(note), MaxNote)
	}
	temp := path + tempSuffix
	f, err := disk.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(encodeNote(note))
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
