package chain

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func modelContext() *rapid.Generator[Context] {
	return rapid.Custom(func(t *rapid.T) Context {
		var ctx Context
		for i := range 5 {
			if seq := rapid.IntRange(0, 4).Draw(t, "seq"); seq > 0 {
				ctx = append(ctx, ID{modelOrigin(i), Seq(seq)})
			}
		}
		return ctx
	})
}

func TestContextJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := modelContext().Draw(t, "a"), modelContext().Draw(t, "b")
		beforeA, beforeB := slices.Clone(a), slices.Clone(b)
		joined := a.Join(b)
		one := ID{modelOrigin(rapid.IntRange(0, 4).Draw(t, "origin")), Seq(rapid.IntRange(1, 5).Draw(t, "seq"))}
		with := a.With(one)
		c := modelContext().Draw(t, "c")
		beforeC := slices.Clone(c)
		g := gathered{seen: a}
		g.add(b)
		g.add(c)
		all := g.with(one)
		for i := range 5 {
			for seq := range Seq(6) {
				id := ID{modelOrigin(i), seq + 1}
				if joined.Covers(id) != (a.Covers(id) || b.Covers(id)) {
					t.Fatalf("join of %v and %v: %v", a, b, joined)
				}
				if all.Covers(id) != (a.Covers(id) || b.Covers(id) || c.Covers(id) || (id.Origin == one.Origin && id.Seq <= one.Seq)) {
					t.Fatalf("%v, %v, %v and %v: %v", a, b, c, one, all)
				}
				if with.Covers(id) != (a.Covers(id) || (id.Origin == one.Origin && id.Seq <= one.Seq)) {
					t.Fatalf("%v with %v: %v", a, one, with)
				}
			}
		}
		for _, c := range []Context{joined, with, all} {
			if !slices.IsSortedFunc(c, func(a, b ID) int { return a.Origin.Compare(b.Origin) }) {
				t.Fatalf("%v is not sorted", c)
			}
		}
		if !slices.Equal(a, beforeA) || !slices.Equal(b, beforeB) || !slices.Equal(c, beforeC) {
			t.Fatal("an argument was changed")
		}
	})
}

// However long a chain's part of a subject is, reading a context back takes at
// most 16 entries, and most entries are short.
func TestContextReadsBackIn16(t *testing.T) {
	n := newModelNode()
	origins := 20
	for i := range origins {
		if err := n.apply(modelUpdate(ID{modelOrigin(i + 1), 2}, int64(i+1), `{}`)); err != nil {
			t.Fatal(err)
		}
	}
	x := modelOrigin(0)
	total, most := 0, 0
	for i := range 100 {
		u := modelUpdate(ID{x, n.head[x] + 2}, int64(1000+2*i), `{}`)
		u.Deps = n.state.Attach(x, nil, MaxDeps)
		slices.SortFunc(u.Deps, ID.Compare)
		if err := n.apply(u); err != nil {
			t.Fatal(err)
		}
		total += len(n.index[u.Stamp()])
		reads := 0
		ctx, err := ResolveContext(u.Stamp(), func(at Stamp) ([]byte, error) {
			reads++
			return n.index[at], nil
		})
		if err != nil || len(ctx) != origins+1 || !ctx.Covers(u.ID) {
			t.Fatalf("update %d: %v, %v", i, ctx, err)
		}
		most = max(most, reads)
		y := modelOrigin(1 + i%origins)
		if err := n.apply(modelUpdate(ID{y, n.head[y] + 2}, int64(1001+2*i), `{}`)); err != nil {
			t.Fatal(err)
		}
	}
	if most != 16 {
		t.Errorf("up to %d reads, want 16", most)
	}
	if total > 100*60 {
		t.Errorf("100 contexts of %d origins take %d bytes", origins, total)
	}
}

func TestContextEntryBytes(t *testing.T) {
	x, y, z := modelOrigin(0), modelOrigin(1), modelOrigin(2)
	u := modelUpdate(ID{x, 7}, 3, `{}`)
	own := &stateTip{tip: tip{id: ID{x, 5}, hlc: HLCOf(3) - 2, context: Context{{x, 5}, {y, 2}, {z, 9}}}, hops: 3}
	ctx := Context{{x, 7}, {y, 300}, {z, 9}}
	for _, test := range []struct {
		name string
		own  *stateTip
		want string
	}{
		{"difference", own, "04" + "02" + "02" + "01" + hex.EncodeToString(y[:]) + "ac02"},
		{"whole", nil, "00" + "02" + hex.EncodeToString(y[:]) + "ac02" + hex.EncodeToString(z[:]) + "09"},
	} {
		e := contextEntryOf(u, ctx, test.own)
		if got := hex.EncodeToString(e.append(nil, u.Stamp())); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	own.hops = contextHops
	if e := contextEntryOf(u, ctx, own); e.hops != 0 {
		t.Error("the 16th is not whole")
	}
}

func TestDecodeContextEntryRefuses(t *testing.T) {
	x, y := modelOrigin(0), modelOrigin(1)
	at := Stamp{HLCOf(3), ID{x, 7}}
	origin := string(y[:])
	self := string(x[:])
	for _, test := range []struct{ name, entry string }{
		{"nothing", ""},
		{"trailing byte", "\x00\x00\x00"},
		{"more hops than there are", "\x10\x01\x01\x00"},
		{"a hop that stays", "\x01\x00\x01\x00"},
		{"a hop in no time", "\x01\x01\x00\x00"},
		{"before the first seq", "\x01\x07\x01\x00"},
		{"before the first time", "\x01\x01\x80\x80\x0c\x00"},
		{"more origins than bytes", "\x00\x7f" + origin + "\x01"},
		{"seq 0", "\x00\x01" + origin + "\x00"},
		{"itself", "\x00\x01" + self + "\x01"},
		{"twice", "\x00\x02" + origin + "\x01" + origin + "\x02"},
		{"long number", "\x00\x81\x00" + origin + "\x01"},
	} {
		if _, err := decodeContextEntry(at, []byte(test.entry)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := decodeContextEntry(at, []byte("\x01\x06\x01\x00")); err != nil {
		t.Errorf("sound: %v", err)
	}
}

// Entries that lead to one another for ever are found at the second, and an
// error of the index is the caller's.
func TestResolveContextRefuses(t *testing.T) {
	at := Stamp{HLCOf(3), ID{modelOrigin(0), 1000}}
	for _, entry := range []string{"\x02\x01\x01\x00", "\x0f\x01\x01\x00"} {
		reads := 0
		_, err := ResolveContext(at, func(Stamp) ([]byte, error) {
			reads++
			return []byte(entry), nil
		})
		if !errors.Is(err, ErrCorrupt) || reads != 2 {
			t.Errorf("%x: %v after %d reads", entry, err, reads)
		}
	}
	broken := errors.New("disk")
	if _, err := ResolveContext(at, func(Stamp) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("failed read: %v", err)
	}
}

func FuzzContextEntry(f *testing.F) {
	at := Stamp{HLCOf(3), ID{modelOrigin(0), 7}}
	o := modelOrigin(1)
	f.Add([]byte("\x00\x00"))
	f.Add(append(append([]byte("\x04\x02\x02\x01"), o[:]...), 0xac, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeContextEntry(at, b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v is no ErrCorrupt", err)
			}
			return
		}
		if got := e.append(nil, at); !bytes.Equal(got, b) {
			t.Fatalf("%x encodes as %x", b, got)
		}
	})
}
