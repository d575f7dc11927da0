package store

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/wire"
)

// example is what FORMAT.md shows in a section, by its heading.
func example(t *testing.T, heading, open, end string) string {
	t.Helper()
	doc, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(doc), "\n## "+heading+"\n")
	_, section, shown := strings.Cut(section, open)
	text, _, ends := strings.Cut(section, end)
	if !ok || !shown || !ends {
		t.Fatalf("FORMAT.md has no example of %s", heading)
	}
	return text
}

// FORMAT.md shows the bytes that the code writes, and they read back.
func TestFormatExampleOfIdentity(t *testing.T) {
	text := example(t, "identity.json", "```json\n", "```")
	id, err := decodeIdentity([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if id.Name != "golden-node" || id.DirInode != 9986156 {
		t.Errorf("read %+v", id)
	}
	again, err := id.encode()
	if err != nil || string(again) != text {
		t.Errorf("encodes as %s, %v", again, err)
	}
}

func TestFormatExampleOfNote(t *testing.T) {
	unhex := func(text string) []byte {
		b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	note := wire.AppendArray(nil, 3)
	note = wire.AppendBin(note, bytes.Repeat([]byte{1}, len(chain.Origin{})))
	note = wire.AppendUint(note, 3)
	note = wire.AppendBin(note, bytes.Repeat([]byte{2}, len(chain.Hash{})))

	// The first sector of a file: its beginning, zeros, its checksum.
	begin := unhex(example(t, "heads", "seq 3 with the hash of 32 bytes of 2, begins with\n\n", "\n\n"))
	sum := unhex(example(t, "heads", "with zeros, and ends with\n\n", "\n\n"))
	file := encodeNote(note, slotSize(len(note)))
	if want := append(append(begin, make([]byte, sectorSize-len(begin)-len(sum))...), sum...); !bytes.Equal(file[:sectorSize], want) {
		t.Errorf("FORMAT.md has\n%x\nand the code writes\n%x", want, file[:sectorSize])
	}
	if got, _, err := decodeNote(file); err != nil || !bytes.Equal(got, note) || len(file) != 2*slotUnit {
		t.Errorf("note %x, %v; want %x", got, err, note)
	}

	was := unhex(example(t, "heads", "The same note in version 1:\n\n", "\n\n"))
	if got, _, err := decodeNote(was); err != nil || !bytes.Equal(got, note) {
		t.Errorf("note %x, %v; want %x", got, err, note)
	}
	if want := EncodeNote1(note); !bytes.Equal(was, want) {
		t.Errorf("FORMAT.md has %x for version 1, and that was %x", was, want)
	}
}
