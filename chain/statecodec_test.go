package chain

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// sampleState has two authorities, three origins, a conflict, a live write that
// is not its chain's newest and one that the status does not show.
func sampleState(t testing.TB) *State {
	t.Helper()
	x, y, z := modelOrigin(0), modelOrigin(1), modelOrigin(3)
	n := newModelNode()
	for _, u := range []*Update{
		modelUpdate(ID{x, 2}, 1, `{"a":1,"b":{"c":null}}`),
		modelUpdate(ID{y, 2}, 2, `{"a":2,"d":[1,{"e":"é"}]}`),
		modelUpdate(ID{x, 3}, 3, `{"b":{"x":{}}}`),
		modelUpdate(ID{z, 2}, 4, `{"f":-1.50}`, ID{x, 2}, ID{y, 2}),
	} {
		n.head[u.ID.Origin] = u.ID.Seq - 2
		if err := n.apply(u); err != nil {
			t.Fatal(err)
		}
	}
	return n.state
}

// The bytes of both versions, which stores on disk hold.
func TestStateBytes(t *testing.T) {
	empty := NewState("s")
	if got := hex.EncodeToString(empty.Append(nil)); got != "020000"+"027b7d"+"00"+"00"+"00"+"00" {
		t.Errorf("empty state %s", got)
	}
	s := sampleState(t)
	b := s.Append(nil)
	text := func(s string) string { return fmt.Sprintf("%02x%x", len(s), s) }
	origin := func(i int) string { o := modelOrigin(i); return hex.EncodeToString(o[:]) }
	hash := func(i int, seq Seq) string {
		h := modelUpdate(ID{modelOrigin(i), seq}, 0, "").Hash
		return hex.EncodeToString(h[:])
	}
	before := strings.Join([]string{
		"00", "04", // flags, updates
		text(`{"a":2,"b":{"x":{}},"d":[1,{"e":"é"}],"f":-1.50}`),
		"02", // authorities
	}, "")
	parts := strings.Join([]string{
		text("fleet"), "04", text("a"), text("1"), text("b"), "00", text("f"), "00",
		text("warehouse"), "03", text("a"), "00", text("d"), "00",
	}, "")
	first := strings.Join([]string{
		text("fleet"), text(`{"a":1,"b":{"x":{}},"f":-1.50}`), text("warehouse"), text(`{"a":2,"d":[1,{"e":"é"}]}`),
	}, "")
	after := strings.Join([]string{
		"03",
		origin(0), "03", "80800c", hash(0, 3), "00", "00",
		origin(1), "02", "808008", hash(1, 2), "01", "00",
		origin(3), "02", "808010", hash(3, 2), "00", "00",
		"0000", "0000", "0201", // contexts
		"04", "0001" + "808008", "0000", "0100", "0200", // updates with live writes
		"05", // live paths
		"00", text("/a"), "02", "00", text("1"), "02", "00",
		"01", text("b/c"), "01", "00", text("null"),
		"03", text("x"), "01", "01", "00",
		"01", text("d"), "01", "02", "00",
		"01", text("f"), "01", "03", "00",
	}, "")
	if got, want := hex.EncodeToString(b), "02"+before+parts+after; got != want {
		t.Errorf("state\n%s, want\n%s", got, want)
	}
	if got, want := hex.EncodeToString(appendFirstVersion(s)), "01"+before+first+after; got != want {
		t.Errorf("state in version 1\n%s, want\n%s", got, want)
	}
}

// appendFirstVersion writes a state in version 1.
func appendFirstVersion(s *State) []byte {
	b := []byte{1, 0}
	if s.stale {
		b[1] = 1
	}
	b = binary.AppendUvarint(b, s.updates)
	b = stateAppendValue(b, s.status)
	b = binary.AppendUvarint(b, uint64(len(s.authorities)))
	for i := range s.authorities {
		b = stateAppendText(b, s.authorities[i].name)
		if stateSame(s.authorities[i].status, s.status) {
			b = append(b, 0)
		} else {
			b = stateAppendValue(b, s.authorities[i].status)
		}
	}
	return s.appendLive(s.appendTips(b))
}

func TestDecodeStateRefuses(t *testing.T) {
	b, first := sampleState(t).Append(nil), appendFirstVersion(sampleState(t))
	if _, err := DecodeState(modelSubject, b); err != nil {
		t.Fatal(err)
	}
	check := func(what string, b []byte) {
		s, err := DecodeState(modelSubject, b)
		switch {
		case err == nil && !bytes.Equal(s.Append(nil), b):
			t.Errorf("%s: decodes, and encodes otherwise", what)
		case err != nil && !errors.Is(err, ErrCorrupt):
			t.Errorf("%s: %v is no ErrCorrupt", what, err)
		}
	}
	for i := range b {
		if _, err := DecodeState(modelSubject, b[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("the first %d bytes: %v", i, err)
		}
		for bit := range 8 {
			flipped := slices.Clone(b)
			flipped[i] ^= 1 << bit
			check(fmt.Sprintf("bit %d of byte %d", bit, i), flipped)
		}
	}
	if _, err := DecodeState(modelSubject, append(slices.Clone(b), 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte more: %v", err)
	}
	text := func(s string) string { return string(rune(len(s))) + s }
	for _, test := range []struct{ name, from, to string }{
		{"a path shares less than it does", "\x01" + text("b/c"), "\x00" + text("/b/c")},
		{"a value that the status has", text("/a") + "\x02\x00" + text("1") + "\x02\x00", text("/a") + "\x02\x00" + text("1") + "\x02" + text("2")},
		{"a write that is no leaf", text("/a") + "\x02\x00" + text("1"), text("/a") + "\x02\x00" + text(`{"z":1}`)},
		{"a path that is no pointer", "\x01" + text("f") + "\x01\x03\x00", "\x01" + text("~") + "\x01\x03" + text("1")},
		{"writes out of order", text("/a") + "\x02\x00" + text("1") + "\x02\x00", text("/a") + "\x02\x02\x00\x00" + text("1")},
		{"keys out of order", `"b":{"x":{}},"d"`, `"d":{"x":{}},"b"`},
		{"a part that the status is", text("fleet") + "\x04" + text("a") + text("1") + text("b"), text("fleet") + "\x05" + text("a") + "\x00" + text("b") + "\x00" + text("d")},
		{"a member that the status has", text("a") + text("1") + text("b"), text("a") + text("2") + text("b")},
		{"a member of nothing", text("f") + "\x00" + text("warehouse"), text("g") + "\x00" + text("warehouse")},
		{"members out of order", text("b") + "\x00" + text("f"), text("f") + "\x00" + text("b")},
		{"a member twice", text("b") + "\x00" + text("f"), text("b") + "\x00" + text("b")},
		{"a key that is no text", text("a") + text("1") + text("b"), text("\xff") + text("1") + text("b")},
		{"too many members", "\x04" + text("a"), "\x7f" + text("a")},
		{"far too many members", text("fleet") + "\x04", text("fleet") + "\xff\xff\xff\xff\x0f"},
	} {
		if !bytes.Contains(b, []byte(test.from)) {
			t.Fatalf("%s: %q is not there", test.name, test.from)
		}
		if _, err := DecodeState(modelSubject, bytes.Replace(b, []byte(test.from), []byte(test.to), 1)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	for _, test := range []struct{ name, from, to string }{
		{"a needless escape", `{"a":2,"d":[1,{"e":"é"}]}`, `{"a":2,"d":["\b\u0008"]}`},
		{"a part that is no object", text(`{"a":2,"d":[1,{"e":"é"}]}`), text("2")},
	} {
		if !bytes.Contains(first, []byte(test.from)) {
			t.Fatalf("%s: %q is not there", test.name, test.from)
		}
		if _, err := DecodeState(modelSubject, bytes.Replace(first, []byte(test.from), []byte(test.to), 1)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s, in version 1: %v", test.name, err)
		}
	}
	if _, err := DecodeState("s", []byte("\x01\x00\x00\x02{}\x01\x01a\x00\x00\x00\x00")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an authority that wrote nothing: %v", err)
	}
	huge := []byte{1, 0, 0, 2, '{', '}', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}
	if _, err := DecodeState("s", huge); !errors.Is(err, ErrCorrupt) {
		t.Errorf("2^64-1 authorities: %v", err)
	}
	if _, err := DecodeState("s", []byte{1, 0, 0x80, 0, 2, '{', '}', 0, 0, 0, 0}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a number not in its shortest form: %v", err)
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add(sampleState(f).Append(nil))
	f.Add(NewState(modelSubject).Append(nil))
	f.Add(appendFirstVersion(sampleState(f)))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeState(modelSubject, b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v is no ErrCorrupt", err)
			}
			return
		}
		got := s.Append(nil)
		if b[0] == 1 {
			got = appendFirstVersion(s)
		}
		if !bytes.Equal(got, b) {
			t.Fatalf("%x encodes as %x", b, got)
		}
		// What a reader does with it must hold for any state that decodes.
		s.AppendView(nil)
		s.ETag()
		s.Unchanged("fleet", valueEmpty)
		u := modelUpdate(ID{modelOrigin(5), 2}, MaxMillis, `{"a":{"b":1},"c":null}`, s.Heads()...)
		u.Deps = s.Attach(u.ID.Origin, nil, MaxDeps)
		ctx, _, err := s.Context(u, func(ID) (Context, bool, error) { return nil, false, nil })
		if err != nil {
			return
		}
		if _, err := s.Add(u, "other", ctx); err != nil {
			return
		}
		if _, err := DecodeState(modelSubject, s.Append(nil)); err != nil {
			t.Fatalf("one more update does not read back: %v", err)
		}
	})
}
