package store

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidings-mesh/tidings/chain"
)

// textOf is a note of n bytes that is told from others.
func textOf(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)*7 + seed + byte(i>>8)
	}
	return b
}

// noted is the file after notes of these lengths, the i-th of which has seed i.
func noted(t *testing.T, lengths ...int) []byte {
	t.Helper()
	disk := vfs.NewMem()
	w := noteWriter{disk: disk, path: "heads"}
	for i, n := range lengths {
		if err := w.write(textOf(n, byte(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	b, err := readBytes(disk, "heads")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever lengths follow each other, what is read is what was written last, and
// a file that a note fits into is not replaced.
func TestNoteReadsBack(t *testing.T) {
	lengths := []int{
		0, 1, sectorPart - 1, sectorPart, sectorPart + 1, 0, 8 * sectorPart, 8*sectorPart + 1, 56 * 1000, 5, 56*1000 + 1, 1 << 20, MaxNote - 1, MaxNote, 3,
	}
	disk := vfs.NewMem()
	w := noteWriter{disk: disk, path: "heads"}
	for i, n := range lengths {
		file, room := w.file, w.slot/sectorSize*sectorPart
		if err := w.write(textOf(n, byte(i))); err != nil {
			t.Fatal(err)
		}
		note, torn, err := readNote(disk, "heads")
		if err != nil || torn || note == nil || !bytes.Equal(note, textOf(n, byte(i))) {
			t.Errorf("note %d of %d bytes reads as %d bytes, torn %v, %v", i, n, len(note), torn, err)
		}
		if kept := w.file == file; kept != (n <= room && i > 0) {
			t.Errorf("note %d of %d bytes: the file is kept %v, and had room for %d", i, n, kept, room)
		}
		if w.slot%slotUnit != 0 || w.slot/sectorSize*sectorPart < min(n+n/2, MaxNote) && !(w.file == file) {
			t.Errorf("note %d of %d bytes: slots of %d", i, n, w.slot)
		}
	}
	if err := w.write(make([]byte, MaxNote+1)); err == nil {
		t.Error("a note that is too long was written")
	}
	if note, _, err := readNote(disk, "heads"); err != nil || len(note) != 3 {
		t.Errorf("after one that is too long: %d bytes, %v", len(note), err)
	}
}

// Each sector of a write is on the disk or not, in any choice of them: what is
// read is that note or the one before, and never a part of both; that it was cut
// short is told if it shows.
func TestNoteCutShort(t *testing.T) {
	lengths := []int{10, 900, 2300, 3800} // 1, 2, 5 and 8 sectors
	told, whole, before := 0, 0, 0
	for _, a := range lengths { // in the slot that is written over, before and since
		for _, b := range lengths {
			for _, other := range lengths {
				old, next := noted(t, 3000, 3000, 3800, a, other), noted(t, 3000, 3000, 3800, a, other, b)
				if len(old) != len(next) || len(old) != 4*slotUnit && len(old) != 2*slotUnit {
					t.Fatalf("files of %d and %d bytes", len(old), len(next))
				}
				n := sectorsOf(b) // generation 6 is in the first slot
				if half := len(old) / 2; bytes.Equal(old[:half], next[:half]) || !bytes.Equal(old[half:], next[half:]) {
					t.Fatal("another slot was written")
				}
				for kept := range 1 << n {
					file := bytes.Clone(old)
					for i := range n {
						if kept>>i&1 == 1 {
							copy(file[i*sectorSize:(i+1)*sectorSize], next[i*sectorSize:])
						}
					}
					note, torn, err := decodeNote(file)
					switch {
					case err != nil:
						t.Fatalf("%d, %d then %d bytes, sectors %b kept: %v", a, other, b, kept, err)
					case bytes.Equal(note, textOf(b, 5)) && !torn:
						whole++
						if kept&1 == 0 {
							t.Fatalf("%d, %d then %d bytes, sectors %b kept: read as whole", a, other, b, kept)
						}
					case bytes.Equal(note, textOf(other, 4)):
						before++
						if torn {
							told++
						}
						if kept == 1<<n-1 {
							t.Fatalf("%d, %d then %d bytes, all kept: the one before is read", a, other, b)
						}
					default:
						t.Fatalf("%d, %d then %d bytes, sectors %b kept: %d bytes that are neither, torn %v", a, other, b, kept, len(note), torn)
					}
				}
			}
		}
	}
	if whole != len(lengths)*len(lengths)*len(lengths) || told == 0 || told == before {
		t.Errorf("%d whole, %d the one before, told of %d", whole, before, told)
	}
}

// A disk that writes half a sector leaves damage: it is refused, and if it is not,
// the note is one of the two.
func TestNoteCutShortInASector(t *testing.T) {
	old, next := noted(t, 900, 1000, 800, 1200, 700), noted(t, 900, 1000, 800, 1200, 700, 950)
	refused := 0
	for cut := range sectorSize * sectorsOf(950) {
		for _, first := range []bool{true, false} { // the part of the new one comes first
			file := bytes.Clone(old)
			if first {
				copy(file[:cut], next)
			} else {
				copy(file[cut:], next[cut:])
			}
			note, _, err := decodeNote(file)
			switch {
			case errors.Is(err, chain.ErrCorrupt) && cut%sectorSize != 0:
				refused++
			case err != nil:
				t.Fatalf("cut at %d, %v: %v", cut, first, err)
			case !bytes.Equal(note, textOf(700, 4)) && !bytes.Equal(note, textOf(950, 5)):
				t.Fatalf("cut at %d, %v: %d bytes that are neither", cut, first, len(note))
			}
		}
	}
	if refused < sectorSize {
		t.Errorf("%d of %d cuts refused", refused, 2*sectorSize*sectorsOf(950))
	}
}

// Every bit of a file is inverted: in a sector of either note that is damage, and
// in the others, which hold nothing, it changes nothing.
func TestNoteFlippedBits(t *testing.T) {
	for _, file := range []struct {
		name    string
		b       []byte
		note    []byte
		sectors [2]int // in use
	}{
		{"new", noted(t, 900), textOf(900, 0), [2]int{2, 2}},
		{"written into", noted(t, 900, 1000, 800, 1200, 700), textOf(700, 4), [2]int{3, 2}},
		{"empty", noted(t, 0), nil, [2]int{1, 1}},
		{"of version 1", EncodeNote1(textOf(900, 0)), textOf(900, 0), [2]int{}},
	} {
		half := len(file.b) / 2
		for i := range file.b {
			used := file.sectors[i/max(half, 1)%2]*sectorSize > i%max(half, 1) || file.sectors == [2]int{}
			for bit := range 8 {
				file.b[i] ^= 1 << bit
				note, torn, err := decodeNote(file.b)
				file.b[i] ^= 1 << bit
				switch {
				case used && !errors.Is(err, chain.ErrCorrupt):
					t.Errorf("%s, bit %d of byte %d: %v, want ErrCorrupt", file.name, bit, i, err)
				case !used && (err != nil || torn || !bytes.Equal(note, file.note)):
					t.Errorf("%s, bit %d of byte %d, which holds nothing: torn %v, %v", file.name, bit, i, torn, err)
				}
			}
		}
	}
}

// What no crash leaves is damage, though each sector reads.
func TestNoteDamagedBySectors(t *testing.T) {
	now := noted(t, 900, 1000, 800, 1200, 700) // generations 4 and 5
	past := noted(t, 900, 1000)                // 2 and 1
	future := noted(t, 900, 1000, 800, 1200, 700, 950, 900)
	half := len(now) / 2
	with := func(change func(b []byte)) []byte {
		b := bytes.Clone(now)
		change(b)
		return b
	}
	swap := func(b []byte, i, j int) {
		at := bytes.Clone(b[i : i+sectorSize])
		copy(b[i:], b[j:j+sectorSize])
		copy(b[j:], at)
	}
	for _, c := range []struct {
		name string
		file []byte
		want error
	}{
		{"the write before is gone", with(func(b []byte) { copy(b[:half], past[:half]) }), chain.ErrCorrupt},
		{"the last write is gone, and one before", with(func(b []byte) { copy(b[half:], past[half:]) }), chain.ErrCorrupt},
		{"a slot of another time", with(func(b []byte) { copy(b[half:], future[half:]) }), chain.ErrCorrupt},
		{"slots that changed places", append(bytes.Clone(now[half:]), now[:half]...), chain.ErrCorrupt},
		{"the same slot twice", append(bytes.Clone(now[half:]), now[half:]...), chain.ErrCorrupt},
		{"a sector of the write before is gone", with(func(b []byte) { copy(b[sectorSize:], past[sectorSize:2*sectorSize]) }), chain.ErrCorrupt},
		{"sectors that changed places", with(func(b []byte) { swap(b, 0, sectorSize) }), chain.ErrCorrupt},
		{"a sector twice", with(func(b []byte) { copy(b[sectorSize:2*sectorSize], b) }), chain.ErrCorrupt},
		{"a sector of zeros", with(func(b []byte) { clear(b[sectorSize : 2*sectorSize]) }), chain.ErrCorrupt},
		{"a slot of zeros", with(func(b []byte) { clear(b[half:]) }), chain.ErrCorrupt},
		{"no sectors", make([]byte, 2*slotUnit), chain.ErrCorrupt},
		{"empty", nil, chain.ErrCorrupt},
		{"cut to half", now[:half], chain.ErrCorrupt},
		{"cut short", now[:len(now)-1], chain.ErrCorrupt},
		{"longer", append(bytes.Clone(now), make([]byte, 2*slotUnit)...), chain.ErrCorrupt},
		{"a length beyond the slot", with(func(b []byte) { b[16], b[17] = 0xff, 0xff; Resum(b) }), chain.ErrCorrupt},
		{"a length beyond all", with(func(b []byte) { b[19] = 0xff; Resum(b) }), chain.ErrCorrupt},
		{"bytes behind the note", with(func(b []byte) { b[3*sectorSize-5] = 1; Resum(b) }), chain.ErrCorrupt},
		{"another magic", with(func(b []byte) { b[0]++; Resum(b) }), chain.ErrCorrupt},
		{"another version", with(func(b []byte) { b[7]++; Resum(b) }), ErrFormat},
		{"version 1, cut short", EncodeNote1(nil)[:11], chain.ErrCorrupt},
		{"version 1, a byte more than it says", sum1(append(EncodeNote1([]byte("heads"))[:17], 0)), chain.ErrCorrupt},
	} {
		if note, _, err := decodeNote(c.file); !errors.Is(err, c.want) || errors.Is(err, chain.ErrCorrupt) != (c.want == chain.ErrCorrupt) {
			t.Errorf("%s: %d bytes, %v, want %v", c.name, len(note), err, c.want)
		}
	}
}

// A file that was linked elsewhere between two openings, as a copy by links does,
// is not written into; nor is one of version 1.
func TestNoteOfBeforeIsKept(t *testing.T) {
	disk := vfs.NewMem()
	for _, before := range [][]byte{noted(t, 30, 40, 50), EncodeNote1(textOf(50, 2))} {
		f, err := disk.Create("heads", vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(bytes.Clone(before))
		_ = disk.Remove("linked")
		if err := errors.Join(err, f.Close(), disk.Link("heads", "linked")); err != nil {
			t.Fatal(err)
		}
		if note, _, err := readNote(disk, "heads"); err != nil || !bytes.Equal(note, textOf(50, 2)) {
			t.Errorf("before: %d bytes, %v", len(note), err)
		}
		w := noteWriter{disk: disk, path: "heads"}
		if err := errors.Join(w.write(textOf(20, 3)), w.write(textOf(10, 4)), w.close()); err != nil {
			t.Fatal(err)
		}
		if note, _, err := readNote(disk, "heads"); err != nil || !bytes.Equal(note, textOf(10, 4)) {
			t.Errorf("after: %d bytes, %v", len(note), err)
		}
		if is, err := readBytes(disk, "linked"); err != nil || !bytes.Equal(is, before) {
			t.Errorf("what was linked has changed: %v", err)
		}
	}
}

// FuzzNote: no bytes crash the reader, whether their checksums are right or not,
// and what it takes is what is written.
func FuzzNote(f *testing.F) {
	f.Add([]byte{})
	f.Add(EncodeNote1(nil))
	f.Add(append(EncodeNote1([]byte("heads")), 0))
	f.Add(encodeNote(nil, slotUnit))
	f.Add(encodeNote([]byte("heads"), 2*slotUnit))
	f.Add(appendSlot(appendSlot(nil, 4, textOf(900, 0), 8), 3, textOf(3000, 1), 8))
	f.Add(appendSlot(appendSlot(appendSlot(nil, 4, textOf(900, 0), 8), 5, textOf(900, 1), 1), 3, textOf(3000, 1), 8)[:2*slotUnit])
	f.Fuzz(func(t *testing.T, b []byte) {
		for range 2 {
			checkDecode(t, b)
			b = bytes.Clone(b)
			Resum(b)
		}
	})
}

func checkDecode(t *testing.T, b []byte) {
	note, torn, err := decodeNote(b)
	switch {
	case err != nil:
		if !errors.Is(err, chain.ErrCorrupt) && !errors.Is(err, ErrFormat) {
			t.Errorf("error without a kind: %v", err)
		}
	case b[7] == 1:
		if again := EncodeNote1(note); torn || !bytes.Equal(again, b) {
			t.Errorf("%x reads as %x, which is written as %x", b, note, again)
		}
	default:
		for i := range 2 {
			at := b[i*len(b)/2:][:len(b)/2]
			s, err := decodeSlot(at)
			if err == nil && !s.torn && bytes.Equal(s.note, note) && bytes.HasPrefix(at, appendSlot(nil, s.generation, note, sectorsOf(len(note)))) {
				return
			}
		}
		t.Errorf("%x reads as %x, which no slot is written as", b, note)
	}
}
