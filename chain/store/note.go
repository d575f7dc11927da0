package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/tidings-mesh/tidings/chain"
)

// The side file; FORMAT.md has its bytes. It is two slots, which are written in
// turn, so that a crash in the middle leaves one of them as it was. A slot is made
// of sectors, for a disk writes such whole or not at all. Each has a checksum and
// the generation of its note: one that does not read is damage, and two generations
// in a slot are a write that a crash has cut short.
const (
	noteMagic    = "TIDNOTE"
	noteVersion  = 2
	sectorSize   = 512
	sectorHeader = len(noteMagic) + 1 + 8 + 4 + 4
	sectorPart   = sectorSize - sectorHeader - 4 // of the note
	slotUnit     = 4 << 10                       // a page, which no other slot shares
	// MaxNote bounds a note: 56 bytes of head for each of 290,000 origins.
	MaxNote = 16 << 20
)

// ErrNote is wrapped by an open that finds the side file damaged, of another
// version, or gone. What is in the store itself may be whole; whether its log
// lost its tail cannot be told any more.
var ErrNote = errors.New("the note beside the store cannot be read")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sectorsOf is how many sectors a note of n bytes takes.
func sectorsOf(n int) int { return max(1, (n+sectorPart-1)/sectorPart) }

// slotSize is the size of slots for a note of n bytes that may grow by half.
func slotSize(n int) int {
	size := sectorSize * sectorsOf(min(n+n/2, MaxNote))
	return (size + slotUnit - 1) / slotUnit * slotUnit
}

// appendSlot appends so many sectors with a note at their beginning. The slot of a
// generation is the first if that is even, else the second.
func appendSlot(dst []byte, generation uint64, note []byte, sectors int) []byte {
	for i := range sectors {
		sector := len(dst)
		part := note[min(i*sectorPart, len(note)):min((i+1)*sectorPart, len(note))]
		dst = append(dst, noteMagic...)
		dst = append(dst, noteVersion)
		dst = binary.LittleEndian.AppendUint64(dst, generation)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(note)))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(i))
		dst = append(dst, part...)
		dst = append(dst, make([]byte, sectorPart-len(part))...)
		dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[sector:], castagnoli))
	}
	return dst
}

// encodeNote returns a whole file, with the note in both slots.
func encodeNote(note []byte, slot int) []byte {
	b := make([]byte, 0, 2*slot)
	return appendSlot(appendSlot(b, 0, note, slot/sectorSize), 1, note, slot/sectorSize)
}

// decodeNote returns the note of a file. torn is whether a later one was being
// written when a crash came.
func decodeNote(b []byte) (note []byte, torn bool, err error) {
	if bytes.HasPrefix(b, []byte(noteMagic+"\x01")) {
		note, err = decodeNote1(b)
		return note, false, err
	}
	if len(b) == 0 || len(b)%(2*slotUnit) != 0 {
		return nil, false, fmt.Errorf("%w: it has %d bytes, which is no two slots", chain.ErrCorrupt, len(b))
	}
	var slots [2]slot
	for i := range slots {
		if slots[i], err = decodeSlot(b[i*len(b)/2 : (i+1)*len(b)/2]); err != nil {
			return nil, false, fmt.Errorf("slot %d: %w", i, err)
		}
		if slots[i].generation%2 != uint64(i) {
			return nil, false, fmt.Errorf("%w: slot %d has generation %d", chain.ErrCorrupt, i, slots[i].generation)
		}
	}
	older, newer := slots[0], slots[1]
	if older.generation > newer.generation {
		older, newer = newer, older
	}
	// Each was synced before the next was written.
	if newer.generation != older.generation+1 || older.torn {
		return nil, false, fmt.Errorf("%w: a write of it is lost: generations %d and %d", chain.ErrCorrupt, older.generation, newer.generation)
	}
	if newer.torn {
		return older.note, true, nil
	}
	return newer.note, false, nil
}

// slot is what one of the two holds.
type slot struct {
	generation uint64 // the highest in it
	torn       bool   // there are others in it
	note       []byte // if it is not torn
}

func decodeSlot(b []byte) (s slot, err error) {
	var first sector
	for i, n := 0, 1; i < n; i++ {
		at, err := decodeSector(b[i*sectorSize : (i+1)*sectorSize])
		if err != nil {
			return slot{}, fmt.Errorf("sector %d: %w", i, err)
		}
		if i == 0 {
			if at.length > MaxNote || sectorsOf(int(at.length))*sectorSize > len(b) {
				return slot{}, fmt.Errorf("%w: it says %d bytes and has room for %d", chain.ErrCorrupt, at.length, len(b)/sectorSize*sectorPart)
			}
			first, n = at, sectorsOf(int(at.length))
			s.note = make([]byte, 0, n*sectorPart)
		}
		s.generation = max(s.generation, at.generation)
		s.torn = s.torn || at.generation != first.generation
		s.note = append(s.note, at.part...)
	}
	if s.torn {
		s.note = nil
		return s, nil
	}
	s.note = s.note[:first.length]
	if whole := appendSlot(nil, s.generation, s.note, sectorsOf(len(s.note))); !bytes.HasPrefix(b, whole) {
		return slot{}, fmt.Errorf("%w: its sectors are not those of one note", chain.ErrCorrupt)
	}
	return s, nil
}

// sector is what one of them says. The last part of a note has zeros behind it.
type sector struct {
	generation uint64
	length     uint32 // of the note
	part       []byte
}

// decodeSector reads a sector. part is a part of b.
func decodeSector(b []byte) (sector, error) {
	body, sum := b[:sectorSize-4], b[sectorSize-4:]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(sum) {
		return sector{}, fmt.Errorf("%w: its checksum is wrong", chain.ErrCorrupt)
	}
	if string(b[:len(noteMagic)]) != noteMagic {
		return sector{}, fmt.Errorf("%w: it does not begin as a note does", chain.ErrCorrupt)
	}
	if v := b[len(noteMagic)]; v != noteVersion {
		return sector{}, fmt.Errorf("%w: version %d, want %d", ErrFormat, v, noteVersion)
	}
	b = body[len(noteMagic)+1:]
	return sector{
		generation: binary.LittleEndian.Uint64(b), length: binary.LittleEndian.Uint32(b[8:]), part: body[sectorHeader:],
	}, nil
}

// decodeNote1 reads a file of version 1, which is not written any more: one
// note, as long as the file. It returns a part of b.
func decodeNote1(b []byte) ([]byte, error) {
	const header, trailer = len(noteMagic) + 1 + 4, 4
	if len(b) < header+trailer {
		return nil, fmt.Errorf("%w: it is cut short", chain.ErrCorrupt)
	}
	body, sum := b[:len(b)-trailer], b[len(b)-trailer:]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(sum) {
		return nil, fmt.Errorf("%w: its checksum is wrong", chain.ErrCorrupt)
	}
	note := body[header:]
	if n := binary.LittleEndian.Uint32(body[len(noteMagic)+1:]); uint64(n) != uint64(len(note)) {
		return nil, fmt.Errorf("%w: it says %d bytes and has %d", chain.ErrCorrupt, n, len(note))
	}
	return note, nil
}
