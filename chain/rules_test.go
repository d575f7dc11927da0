package chain_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// A fork is proved by hashes, headers and digests of bodies: no body is
// needed to check a link.
func TestRule01_LinkNeedsNoBody(t *testing.T) {
	f := newForger("a").genesis().status(1, "order/1", `{"a":1}`)
	r := f.run()
	prev := chain.Hash{}
	for _, e := range r.Entries {
		digest := sha256.Sum256(e.Body)
		link := append([]byte("tidings update 1\x00"), prev[:]...)
		link = append(append(link, e.Header...), digest[:]...)
		prev = sha256.Sum256(link)
		require.Equal(t, chain.Hash(prev), e.Hash)
	}
}

// An update costs at most 12 bytes beyond its subject and delta, and each dep
// of a busy chain at most 3.
func TestRule01_Cost(t *testing.T) {
	const now = 1_700_000_000_000
	a, b := newParty(t, "a", "warehouse"), newParty(t, "b", "fleet")
	subject, value := "order/1", 100_000
	size := func(p *party, n int, at int64, deps []chain.ID) int {
		for i := range n {
			value++
			prepared, err := chain.Prepare(chain.Draft{Subject: subject, Delta: fmt.Appendf(nil, `{"a":%d}`, value), Deps: deps})
			require.NoError(t, err)
			_, err = p.ledger.Append(prepared, at+int64(i))
			require.NoError(t, err)
		}
		own := p.flush(t, at).Own
		require.Len(t, own, 1)
		return len(own[0].Append(nil))
	}
	size(a, 1, now, nil)
	content := len(subject) + len(`{"a":100000}`)
	one, many := size(a, 1, now+60_000, nil), size(a, 1001, now+120_000, nil)
	require.LessOrEqual(t, many-one, 1000*(content+12))
	for _, r := range a.runs {
		b.accept(t, r, now)
	}
	// The first names the origin, the second measures.
	first := b.publish(t, now+200_000, chain.Draft{Subject: subject, Delta: []byte(`{"b":1}`)})
	require.Len(t, first.Deps, 1)
	without := size(b, 1, now+200_001, nil)
	size(a, 50, now+300_000, nil)
	b.accept(t, a.runs[len(a.runs)-1], now)
	head := a.ledger.Head(a.ledger.Origin())
	with := size(b, 1, now+200_002, []chain.ID{{Origin: head.Origin, Seq: head.Seq}})
	// Beside the dep: the head of the array, and the time, which goes up to a's.
	require.LessOrEqual(t, with-without, 3+1+8)
	last, err := b.archive.Update(chain.ID{Origin: b.ledger.Origin(), Seq: b.ledger.Head(b.ledger.Origin()).Seq})
	require.NoError(t, err)
	require.Len(t, last.Deps, 1)
}

// The same run gets the same verdict whatever else is here: what it depends
// on, nothing, or what is at odds with its subject.
func TestRule02_AcceptDependsOnlyOnItsChain(t *testing.T) {
	dep := newForger("dep").genesis().status(1, "order/1", `{"a":1}`)
	depRun := dep.run()
	f := newForger("a").genesis().status(5, "order/1", `{"a":2}`, fresh(0, dep.origin, 2)...)
	first := f.run()
	second := f.status(1, "order/1", `{"a":{"b":1}}`).run()
	other := newForger("c").genesis().status(7, "order/1", `{"a":[1]}`).run()
	for _, before := range [][]*chain.Run{{}, {depRun}, {other}, {depRun, other}} {
		p := newParty(t, "honest", "reader")
		for _, r := range before {
			p.mustTake(t, r)
		}
		for _, r := range []*chain.Run{first, second} {
			out := p.mustTake(t, r)
			require.Equal(t, r.Head(), out.Head)
		}
	}
}

// A run at or below the head is a duplicate only if it ends in the hash that
// is here: by seq alone, a restored backup's new updates would be dropped as
// known.
func TestRule02_DuplicateByHashNotBySeq(t *testing.T) {
	p, f := begun(t)
	restored := f.copy()
	p.mustTake(t, f.status(1, "order/1", `{"a":"before"}`).status(1, "order/1", `{"a":"lost"}`).run())
	out, err := p.take(t, restored.status(1, "order/1", `{"a":"after"}`).run().Append(nil), 5000)
	require.NoError(t, err)
	require.Equal(t, chain.Forked, out.Verdict)
}

// An update that waits delays its own chain alone, which goes on being
// received; it is applied as soon as what it waits for is.
func TestRule03_ReceivedAndApplied(t *testing.T) {
	p := newParty(t, "honest", "reader")
	dep := newForger("dep").genesis().status(1, "order/9", `{"a":1}`)
	depRun := dep.run()
	f := newForger("a").genesis().status(5, "order/1", `{"a":1}`, fresh(0, dep.origin, 2)...)
	out := p.mustTake(t, f.run())
	require.Equal(t, []chain.ID{dep.id(2)}, out.Missing)
	out = p.mustTake(t, f.status(1, "order/2", `{"a":1}`).run())
	require.Equal(t, []chain.ID{dep.id(2)}, out.Missing)
	other := newForger("c").genesis().status(7, "order/1", `{"b":1}`)
	p.mustTake(t, other.run())
	require.Equal(t, chain.Frontier{f.origin: 1, other.origin: 2}, p.archive.Frontier())
	require.Equal(t, chain.Seq(3), p.archive.Head(f.origin).Seq)
	state, err := p.archive.View(context.Background(), "order/1")
	require.NoError(t, err)
	require.Equal(t, uint64(1), state.Updates())
	_, err = p.archive.View(context.Background(), "order/2")
	require.ErrorIs(t, err, chain.ErrNotFound)
	p.mustTake(t, depRun)
	require.Equal(t, chain.Frontier{f.origin: 3, other.origin: 2, dep.origin: 2}, p.archive.Frontier())
	require.Empty(t, p.ledger.Held())
}

// What most of the mesh has applied is held no longer, up to there and no
// further, and what the clock held before a restart is held after it too: a
// ledger that began without a limit would let it in, and be pulled along by it.
func TestRule04_ClockHoldsEndByAdmissionAndOutliveARestart(t *testing.T) {
	p := newParty(t, "honest", "warehouse")
	const now, year = 1_700_000_000_000, 365 * 24 * 3_600_000
	require.NoError(t, p.ledger.SetLimit(now+10_000, now))
	far := newForger("far").genesis()
	far.status(now+year, "order/1", `{"far":1}`).status(1, "order/1", `{"far":2}`).status(1, "order/1", `{"far":3}`)
	_, err := p.take(t, far.run().Append(nil), now)
	require.NoError(t, err)
	p.flush(t, now)
	require.Equal(t, chain.Seq(1), p.ledger.Applied(far.origin).Seq)

	p.config.Limit = now + 20_000
	p.open(t)
	require.Equal(t, chain.Seq(1), p.ledger.Applied(far.origin).Seq)
	held := p.ledger.Held()
	require.Len(t, held, 1)
	require.Equal(t, chain.HeldClock, held[0].Reason)

	require.NoError(t, p.ledger.Admit(far.origin, 1, now))
	require.Equal(t, chain.Seq(1), p.ledger.Applied(far.origin).Seq)
	require.NoError(t, p.ledger.Admit(far.origin, 3, now))
	require.Equal(t, chain.Seq(3), p.ledger.Applied(far.origin).Seq)
	held = p.ledger.Held()
	require.Len(t, held, 1)
	require.Equal(t, far.id(4), held[0].ID)
	require.NoError(t, p.ledger.Admit(far.origin, 4, now))
	require.Empty(t, p.ledger.Held())
	require.NoError(t, p.ledger.Admit(newForger("nobody").origin, 4, now))
}

// Only what is applied moves the clock, and a new update is above all that is
// applied: a received time from the far future, held, must not pull everyone
// along.
func TestRule04_OnlyAppliedUpdatesMoveTheClock(t *testing.T) {
	p := newParty(t, "honest", "warehouse")
	const now, year = 1_700_000_000_000, 365 * 24 * 3_600_000
	require.NoError(t, p.ledger.SetLimit(now+10_000, now))
	far := newForger("far").genesis()
	far.status(now+year, "order/1", `{"far":1}`)
	out, err := p.take(t, far.run().Append(nil), now)
	require.NoError(t, err)
	require.Equal(t, chain.Accepted, out.Verdict)
	held := p.ledger.Held()
	require.Len(t, held, 1)
	require.Equal(t, chain.HeldClock, held[0].Reason)
	require.Equal(t, far.id(2), held[0].ID)
	require.Equal(t, int64(1000), p.ledger.Clock().Millis())
	r := p.publish(t, now, chain.Draft{Subject: "order/1", Delta: []byte(`{"a":1}`)})
	require.Equal(t, int64(now), r.HLC.Millis())
	require.Empty(t, r.Deps)

	// A lower limit changes nothing; a higher one lets it in, and only then is
	// it what a new update comes after.
	require.NoError(t, p.ledger.SetLimit(now, now))
	require.Len(t, p.ledger.Held(), 1)
	require.NoError(t, p.ledger.SetLimit(now+2*year, now))
	p.flush(t, now)
	require.Empty(t, p.ledger.Held())
	applied, err := p.archive.Update(far.id(2))
	require.NoError(t, err)
	r = p.publish(t, now+1, chain.Draft{Subject: "order/1", Delta: []byte(`{"a":2}`)})
	require.Greater(t, r.HLC, applied.HLC)
	require.Equal(t, []chain.ID{far.id(2)}, r.Deps)
	p.open(t)
	require.Equal(t, r.HLC, p.ledger.Clock())
}

// A peer's update at the end of time leaves no reading above it. That refuses
// drafts, and is no failure of the ledger or its store.
func TestRule04_NoTimeIsLeft(t *testing.T) {
	for _, counter := range []uint64{65535, 65534} {
		p := newParty(t, "honest", "warehouse")
		f := newForger("far").genesis()
		f.link(list(num(formStatus), num(1<<48-1-1000), num(counter), bin("order/1")), `{"far":1}`)
		p.mustTake(t, f.run())
		before := p.dump(t)
		prepared, err := chain.Prepare(chain.Draft{Subject: "order/1", Delta: []byte(`{"a":1}`)})
		require.NoError(t, err)
		_, err = p.ledger.Append(prepared, 5000)
		require.ErrorIs(t, err, chain.ErrRecovering)
		require.NotErrorIs(t, err, chain.ErrInvalid)
		p.flush(t, 5000)
		require.Equal(t, before, p.dump(t))
	}
}

// What a publisher may not send a receiver does not take, and the other way
// round.
func TestRule07_PublishAndAcceptAlike(t *testing.T) {
	for _, delta := range []string{
		`{"a":1,"\u0061":2}`, `{"a":{"b":1,"b":1}}`, `{"a":[{"b":1,"b":1}]}`, "{\"a\":\"\xff\"}", `{"a":"\ud800"}`, `{"a":"\udc00\ud800"}`,
		strings.Repeat(`{"a":`, 64) + `1` + strings.Repeat(`}`, 64),
		strings.Repeat(`{"a":`, 63) + `[[]]` + strings.Repeat(`}`, 63),
		strings.Repeat(`{"a":`, 63) + `[]` + strings.Repeat(`}`, 63),
		`[]`, `1`, `null`, ``, `{`, `{"a":01}`, `{"a":1e}`, `{"a":NaN}`, "{\"a\":\"\n\"}", `{"a":"\x"}`, `{"a":1,}`, `{"a":1}}`,
		`{}`, `{"":1}`, `{"a":"\ud83d\ude00"}`, `{"a":-0.0e+99}`, `{"a":1E400}`, `{"a":"\u0000\/"}`, `{"a":null}`,
		`{"a":` + strings.Repeat("9", 5000) + `}`,
	} {
		_, published := chain.Prepare(chain.Draft{Subject: "order/1", Delta: []byte(delta)})
		p, f := begun(t)
		out, err := p.take(t, f.status(1, "order/1", delta).run().Append(nil), 5000)
		require.NoError(t, err)
		require.Equal(t, errors.Is(published, chain.ErrDelta), errors.Is(out.Err, chain.ErrDelta), delta)
		require.Equal(t, published == nil, out.Verdict == chain.Accepted, delta)
	}
}

// Nothing of a batch is seen by any reader before it is committed and
// published, and nothing is given to be sent before Flush.
func TestRule08_NothingIsSeenBeforeItsCommit(t *testing.T) {
	p := newParty(t, "honest", "warehouse")
	r := p.publish(t, 2000, chain.Draft{Subject: "order/1", Delta: []byte(`{"a":1}`)})
	self := r.ID.Origin
	look := func() string {
		var b strings.Builder
		b.WriteString(p.dump(t))
		page, err := p.archive.Feed(chain.Cursor{}, chain.Filter{}, 10, nil)
		require.NoError(t, err)
		b.WriteString(page.Cursor.String())
		runs, err := p.archive.Runs(self, 1, 1<<20)
		require.NoError(t, err)
		for _, run := range runs {
			b.Write(run)
		}
		for u, err := range p.archive.History("order/1") {
			require.NoError(t, err)
			b.WriteString(u.ID.String())
		}
		_, updates, seals, err := p.archive.Page(self, 1, 100)
		require.NoError(t, err)
		b.WriteString(string(rune('0' + len(updates))))
		b.WriteString(string(rune('0' + len(seals))))
		_, err = p.archive.Update(chain.ID{Origin: self, Seq: 3})
		require.ErrorIs(t, err, chain.ErrNotFound)
		b.WriteString(p.archive.Summary().Root.String())
		return b.String()
	}
	before := look()
	watches := []*chain.Watch{p.archive.WatchSubject("order/1"), &p.archive.WatchFeed(chain.Cursor{}, chain.Filter{}).Watch}
	prepared, err := chain.Prepare(chain.Draft{Subject: "order/1", Delta: []byte(`{"a":2}`)})
	require.NoError(t, err)
	second, err := p.ledger.Append(prepared, 3000)
	require.NoError(t, err)
	require.Equal(t, before, look(), "appended")
	batch, effects, err := p.ledger.Flush(3000)
	require.NoError(t, err)
	require.Equal(t, before, look(), "flushed")
	require.Len(t, effects.Own, 1)
	keys := len(p.dump(t))
	require.NoError(t, p.store.Commit(batch, true))
	require.Less(t, keys, len(p.dump(t)), "it is in the store")
	page, err := p.archive.Feed(chain.Cursor{}, chain.Filter{}, 10, nil)
	require.NoError(t, err)
	require.Len(t, page.Updates, 1, "committed")
	_, err = p.archive.Update(second.ID)
	require.ErrorIs(t, err, chain.ErrNotFound)
	runs, err := p.archive.Runs(self, 1, 1<<20)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	// A view that is ahead of the frontier is waited for, not shown.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = p.archive.View(ctx, "order/1")
	require.ErrorIs(t, err, context.Canceled)
	for _, w := range watches {
		require.ErrorIs(t, w.Wait(ctx), context.Canceled, "woken for nothing")
	}
	p.archive.Publish(p.ledger, effects)
	for _, w := range watches {
		require.NoError(t, w.Wait(context.Background()))
	}
	state, err := p.archive.View(ctx, "order/1")
	require.NoError(t, err)
	require.Equal(t, `{"a":2}`, string(state.Status().Append(nil)))
}

// What opening a ledger applies is shown once it is committed, not before: the
// frontier would be ahead of the views.
func TestRule08_OpenShowsWhatIsCommitted(t *testing.T) {
	p := newParty(t, "honest", "reader")
	require.NoError(t, p.ledger.SetLimit(500, 500))
	f := newForger("a").genesis().status(1, "order/1", `{"a":1}`)
	p.mustTake(t, f.run())
	require.Len(t, p.ledger.Held(), 1)
	p.open(t) // without a limit, as long as no clocks are known
	require.Equal(t, chain.Seq(2), p.ledger.Applied(f.origin).Seq)
	require.Empty(t, p.archive.Frontier())
	p.flush(t, 5000)
	require.Equal(t, chain.Frontier{f.origin: 2}, p.archive.Frontier())
	state, err := p.archive.View(context.Background(), "order/1")
	require.NoError(t, err)
	require.Equal(t, uint64(1), state.Updates())
	require.Equal(t, p.ledger.Root(), p.archive.Summary().Root)
}

// Equal sync roots have nothing to send each other; equal roots have equal
// contents. One that holds what it received has the one without the other.
func TestRule09_TwoRoots(t *testing.T) {
	dep := newForger("dep").genesis().status(1, "order/1", `{"a":1}`).run()
	f := newForger("a").genesis()
	early := f.run()
	late := f.status(5, "order/1", `{"a":2}`, fresh(0, dep.Origin, 2)...).run()
	received, applied := newParty(t, "one", "reader"), newParty(t, "two", "reader")
	for _, p := range []*party{received, applied} {
		p.mustTake(t, early)
	}
	require.Equal(t, received.ledger.Root(), applied.ledger.Root())
	received.mustTake(t, late)
	require.Equal(t, received.ledger.Root(), applied.ledger.Root(), "held is not shown")
	require.NotEqual(t, received.ledger.SyncRoot(), applied.ledger.SyncRoot(), "and was received")
	require.NotEqual(t, received.ledger.Root(), received.ledger.SyncRoot())
	for _, p := range []*party{received, applied} {
		p.mustTake(t, dep)
	}
	applied.mustTake(t, late)
	require.Equal(t, received.ledger.Root(), applied.ledger.Root())
	require.Equal(t, received.ledger.SyncRoot(), applied.ledger.SyncRoot())
	require.Equal(t, applied.ledger.Root(), applied.ledger.SyncRoot(), "all of it is applied, and nothing is frozen")
	// A freeze is in both: readers may be shown less, and who has not heard of
	// it has something to be told.
	_, err := applied.take(t, f.status(1, "", `{}`).run().Append(nil), 5000)
	require.NoError(t, err)
	require.NotEqual(t, received.ledger.Root(), applied.ledger.Root())
	require.NotEqual(t, received.ledger.SyncRoot(), applied.ledger.SyncRoot())
	require.Equal(t, applied.ledger.Root(), applied.ledger.SyncRoot())
}

// A delta adds nothing only if neither the authority's own status nor the
// stitched one would change, and no conflict is open where it writes.
func TestRule14_Unchanged(t *testing.T) {
	publish := func(p *party, now int64, delta string) chain.Receipt {
		return p.publish(t, now, chain.Draft{Subject: "order/1", Delta: []byte(delta)})
	}
	pair := func() (a, b *party) { return newParty(t, "a", "warehouse"), newParty(t, "b", "fleet") }
	hear := func(p, q *party) {
		for _, r := range q.runs {
			p.accept(t, r, 5000)
		}
	}
	// The own status has it, but the stitched one was overwritten.
	a, b := pair()
	first := publish(a, 1000, `{"s":1}`)
	hear(b, a)
	publish(b, 2000, `{"s":2}`)
	hear(a, b)
	require.False(t, publish(a, 3000, `{"s":1}`).Unchanged)
	require.True(t, publish(a, 4000, `{"s":1}`).Unchanged)
	require.Equal(t, chain.ID{Origin: first.ID.Origin, Seq: 3}, publish(a, 4000, `{"s":1}`).ID)
	// The stitched status has it, but the own one does not.
	a, b = pair()
	publish(a, 1000, `{"s":1}`)
	hear(b, a)
	r := publish(b, 2000, `{"s":1}`)
	require.False(t, r.Unchanged)
	require.Len(t, r.Deps, 1)
	// Both have it, but there is a conflict to be ended.
	a, b = pair()
	publish(a, 1000, `{"s":1}`)
	publish(b, 2000, `{"s":2}`)
	hear(a, b)
	hear(b, a)
	require.False(t, publish(b, 3000, `{"s":2}`).Unchanged)
	require.True(t, publish(b, 4000, `{"s":2}`).Unchanged)
	// Nothing was ever said: there is no update to name.
	a, _ = pair()
	require.Equal(t, chain.Receipt{Subject: "order/1", Unchanged: true}, publish(a, 1000, `{"s":null}`))
	require.Equal(t, chain.Seq(0), a.ledger.Head(a.ledger.Origin()).Seq, "no genesis for nothing")
}
