package chain_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

// A view at a cut is the view of a node that had applied just that.
func TestViewAtIsTheViewOfThen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parties := []*party{newParty(t, "a", "warehouse"), newParty(t, "bb", "fleet"), newParty(t, "ccc", "fleet")}
		type then struct {
			at    chain.Frontier
			views map[string]string
		}
		var seen []then
		for range rapid.IntRange(1, 12).Draw(t, "looks") {
			write(t, parties, rapid.IntRange(1, 3).Draw(t, "steps"))
			p := rapid.SampledFrom(parties).Draw(t, "looked at")
			now := then{p.archive.Frontier().Clone(), map[string]string{}}
			for s, err := range p.archive.Subjects(context.Background(), "", "") {
				require.NoError(t, err)
				now.views[s.Subject()] = s.ETag() + string(s.AppendView(nil))
			}
			seen = append(seen, now)
		}
		all := newParty(t, "reader", "reader")
		for _, p := range parties {
			p.flush(t, 1<<21)
			for _, r := range p.runs {
				all.accept(t, r, 1<<21)
			}
		}
		for _, then := range seen {
			for _, subject := range testSubjects {
				s, err := all.archive.ViewAt(context.Background(), subject, then.at)
				if then.views[subject] == "" {
					require.ErrorIs(t, err, chain.ErrNotFound)
					continue
				}
				require.NoError(t, err)
				require.False(t, s.Stale())
				require.Equal(t, then.views[subject], s.ETag()+string(s.AppendView(nil)))
			}
		}
	})
}

// At any cursor of a feed, however it was paged and by whatever prefix, a view is
// that of a node to which just those updates came, in any order.
func TestViewAtACursorOfAFeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parties := []*party{newParty(t, "a", "warehouse"), newParty(t, "bb", "fleet"), newParty(t, "ccc", "payments")}
		for range rapid.IntRange(1, 12).Draw(t, "updates") {
			write(t, parties, 1) // a run for each, so that a feed can end after any
		}
		all := newParty(t, "reader", "reader")
		var runs []*chain.Run
		for _, p := range parties {
			runs = append(runs, p.runs...)
		}
		for _, r := range runs {
			all.accept(t, r, 1<<21)
		}
		filter := chain.Filter{Prefix: rapid.SampledFrom([]chain.Prefix{"", "order", "a"}).Draw(t, "prefix")}
		var cursor chain.Cursor
		for range rapid.IntRange(0, 8).Draw(t, "pages") {
			_, cursor = all.page(t, cursor, filter, rapid.IntRange(1, 4).Draw(t, "limit"))
		}
		then := newParty(t, "then", "reader")
		runs = slices.DeleteFunc(runs, func(r *chain.Run) bool { return r.Last() > cursor.Frontier[r.Origin] })
		order := rapid.Permutation(runs).Draw(t, "order")
		for range order { // what does not link yet is brought again
			for _, r := range order {
				then.accept(t, r, 1<<21)
			}
		}
		for _, subject := range testSubjects {
			want, missing := then.archive.View(context.Background(), subject)
			got, err := all.archive.ViewAt(context.Background(), subject, cursor.Frontier)
			if missing != nil {
				require.ErrorIs(t, err, chain.ErrNotFound)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, want.ETag()+string(want.AppendView(nil)), got.ETag()+string(got.AppendView(nil)))
		}
	})
}

// Until cuts at a stamp, and is causally closed there.
func TestUntil(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parties := []*party{newParty(t, "a", "warehouse"), newParty(t, "bb", "fleet")}
		write(t, parties, rapid.IntRange(1, 12).Draw(t, "steps"))
		p := parties[0]
		p.flush(t, 1<<21)
		page, _ := p.page(t, chain.Cursor{}, chain.Filter{}, 1000)
		for i, u := range page.Updates {
			f, err := p.archive.Until(u.Stamp())
			require.NoError(t, err)
			for j, v := range page.Updates {
				require.Equal(t, j <= i, f.Has(v.ID))
			}
			for _, dep := range u.Deps {
				require.True(t, f.Has(dep))
			}
		}
		f, err := p.archive.Until(chain.Stamp{})
		require.NoError(t, err)
		require.Empty(t, f)
	})
}

// Past is the smallest frontier that covers two and is causally closed.
func TestPast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parties := []*party{newParty(t, "a", "warehouse"), newParty(t, "bb", "fleet"), newParty(t, "ccc", "payments")}
		write(t, parties, rapid.IntRange(1, 20).Draw(t, "steps"))
		p := newParty(t, "all", "reader")
		for _, q := range parties {
			for _, r := range q.runs {
				p.accept(t, r, 1<<21)
			}
		}
		p.flush(t, 1<<21)
		page, _ := p.page(t, chain.Cursor{}, chain.Filter{}, 1000)
		some := rapid.SampledFrom(page.Updates)
		closed, err := p.archive.Until(some.Draw(t, "closed").Stamp())
		require.NoError(t, err)
		of := chain.Frontier{}
		for _, u := range rapid.SliceOfN(some, 0, 3).Draw(t, "of") {
			of[u.ID.Origin] = max(of[u.ID.Origin], u.ID.Seq)
		}
		got, err := p.archive.Past(context.Background(), of, closed)
		require.NoError(t, err)

		want := map[chain.ID]bool{}
		for _, u := range slices.Backward(page.Updates) { // dependants come before what they depend on
			if !want[u.ID] && !of.Has(u.ID) && !closed.Has(u.ID) {
				continue
			}
			want[u.ID] = true
			for _, dep := range u.Deps {
				for seq := chain.Seq(1); seq <= dep.Seq; seq++ {
					want[chain.ID{Origin: dep.Origin, Seq: seq}] = true
				}
			}
		}
		for _, u := range page.Updates {
			require.Equal(t, want[u.ID], got.Has(u.ID), u.ID)
		}
		require.True(t, p.archive.Frontier().Covers(got))
	})
}

// What a freeze took back is in no view of then.
func TestViewAtAfterAFreeze(t *testing.T) {
	trunk, one, other, dependant, f := forked()
	p := newParty(t, "honest", "reader")
	for _, r := range []*chain.Run{trunk, one, dependant} {
		p.mustTake(t, r)
	}
	all := p.archive.Frontier().Clone()
	early, err := p.archive.ViewAt(context.Background(), "order/1", chain.Frontier{f.origin: 2})
	require.NoError(t, err)
	require.Equal(t, `{"a":1}`, early.Status().String())
	_, err = p.take(t, other.Append(nil), 5000)
	require.NoError(t, err)
	s, err := p.archive.ViewAt(context.Background(), "order/1", all)
	require.NoError(t, err)
	require.Equal(t, `{"a":1,"b":1}`, s.Status().String())
	_, err = p.archive.ViewAt(context.Background(), "order/2", all)
	require.ErrorIs(t, err, chain.ErrNotFound)
	own, ok := s.StatusOf(p.archive.Authority(dependant.Origin))
	require.True(t, ok)
	require.Contains(t, own.String(), `"b":1`)
	_, ok = s.StatusOf("nobody")
	require.False(t, ok)
}
