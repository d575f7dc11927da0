package chain

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever the causal order in which updates come, after each of them the view
// is that of the trivial model, byte for byte, and stays so through the store.
func TestStateIsTheModels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := modelHistory(30).Draw(t, "history")
		n := newModelNode()
		us.deliver(t, n, func(*Update) {
			if rapid.Bool().Draw(t, "more first") {
				return
			}
			if n.late != n.state.Stale() {
				t.Fatalf("Add said stale is %v", n.late)
			}
			if rapid.Bool().Draw(t, "through the store") {
				n.state = stored(t, n.state)
			}
			if err := n.refold(); err != nil {
				t.Fatal(err)
			}
			if got, want := string(n.state.AppendView(nil)), n.updates().view(); got != want {
				t.Fatalf("view\n%s, want\n%s", got, want)
			}
		})
		if err := n.refold(); err != nil {
			t.Fatal(err)
		}
		if got, want := string(stored(t, n.state).AppendView(nil)), us.view(); got != want {
			t.Fatalf("view\n%s, want\n%s", got, want)
		}
		if n.state.Empty() != (n.state.Status().String() == "{}") {
			t.Fatalf("Empty is %v of %s", n.state.Empty(), n.state.Status())
		}
	})
}

// stored is the state after a way through its encoding.
func stored(t *rapid.T, s *State) *State {
	b := s.Append(nil)
	back, err := DecodeState(modelSubject, b)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	if again := back.Append(nil); !bytes.Equal(again, b) {
		t.Fatalf("encodes as\n%x, then as\n%x", b, again)
	}
	first, err := DecodeState(modelSubject, appendFirstVersion(s))
	if err != nil {
		t.Fatalf("decode version 1: %v", err)
	}
	if again := first.Append(nil); !bytes.Equal(again, b) {
		t.Fatalf("encodes as\n%x, and from version 1 as\n%x", b, again)
	}
	return back
}

// Equal sets of updates give one encoding and one tag, in whatever order they
// came; contexts are the sets that the model says.
func TestStateOrderIndependent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := modelHistory(30).Draw(t, "history")
		a, b := newModelNode(), newModelNode()
		tags := map[string]bool{a.state.ETag(): true}
		us.deliver(t, a, func(u *Update) {
			if tag := a.state.ETag(); u.Subject == modelSubject && tags[tag] {
				t.Fatal("two sets of updates have one tag")
			}
			tags[a.state.ETag()] = true
		})
		us.deliver(t, b, func(*Update) {})
		if err := errors.Join(a.refold(), b.refold()); err != nil {
			t.Fatal(err)
		}
		if x, y := a.state.Append(nil), b.state.Append(nil); !bytes.Equal(x, y) {
			t.Fatalf("states\n%x and\n%x", x, y)
		}
		if a.state.ETag() != b.state.ETag() {
			t.Fatal("tags differ")
		}
		if !maps.EqualFunc(a.index, b.index, bytes.Equal) {
			t.Fatal("indexes differ")
		}
		for id, seen := range us.seen() {
			ctx, _, err := a.context(id)
			if err != nil {
				t.Fatal(err)
			}
			for other := range us.seen() {
				if ctx.Covers(other) != (seen[other] || other == id) {
					t.Fatalf("context of %s: covers %s: %v", id, other, ctx.Covers(other))
				}
			}
		}
	})
}

// A fork is two updates of one name: their subjects must not seem alike, nor
// must two subjects.
func TestETagTellsContents(t *testing.T) {
	u := modelUpdate(ID{modelOrigin(0), 2}, 1, `{"a":1}`)
	tag := func(subject string, hash byte) string {
		v := *u
		v.Subject, v.Hash[0] = subject, hash
		s := NewState(subject)
		if _, err := s.Add(&v, "fleet", Context{v.ID}); err != nil {
			t.Fatal(err)
		}
		return s.ETag()
	}
	one, again := tag("a", 1), tag("a", 1)
	if one != again || one == tag("a", 2) || one == tag("b", 1) || len(one) != 32 {
		t.Error("tags do not tell contents")
	}
}

// What is taken back leaves no trace: a state rebuilt without the end of one
// chain is that of a node which never applied it, its index too.
func TestRebuild(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := modelHistory(30).Draw(t, "history")
		frozen := modelOrigin(rapid.IntRange(0, 3).Draw(t, "frozen"))
		after := Seq(rapid.IntRange(1, 6).Draw(t, "after"))
		var rest modelUpdates
		plain := newModelNode()
		for _, u := range us {
			if u.ID.Origin == frozen && u.ID.Seq > after {
				continue
			}
			rest = append(rest, u)
			if err := plain.apply(u); err != nil {
				t.Fatal(err)
			}
		}
		if err := plain.refold(); err != nil {
			t.Fatal(err)
		}
		index := map[Stamp][]byte{}
		got, err := Rebuild(modelSubject, nil, rest.stitched().each(), nil, func(u *Update, entry []byte) error {
			index[u.Stamp()] = entry
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if x, y := got.Append(nil), plain.state.Append(nil); !bytes.Equal(x, y) {
			t.Fatalf("rebuilt\n%s, want\n%s", got.AppendView(nil), plain.state.AppendView(nil))
		}
		if !maps.EqualFunc(index, plain.index, bytes.Equal) {
			t.Fatal("indexes differ")
		}
	})
}

// A refold and a rebuild go on from a base that holds a prefix.
func TestBase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := modelHistory(30).Draw(t, "history").stitched()
		n := newModelNode()
		var base *State
		cut := rapid.IntRange(0, len(us)).Draw(t, "cut")
		for i, u := range us {
			if i == cut {
				base = n.state.Clone()
			}
			n.head[u.ID.Origin] = u.ID.Seq - 2 // what is between is of another subject
			if err := n.apply(u); err != nil {
				t.Fatal(err)
			}
		}
		want := string(n.state.AppendView(nil))
		before := ""
		if base != nil {
			before = string(base.AppendView(nil))
		}
		s := n.state.Clone()
		s.status, s.authorities, s.stale = valueEmpty, nil, true
		if base == nil {
			cut = 0
		}
		if err := s.Refold(base, us[cut:].each()); err != nil {
			t.Fatal(err)
		}
		if got := string(s.AppendView(nil)); got != want {
			t.Fatalf("folded\n%s, want\n%s", got, want)
		}
		leans := map[Origin]bool{} // on an entry of the rebuild, so it may be a difference
		s, err := Rebuild(modelSubject, base, us[cut:].each(), n.context, func(u *Update, entry []byte) error {
			if e, err := decodeContextEntry(u.Stamp(), entry); err != nil || (e.hops > 0 && !leans[u.ID.Origin]) {
				t.Fatalf("%s: %d hops, %v", u.ID, e.hops, err)
			}
			leans[u.ID.Origin] = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(s.AppendView(nil)); got != want {
			t.Fatalf("rebuilt\n%s, want\n%s", got, want)
		}
		if base != nil && string(base.AppendView(nil)) != before {
			t.Fatal("the base was changed")
		}
	})
}

func TestRefoldRefuses(t *testing.T) {
	x, y := modelOrigin(0), modelOrigin(1)
	us := modelUpdates{modelUpdate(ID{x, 2}, 1, `{"a":1}`), modelUpdate(ID{y, 2}, 2, `{"a":2}`)}
	n := newModelNode()
	for _, u := range us {
		if err := n.apply(u); err != nil {
			t.Fatal(err)
		}
	}
	want := n.state.Append(nil)
	broken := errors.New("disk")
	for _, test := range []struct {
		name    string
		updates Stitched
		want    error
	}{
		{"one is missing", us[1:].each(), ErrCorrupt},
		{"out of order", modelUpdates{us[1], us[0]}.each(), errStateOrder},
		{"twice", modelUpdates{us[0], us[0]}.each(), errStateOrder},
		{"error", func(yield func(*Update, string, error) bool) { yield(nil, "", broken) }, broken},
		{"delta", modelUpdates{us[0], modelUpdate(ID{y, 2}, 2, `[]`)}.each(), ErrDelta},
	} {
		if err := n.state.Refold(nil, test.updates); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if !bytes.Equal(n.state.Append(nil), want) {
			t.Errorf("%s: the state was changed", test.name)
		}
	}
	if _, err := Rebuild(modelSubject, nil, modelUpdates{us[1], us[0]}.each(), nil, nil); !errors.Is(err, errStateOrder) {
		t.Errorf("rebuild out of order: %v", err)
	}
}

func TestAddRefuses(t *testing.T) {
	x := modelOrigin(0)
	n := newModelNode()
	if err := n.apply(modelUpdate(ID{x, 2}, 5, `{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	want := n.state.Append(nil)
	genesis := modelUpdate(ID{x, 3}, 6, `{}`)
	genesis.Kind = KindGenesis
	other := modelUpdate(ID{x, 3}, 6, `{}`)
	other.Subject = "other"
	for _, test := range []struct {
		name      string
		u         *Update
		authority string
		want      error
	}{
		{"again", modelUpdate(ID{x, 2}, 5, `{"a":1}`), "fleet", errStateOrder},
		{"time goes back", modelUpdate(ID{x, 3}, 5, `{"a":1}`), "fleet", errStateOrder},
		{"another authority", modelUpdate(ID{x, 3}, 6, `{"a":1}`), "payments", errStateOrder},
		{"another kind", genesis, "fleet", errStateOrder},
		{"another subject", other, "fleet", errStateOrder},
		{"not an object", modelUpdate(ID{x, 3}, 6, `[]`), "fleet", ErrDelta},
		{"not JSON", modelUpdate(ID{x, 3}, 6, `{`), "fleet", ErrDelta},
	} {
		if _, err := n.state.Add(test.u, test.authority, Context{test.u.ID}); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if !bytes.Equal(n.state.Append(nil), want) {
			t.Errorf("%s: the state was changed", test.name)
		}
	}
	if _, _, err := n.state.Context(modelUpdate(ID{x, 2}, 6, `{}`), n.context); !errors.Is(err, errStateOrder) {
		t.Errorf("context of an old update: %v", err)
	}
}

// A clone and its original go their own ways.
func TestClone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := modelHistory(20).Draw(t, "history")
		n := newModelNode()
		us.deliver(t, n, func(*Update) {
			kept, want := n.state, n.state.Append(nil)
			n.state = n.state.Clone()
			x := modelOrigin(9)
			u := modelUpdate(ID{x, 2}, 1000, `{"a":9,"b":{"c":null},"a-b":{}}`, n.state.Heads()...)
			ctx, _, err := n.state.Context(u, n.context)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := n.state.Add(u, "other", ctx); err != nil {
				t.Fatal(err)
			}
			n.state = kept
			if !bytes.Equal(kept.Append(nil), want) {
				t.Fatal("the original was changed")
			}
		})
	})
}

// Ten thousand updates by a few origins to a few paths leave a state that is no
// larger than a hundred do, and each is applied in place.
func TestHotSubject(t *testing.T) {
	n := newModelNode()
	size, entry := 0, 0
	for i := range 10_000 {
		o := modelOrigin(i % 4)
		u := modelUpdate(ID{o, n.head[o] + 2}, int64(i+1), fmt.Sprintf(`{"p%d":%d,"q":{"r":%d}}`, i%8, i%10, i%10))
		u.Deps = n.state.Attach(o, nil, MaxDeps)
		slices.SortFunc(u.Deps, ID.Compare)
		if err := n.apply(u); err != nil {
			t.Fatal(err)
		}
		if n.late {
			t.Fatalf("update %d was late", i)
		}
		delete(n.applied, u.ID)
		entry = max(entry, len(n.index[u.Stamp()]))
		if i == 100 {
			size = len(n.state.Append(nil))
		}
	}
	if got := len(n.state.Append(nil)); got > size+100 {
		t.Errorf("%d bytes after 10,000 updates, %d after 100", got, size)
	}
	if len(n.state.tips) != 4 || len(n.state.live) != 9 || n.state.Updates() != 10_000 {
		t.Errorf("%d tips, %d live paths, %d updates", len(n.state.tips), len(n.state.live), n.state.Updates())
	}
	if entry > 64 {
		t.Errorf("an index entry of %d bytes", entry)
	}
}

func TestWinners(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := modelHistory(30).Draw(t, "history").stitched()
		got, err := Winners(us.each())
		if err != nil {
			t.Fatal(err)
		}
		status := valueEmpty
		for _, u := range us {
			status = Merge(status, parsedRapid(t, string(u.Delta)))
		}
		want := map[string]string{}
		status.leaves(func(path []byte, v Value) { want[string(path)] = v.String() })
		for i, w := range got {
			if i > 0 && got[i-1].Path >= w.Path {
				t.Fatalf("%s after %s", w.Path, got[i-1].Path)
			}
			if want[w.Path] != w.Value.String() || want[w.Path] == "" {
				t.Fatalf("%s is %s, want %s", w.Path, w.Value, want[w.Path])
			}
			delete(want, w.Path)
			if w.Value.IsObject() {
				continue // it may be from a removal below
			}
			var last *Update
			for _, u := range us {
				parsedRapid(t, string(u.Delta)).leaves(func(path []byte, v Value) {
					if string(path) == w.Path {
						last = u
					}
				})
			}
			if last == nil || last.ID != w.ID || last.HLC != w.HLC || modelAuthority(last.ID.Origin) != w.Authority {
				t.Fatalf("%s was won by %v, want %v", w.Path, w.ID, last)
			}
		}
		if len(want) > 0 {
			t.Fatalf("no winner for %v", want)
		}
	})
}

func TestWinnersOfEmptyObjects(t *testing.T) {
	x, y := modelOrigin(0), modelOrigin(1)
	us := modelUpdates{
		modelUpdate(ID{x, 2}, 1, `{"a":{"b":1},"c":{"d":null},"e":{}}`),
		modelUpdate(ID{y, 2}, 2, `{"a":{"b":null}}`),
		modelUpdate(ID{y, 3}, 3, `{"a":{"b":null},"c":{"d":null},"e":{}}`),
	}
	got, err := Winners(us.each())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, w := range got {
		lines = append(lines, fmt.Sprintf("%s %s %s", w.Path, w.Value, w.ID))
	}
	want := []string{
		"/a {} " + ID{y, 2}.String(), // took the last member away
		"/c {} " + ID{x, 2}.String(), // made it
		"/e {} " + ID{y, 3}.String(), // wrote it last
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}
