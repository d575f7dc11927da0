package chain_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

// page reads one page, through the text of its cursor.
func (p *party) page(t require.TestingT, since chain.Cursor, f chain.Filter, limit int) (*chain.Feed, chain.Cursor) {
	page, err := p.archive.Feed(since, f, limit, nil)
	require.NoError(t, err)
	next, err := chain.ParseCursor(page.Cursor.String())
	require.NoError(t, err)
	require.True(t, next.Frontier.Covers(since.Frontier), "a cursor never goes back")
	return page, next
}

func feedIDs(page *chain.Feed) (ids []chain.ID) {
	for _, u := range page.Updates {
		ids = append(ids, u.ID)
	}
	return ids
}

// A cursor names what was seen, not when it came here: an update with an early
// time that arrives late lies behind a cursor that is a time or a place in the
// order of arrival, and would be skipped.
func TestRule11_CursorIsNotArrivalOrder(t *testing.T) {
	p := newParty(t, "honest", "reader")
	late := newForger("late").genesis().status(1, "order/1", `{"a":1}`)     // at 1,001
	early := newForger("early").genesis().status(500, "order/1", `{"b":1}`) // at 1,500
	p.mustTake(t, early.run())
	page, cursor := p.page(t, chain.Cursor{}, chain.Filter{}, 10)
	require.Equal(t, []chain.ID{early.id(2)}, feedIDs(page))
	require.True(t, page.UpToDate)
	p.mustTake(t, late.run())
	page, cursor = p.page(t, cursor, chain.Filter{}, 10)
	require.Equal(t, []chain.ID{late.id(2)}, feedIDs(page))
	page, _ = p.page(t, cursor, chain.Filter{}, 10)
	require.Empty(t, page.Updates)

	// On a node to which they came the other way round, each is seen once too.
	q := newParty(t, "another", "reader")
	q.mustTake(t, newForger("late").genesis().status(1, "order/1", `{"a":1}`).run())
	page, cursor = q.page(t, chain.Cursor{}, chain.Filter{}, 10)
	require.Equal(t, []chain.ID{late.id(2)}, feedIDs(page))
	page, _ = p.page(t, cursor, chain.Filter{}, 10)
	require.Equal(t, []chain.ID{early.id(2)}, feedIDs(page))
}

// A page may end anywhere, and its cursor is closed under causality: a node
// that has the cursor's updates and not a dependency of theirs cannot be.
func TestRule11_PagesAreCausallyClosed(t *testing.T) {
	p := newParty(t, "honest", "reader")
	a := newForger("a").genesis().status(1, "order/1", `{"a":1}`)
	b := newForger("b").genesis().status(2, "order/1", `{"b":1}`, fresh(0, a.origin, 2)...)
	a.status(5, "order/1", `{"a":2}`, fresh(0, b.origin, 2)...)
	for _, f := range []*forger{a, b} {
		p.mustTake(t, f.run())
	}
	for limit := 1; limit <= 3; limit++ {
		var cursor chain.Cursor
		var got []chain.ID
		for {
			page, next := p.page(t, cursor, chain.Filter{}, limit)
			require.LessOrEqual(t, len(page.Updates), limit)
			for _, u := range page.Updates {
				for _, d := range u.Deps {
					require.Contains(t, got, d)
				}
				got = append(got, u.ID)
			}
			cursor = next
			if page.UpToDate {
				break
			}
		}
		require.Equal(t, []chain.ID{a.id(2), b.id(2), a.id(3)}, got)
	}
}

// A node that is behind a cursor on some origins says so, keeps them, and
// delivers the others.
func TestRule11_BehindOnSome(t *testing.T) {
	p := newParty(t, "honest", "reader")
	f := newForger("a").genesis().status(1, "order/1", `{"a":1}`)
	p.mustTake(t, f.run())
	ahead, unknown := newForger("b").genesis(), chain.Origin{7}
	p.mustTake(t, ahead.run())
	only := newForger("c").genesis() // nothing but that, which is in no feed
	p.mustTake(t, only.run())
	since := chain.Cursor{Frontier: chain.Frontier{ahead.origin: 9, unknown: 3}, Told: chain.Frontier{unknown: 2}}
	page, next := p.page(t, since, chain.Filter{}, 10)
	require.Equal(t, []chain.ID{f.id(2)}, feedIDs(page))
	want := []chain.Origin{ahead.origin, unknown}
	slices.SortFunc(want, chain.Origin.Compare)
	require.Equal(t, want, page.Behind)
	require.True(t, page.UpToDate)
	require.Equal(t, chain.Frontier{f.origin: 2, ahead.origin: 9, unknown: 3, only.origin: 1}, next.Frontier)
	require.Equal(t, since.Told, next.Told)
	require.Equal(t, chain.Frontier{ahead.origin: 9, unknown: 3}, since.Frontier, "the caller's is its own")
}

// What a filter leaves out is passed over, a page that finds little ends when
// it is told to, and nothing is skipped by that.
func TestRule11_FilterPassesOver(t *testing.T) {
	p := newParty(t, "honest", "reader")
	f := newForger("a").genesis()
	for i := range 3000 {
		subject := "parcel/1"
		if i%1000 == 999 {
			subject = "order/1"
		}
		f.status(1, subject, fmt.Sprintf(`{"a":%d}`, i))
	}
	p.mustTake(t, f.run())
	filter := chain.Filter{Prefix: "order"}
	var cursor chain.Cursor
	var got []chain.ID
	pages := 0
	for {
		page, err := p.archive.Feed(cursor, filter, 10, func() bool { return true })
		require.NoError(t, err)
		require.Greater(t, page.Cursor.Frontier[f.origin], cursor.Frontier[f.origin])
		require.Equal(t, filter.Hash(), page.Cursor.Filter)
		got = append(got, feedIDs(page)...)
		cursor = page.Cursor
		pages++
		if page.UpToDate {
			break
		}
	}
	require.Equal(t, []chain.ID{f.id(1001), f.id(2001), f.id(3001)}, got)
	require.Greater(t, pages, 3)
	require.Equal(t, chain.Frontier{f.origin: 3001}, cursor.Frontier)
	// By authority, whole chains are passed over.
	page, next := p.page(t, chain.Cursor{}, chain.Filter{Authorities: []string{"nobody"}}, 10)
	require.Empty(t, page.Updates)
	require.True(t, page.UpToDate)
	require.Equal(t, chain.Frontier{f.origin: 3001}, next.Frontier)
	page, _ = p.page(t, chain.Cursor{}, chain.Filter{Authorities: []string{"forgery"}}, 10)
	require.Len(t, page.Updates, 10)
}

// A page is bounded in bytes, and what does not fit comes next.
func TestFeedIsBoundedInBytes(t *testing.T) {
	p := newParty(t, "honest", "reader")
	f := newForger("a").genesis()
	const n, size = 150, 60_000
	for i := range n {
		f.status(1, "order/1", fmt.Sprintf(`{"a":"%0*d"}`, size, i))
		if i%8 == 7 || i == n-1 {
			p.mustTake(t, f.run())
		}
	}
	var cursor chain.Cursor
	seen := 0
	for up := false; !up; {
		page, next := p.page(t, cursor, chain.Filter{}, 10_000)
		bytes := 0
		for _, u := range page.Updates {
			bytes += len(u.Delta)
		}
		require.Less(t, bytes, 4<<20+2*size)
		seen += len(page.Updates)
		cursor, up = next, page.UpToDate
	}
	require.Equal(t, n, seen)
}

// A cursor survives its text, and every other text is refused.
func TestCursorText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frontier := rapid.MapOf(
			rapid.Custom(func(t *rapid.T) chain.Origin {
				return chain.Origin{rapid.Byte().Draw(t, "first"), 15: rapid.Byte().Draw(t, "last")}
			}),
			rapid.Custom(func(t *rapid.T) chain.Seq {
				return chain.Seq(rapid.Uint64Range(1, 1<<63-1).Draw(t, "seq") >> rapid.IntRange(0, 62).Draw(t, "shift"))
			}),
		)
		drop := func(f map[chain.Origin]chain.Seq) chain.Frontier {
			out := chain.Frontier{}
			for o, s := range f {
				if s > 0 {
					out[o] = s
				}
			}
			return out
		}
		c := chain.Cursor{Frontier: drop(frontier.Draw(t, "frontier")), Told: drop(frontier.Draw(t, "told"))}
		copy(c.Filter[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "filter"))
		text := c.String()
		got, err := chain.ParseCursor(text)
		require.NoError(t, err)
		require.Equal(t, c, got)
		// One character more, less, or other.
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		with := rapid.SampledFrom([]string{"", "A", "AA", "-", "_", "=", "\n", "+", "é", "\x00"}).Draw(t, "with")
		for _, other := range []string{text[:at] + with + text[at+1:], text[:at] + with + text[at:], text[:at]} {
			if other == text {
				continue
			}
			_, err := chain.ParseCursor(other)
			require.ErrorIs(t, err, chain.ErrCursor, "%q for %q", other, text)
		}
	})
}

// A checksum is no proof: what it covers is checked like all from outside.
func TestCursorRefusesWhatIsNotCanonical(t *testing.T) {
	o1, o2 := bin(string(make([]byte, 15))+"\x01"), bin(string(make([]byte, 15))+"\x02")
	filter, empty := bin(string(make([]byte, 8))), list()
	good := list(filter, list(o1, num(1), o2, num(1<<63-1)), empty)
	_, err := chain.ParseCursor(sumCursor(good))
	require.NoError(t, err)
	for name, b := range map[string][]byte{
		"nothing":            {},
		"two items":          list(filter, empty),
		"four items":         list(filter, empty, empty, empty),
		"bytes after it":     append(list(filter, empty, empty), 0),
		"filter of 7 bytes":  list(bin("1234567"), empty, empty),
		"descending":         list(filter, list(o2, num(1), o1, num(1)), empty),
		"twice":              list(filter, list(o1, num(1), o1, num(2)), empty),
		"seq 0":              list(filter, list(o1, num(0)), empty),
		"seq 2^63":           list(filter, list(o1, num(1<<63)), empty),
		"seq 2^64 - 1":       list(filter, list(o1, num(1<<64-1)), empty),
		"half a pair":        list(filter, list(o1), empty),
		"longer form":        list(filter, list(o1, raw(0xcc, 1)), empty),
		"short origin":       list(filter, list(bin("1"), num(1)), empty),
		"told of seq 0":      list(filter, empty, list(o1, num(0))),
		"four billion items": append(append(raw(0x93), filter...), 0xdd, 0xff, 0xff, 0xff, 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := chain.ParseCursor(sumCursor(b))
			require.ErrorIs(t, err, chain.ErrCursor)
			require.ErrorIs(t, err, chain.ErrEncoding)
		})
	}
}

// shredder is a store whose iterators spoil what they showed when they move, as their
// contract allows.
type shredder struct{ chain.Store }

func (s shredder) Scan(lo, hi []byte) chain.Iterator {
	return &shredded{Iterator: s.Store.Scan(lo, hi)}
}

type shredded struct {
	chain.Iterator
	value []byte
}

func (it *shredded) Next() bool {
	for i := range it.value {
		it.value[i] = 0xff
	}
	it.value = nil
	return it.Iterator.Next()
}

func (it *shredded) Value() []byte {
	if it.value == nil {
		it.value = bytes.Clone(it.Iterator.Value())
	}
	return it.value
}

// What a page has is the caller's to keep, and what is visited is good until the visit
// ends.
func TestFeedOutlivesItsIterator(t *testing.T) {
	writer, peer := newParty(t, "writer", "warehouse"), newParty(t, "peer", "fleet")
	for i := range 20 {
		writer.publish(t, int64(1000+i), chain.Draft{Subject: fmt.Sprintf("order/%d", i%3), Delta: fmt.Appendf(nil, `{"a":%d}`, i)})
		peer.publish(t, int64(1000+i), chain.Draft{Subject: fmt.Sprintf("order/%d", i%3), Delta: fmt.Appendf(nil, `{"b":%d}`, i)})
		for _, r := range peer.runs[i:] {
			writer.accept(t, r, int64(1000+i))
		}
	}
	p := &party{name: "reader", config: writer.config, store: shredder{writer.store}}
	p.open(t)
	var visited []string
	text := func(u *chain.Update) string { return string(chain.AppendUpdateJSON(nil, u, "")) }
	page, err := p.archive.EachOfFeed(chain.Cursor{Filter: chain.Filter{}.Hash()}, chain.Filter{}, 100, nil, func(u *chain.Update) { visited = append(visited, text(u)) })
	require.NoError(t, err)
	require.Empty(t, page.Updates)
	kept, cursor := p.page(t, chain.Cursor{}, chain.Filter{}, 100)
	require.Equal(t, cursor.String(), page.Cursor.String())
	require.Len(t, kept.Updates, 40)
	for i, u := range kept.Updates {
		require.Equal(t, visited[i], text(u))
		one, err := writer.archive.Update(u.ID)
		require.NoError(t, err)
		require.Equal(t, text(one), text(u))
	}
}
