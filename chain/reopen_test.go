package chain_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
)

// tape is a store that remembers each batch that was committed to it.
type tape struct {
	chain.Store
	batches []func(chain.Store) error
}

func (s *tape) Commit(b *chain.Batch, sync bool) error {
	var copied chain.Batch
	err := b.Each(
		func(key, value []byte) error { copied.Set(key, value); return nil },
		func(key []byte) error { copied.Delete(key); return nil },
	)
	if err != nil {
		return err
	}
	s.batches = append(s.batches, func(to chain.Store) error { return to.Commit(&copied, false) })
	return s.Store.Commit(b, sync)
}

// upTo is a store that kept the first n batches and lost the others.
func (s *tape) upTo(t require.TestingT, n int) chain.Store {
	m := store.Memory()
	for _, commit := range s.batches[:n] {
		require.NoError(t, commit(m))
	}
	return m
}

// summary is what a ledger says of itself.
func (p *party) summary(names []chain.Origin) string {
	var b strings.Builder
	l := p.ledger
	fmt.Fprintf(&b, "root %s sync %s clock %s subjects %d missing %v\n", l.Root(), l.SyncRoot(), l.Clock(), l.Subjects(), l.Missing())
	for _, h := range l.Held() {
		fmt.Fprintf(&b, "held %s %s %v %d\n", h.ID, h.Reason, h.WaitingFor, h.Behind)
	}
	for _, o := range names {
		info, _ := p.archive.Info(o)
		fmt.Fprintf(&b, "%s received %v applied %v frozen %v published %v %v\n", o, l.Head(o), l.Applied(o), l.Frozen(o), info.Received, info.Applied)
	}
	return b.String()
}

// script is a random history as one reader gets it: the runs of several
// writers, who depend on each other, and of chains that fork, break rules or
// depend on nothing, in any order.
func script(t *rapid.T) (runs []*chain.Run, names []chain.Origin) {
	parties := []*party{newParty(t, "a", "warehouse"), newParty(t, "bb", "fleet"), newParty(t, "ccc", "fleet")}
	write(t, parties, rapid.IntRange(5, 25).Draw(t, "steps"))
	for _, p := range parties {
		runs, names = append(runs, p.runs...), append(names, p.ledger.Origin())
	}
	fork := newForger("fork").genesis().status(1, "order/1", `{"f":1}`)
	runs = append(runs, fork.run(), fork.copy().status(1, "order/1", `{"f":2}`).run(), fork.copy().status(1, "order/1", `{"f":3}`).run())
	// Its dep is after it, or before.
	ms := rapid.SampledFrom([]uint64{1, 2_000_000}).Draw(t, "bad time")
	bad := newForger("bad").genesis().status(ms, "order/2", `{"f":1}`, fresh(0, names[0], 2)...)
	runs = append(runs, bad.run(), bad.status(1, "order/2", `{"f":2}`, num(0), num(0)).status(1, "order/2", `[]`).run())
	waits := newForger("waits").genesis().status(1, "order/1", `{"f":1}`)
	waits.status(1<<40, "order/1", `{"f":2}`, fresh(0, fork.origin, 3)...)
	runs = append(runs, waits.run(), waits.status(1, "order/1", `{"f":3}`, fresh(1, chain.Origin{1}, 1)...).run())
	names = append(names, fork.origin, bad.origin, waits.origin)
	runs = rapid.Permutation(runs).Draw(t, "order")
	return runs, names
}

// A ledger that is opened again after any of its commits, be it that the store
// lost the later ones, is what it was then, and goes on to the same end.
func TestOpenAtEveryCommit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runs, names := script(t)
		p := newParty(t, "reader", "reader")
		tape := &tape{Store: p.store}
		p.store = tape
		p.open(t)
		var was []string
		look := func() string { return p.summary(names) + p.everything(t, testSubjects) }
		was = append(was, look())
		deliver := func(p *party) {
			for progress := true; progress; {
				progress = false
				for _, r := range runs {
					progress = p.accept(t, r, 5000).Verdict == chain.Accepted || progress
				}
			}
		}
		for _, r := range runs {
			p.accept(t, r, 5000)
			for len(was) <= len(tape.batches) {
				was = append(was, look())
			}
		}
		deliver(p)
		end := look()
		for n := range was {
			q := newParty(t, "reader", "reader")
			q.store = tape.upTo(t, n)
			q.open(t)
			require.Equal(t, was[n], q.summary(names)+q.everything(t, testSubjects), "opened after %d of %d", n, len(tape.batches))
			// Opening writes nothing.
			batch, effects, err := q.ledger.Flush(5000)
			require.NoError(t, err)
			require.Zero(t, batch.Len())
			require.Equal(t, &chain.Effects{}, effects)
		}
		// From any of them the rest leads to the same end.
		n := rapid.IntRange(0, len(was)-1).Draw(t, "lost after")
		q := newParty(t, "reader", "reader")
		q.store = tape.upTo(t, n)
		q.open(t)
		for _, r := range runs {
			q.accept(t, r, 5000)
		}
		deliver(q)
		require.Equal(t, end, q.summary(names)+q.everything(t, testSubjects))
	})
}

// A writer that is opened again goes on with its table of origins as its peers
// know it, however deps came to it before.
func TestTableOutlivesOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const now = 1_000_000
		others := make([]*forger, 6)
		for i := range others {
			others[i] = newForger(fmt.Sprint(i)).genesis()
			for range 9 {
				others[i].status(1, "order/1", `{"o":1}`)
			}
		}
		p, peer := newParty(t, "writer", "warehouse"), newParty(t, "peer", "reader")
		for _, f := range others {
			r := f.run()
			for _, p := range []*party{p, peer} {
				require.Equal(t, chain.Accepted, p.accept(t, r, now).Verdict)
			}
		}
		for i := range rapid.IntRange(1, 12).Draw(t, "drafts") {
			d := chain.Draft{Subject: "order/2", Delta: fmt.Appendf(nil, `{"i":%d}`, i)}
			for range rapid.IntRange(0, 5).Draw(t, "deps") {
				f := others[rapid.IntRange(0, 5).Draw(t, "dep")]
				d.Deps = append(d.Deps, f.id(uint64(rapid.IntRange(1, 10).Draw(t, "seq"))))
			}
			prepared, err := chain.Prepare(d)
			require.NoError(t, err)
			r, err := p.ledger.Append(prepared, now+int64(i))
			require.NoError(t, err)
			require.Equal(t, prepared.Deps(), append([]chain.ID(nil), r.Deps...))
			if rapid.Bool().Draw(t, "flush") {
				p.flush(t, now)
				if rapid.Bool().Draw(t, "open") {
					p.open(t)
				}
			}
		}
		p.flush(t, now)
		for i, r := range p.runs {
			require.Equal(t, chain.Accepted, peer.accept(t, r, now).Verdict)
			if i%2 == 0 {
				peer.open(t)
			}
		}
		require.Equal(t, p.ledger.Root(), peer.ledger.Root())
		self := p.ledger.Origin()
		for seq := range p.ledger.Head(self).Seq {
			u, err := p.archive.Update(chain.ID{Origin: self, Seq: seq + 1})
			require.NoError(t, err)
			v, err := peer.archive.Update(chain.ID{Origin: self, Seq: seq + 1})
			require.NoError(t, err)
			require.Equal(t, u, v)
		}
	})
}

// The note of heads tells what a store has lost of its tail, and what it holds
// instead.
func TestHeadsNote(t *testing.T) {
	p := newParty(t, "reader", "reader")
	tape := &tape{Store: p.store}
	p.store = tape
	p.open(t)
	a, b := newForger("a").genesis().status(1, "order/1", `{"a":1}`), newForger("b").genesis()
	fork := a.copy()
	p.mustTake(t, a.run())
	n := len(tape.batches)
	p.mustTake(t, a.status(1, "order/1", `{"a":2}`).run())
	p.mustTake(t, b.run())
	note := p.archive.HeadsNote()
	lost, err := p.archive.CheckNote(note)
	require.NoError(t, err)
	require.Empty(t, lost)

	q := newParty(t, "reader", "reader")
	q.store = tape.upTo(t, n)
	q.open(t)
	lost, err = q.archive.CheckNote(note)
	require.NoError(t, err)
	want := []chain.Head{p.ledger.Head(a.origin), p.ledger.Head(b.origin)}
	if want[0].Origin.Compare(want[1].Origin) > 0 {
		want[0], want[1] = want[1], want[0]
	}
	require.Equal(t, want, lost)
	lost, err = q.archive.CheckNote(nil)
	require.NoError(t, err)
	require.Empty(t, lost)

	other := newParty(t, "other", "reader")
	other.mustTake(t, fork.status(1, "order/1", `{"a":"fork"}`).run())
	_, err = other.archive.CheckNote(note)
	require.ErrorIs(t, err, chain.ErrCorrupt)
	for n := range len(note) {
		if n > 0 {
			_, err = p.archive.CheckNote(note[:n])
			require.ErrorIs(t, err, chain.ErrCorrupt)
		}
	}
	_, err = p.archive.CheckNote(append(note, 0))
	require.ErrorIs(t, err, chain.ErrCorrupt)
}

// A store whose states are of version 1 goes on as one that never had any.
func TestStatesOfVersion1(t *testing.T) {
	a, b := newForger("a").genesis(), newForger("b").genesisBy("another")
	for i := range 40 {
		a.status(10, testSubjects[i%2], fmt.Sprintf(`{"a":%d,"both":{"n":%d}}`, i, i))
	}
	first := a.run()
	b.status(200, testSubjects[0], `{"b":1,"both":{"m":1}}`, fresh(0, a.origin, 3)...)
	second := b.run()
	later := a.status(1, testSubjects[0], `{"a":99}`).run()
	late := b.status(1, testSubjects[0], `{"b":2,"both":{"m":2}}`).run()
	was, now := newParty(t, "honest", "reader"), newParty(t, "honest", "reader")
	was.late, now.late = true, true // states of version 1 never lagged
	was.open(t)
	now.open(t)
	for _, r := range []*chain.Run{first, second} {
		was.accept(t, r, 5000)
		now.accept(t, r, 5000)
	}
	var batch chain.Batch
	it := was.store.Scan([]byte("s"), []byte("t"))
	for it.Next() {
		old, err := chain.FirstVersion(string(it.Key()[1:]), it.Value())
		require.NoError(t, err)
		require.NotEqual(t, it.Value(), old)
		batch.Set(it.Key(), old)
	}
	require.NoError(t, it.Close())
	require.Equal(t, 2, batch.Len())
	require.NoError(t, was.store.Commit(&batch, true))
	was.open(t)
	require.Equal(t, now.everything(t, testSubjects), was.everything(t, testSubjects))
	for _, r := range []*chain.Run{later, late} {
		was.accept(t, r, 5000)
		now.accept(t, r, 5000)
	}
	require.Equal(t, now.everything(t, testSubjects), was.everything(t, testSubjects))
	encoded, err := was.store.Get([]byte("s" + testSubjects[0]))
	require.NoError(t, err)
	want, err := now.store.Get([]byte("s" + testSubjects[0]))
	require.NoError(t, err)
	require.Equal(t, want, encoded, "what was written to since is of the present version")
}
