package chain_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// forked is a chain of three updates, two of which it shares with another branch,
// and the updates of a second chain that depends on the third.
func forked() (trunk, one, other, dependant *chain.Run, f *forger) {
	f = newForger("mallory").genesis().status(1, "order/1", `{"a":1}`)
	trunk = f.run()
	branch := f.copy()
	one = f.status(1, "order/1", `{"a":2}`).status(1, "order/2", `{"only":1}`).run()
	other = branch.status(1, "order/1", `{"a":3}`).run()
	g := newForger("dependant").genesis().status(500, "order/1", `{"b":1}`, fresh(0, f.origin, 3)...)
	return trunk, one, other, g.run(), f
}

// What is taken back is gone from everything that readers get, and a subject of
// which nothing is left is not there.
func TestRule10_TakenBack(t *testing.T) {
	trunk, one, other, dependant, f := forked()
	p := newParty(t, "honest", "reader")
	for _, r := range []*chain.Run{trunk, one, dependant} {
		p.mustTake(t, r)
	}
	require.Equal(t, uint64(2), p.ledger.Subjects())
	require.Equal(t, uint64(4), p.archive.Summary().Updates)
	_, err := p.take(t, other.Append(nil), 5000)
	require.NoError(t, err)
	require.Equal(t, uint64(1), p.ledger.Subjects())
	require.Equal(t, uint64(2), p.archive.Summary().Updates)
	_, err = p.archive.View(context.Background(), "order/2")
	require.ErrorIs(t, err, chain.ErrNotFound)
	_, err = p.archive.Update(f.id(3))
	require.ErrorIs(t, err, chain.ErrNotFound)
	state, err := p.archive.View(context.Background(), "order/1")
	require.NoError(t, err)
	require.Equal(t, `{"a":1,"b":1}`, string(state.Status().Append(nil)))
	require.Len(t, state.Heads(), 2, "the dependant has seen nothing of that chain any more")
	lost, err := p.archive.CheckNote(p.archive.HeadsNote())
	require.NoError(t, err)
	require.Empty(t, lost)
	require.Equal(t, chain.Frontier{f.origin: 2}, p.archive.Clamp(chain.Frontier{f.origin: 4}))
}

// What an update had seen of what is taken back it has seen no more, whoever depends on
// it later and though it is not the newest of its chain by then.
func TestRule10_SeenAndTakenBack(t *testing.T) {
	trunk, one, other, _, f := forked()
	g := newForger("dependant").genesis().status(500, "order/1", `{"b":1}`, fresh(0, f.origin, 3)...)
	for i := range 3 {
		g.status(1, "order/1", fmt.Sprintf(`{"b":%d}`, i))
	}
	seen := g.run()
	later := newForger("later").genesis().status(900, "order/1", `{"c":1}`, fresh(0, g.origin, 2)...).run()
	var all []string
	for _, runs := range [][]*chain.Run{{trunk, one, seen, other, later}, {trunk, one, other, seen, later}} {
		p := newParty(t, "honest", "reader")
		for _, r := range runs {
			_, err := p.take(t, r.Append(nil), 5000)
			require.NoError(t, err)
		}
		require.Equal(t, uint64(6), p.archive.Summary().Updates)
		all = append(all, p.everything(t, testSubjects)+p.dump(t))
	}
	require.Equal(t, all[0], all[1])
}

// A note of heads that was written before the freeze misses nothing.
func TestNoteFromBeforeAFreeze(t *testing.T) {
	trunk, one, other, _, _ := forked()
	p := newParty(t, "honest", "reader")
	p.mustTake(t, trunk)
	p.mustTake(t, one)
	note := p.archive.HeadsNote()
	_, err := p.take(t, other.Append(nil), 5000)
	require.NoError(t, err)
	p.open(t)
	lost, err := p.archive.CheckNote(note)
	require.NoError(t, err)
	require.Empty(t, lost)
}

// A cursor that has seen what was taken back goes back to the freeze, is told
// so once, and then knows it: a node that does not, withholds what is beyond.
func TestRule11_Retracted(t *testing.T) {
	trunk, one, other, dependant, f := forked()
	knows, lacks := newParty(t, "knows", "reader"), newParty(t, "lacks", "reader")
	for _, p := range []*party{knows, lacks} {
		for _, r := range []*chain.Run{trunk, one, dependant} {
			p.mustTake(t, r)
		}
	}
	page, seen := knows.page(t, chain.Cursor{}, chain.Filter{}, 10)
	require.Equal(t, []chain.ID{f.id(2), f.id(3), f.id(4), {Origin: dependant.Origin, Seq: 2}}, feedIDs(page))
	require.Empty(t, page.Retracted)
	_, early := knows.page(t, chain.Cursor{}, chain.Filter{}, 1) // before any of that
	_, err := knows.take(t, other.Append(nil), 5000)
	require.NoError(t, err)

	page, err = knows.archive.Feed(seen, chain.Filter{}, 10, nil)
	require.NoError(t, err)
	require.Equal(t, []chain.Retraction{{Origin: f.origin, After: 2}}, page.Retracted)
	require.Empty(t, page.Updates)
	require.True(t, page.UpToDate)
	require.Empty(t, page.Behind)
	require.Equal(t, chain.Seq(2), page.Cursor.Frontier[f.origin])
	require.Equal(t, chain.Frontier{f.origin: 2}, page.Cursor.Told)
	require.Equal(t, chain.Seq(4), seen.Frontier[f.origin], "the caller's is its own")
	again, _ := knows.page(t, page.Cursor, chain.Filter{}, 10)
	require.Empty(t, again.Retracted, "once is enough")

	// Where the freeze is not known, what is beyond it is there, and withheld.
	there, kept := lacks.page(t, page.Cursor, chain.Filter{}, 10)
	require.Empty(t, there.Updates)
	require.Equal(t, []chain.Origin{f.origin}, there.Behind)
	require.Equal(t, page.Cursor, kept)

	// Who had seen none of it has nothing to take back, and does not get it: not
	// even later, from a node that lacks the freeze, after what depends on it.
	page, told := knows.page(t, early, chain.Filter{}, 10)
	require.Empty(t, page.Retracted)
	require.Equal(t, []chain.ID{{Origin: dependant.Origin, Seq: 2}}, feedIDs(page))
	there, _ = lacks.page(t, told, chain.Filter{}, 10)
	require.Empty(t, there.Updates)
	require.Equal(t, []chain.Origin{f.origin}, there.Behind)
	require.Equal(t, knows.archive.Now(chain.Filter{}), told)
}

// A chain that forks in its genesis is nowhere any more.
func TestRule10_ForkedGenesis(t *testing.T) {
	p := newParty(t, "honest", "reader")
	f := newForger("mallory").genesis().status(1, "order/1", `{"a":1}`)
	p.mustTake(t, f.run())
	_, seen := p.page(t, chain.Cursor{}, chain.Filter{}, 10)
	g := chain.Genesis{Key: public(f.key), Node: "other", Authority: "other"}
	_, err := p.take(t, newForger("mallory").link(list(num(0), num(1), num(0)), string(g.AppendBody(nil))).run().Append(nil), 5000)
	require.NoError(t, err)
	for range 2 {
		require.Empty(t, p.archive.Chains())
		require.Equal(t, chain.Frontier{}, p.archive.Frontier())
		require.Zero(t, p.ledger.Subjects())
		require.Zero(t, p.archive.Summary().Updates)
		require.Equal(t, p.ledger.Root(), p.ledger.SyncRoot())
		page, err := p.archive.Feed(seen, chain.Filter{}, 10, nil)
		require.NoError(t, err)
		require.Equal(t, []chain.Retraction{{Origin: f.origin, After: 0}}, page.Retracted)
		next, err := chain.ParseCursor(page.Cursor.String())
		require.NoError(t, err)
		require.Equal(t, chain.Cursor{Frontier: chain.Frontier{}, Told: chain.Frontier{f.origin: 0}}, next)
		runs, err := p.archive.Runs(f.origin, 1, 1<<20)
		require.NoError(t, err)
		require.Empty(t, runs)
		p.open(t)
	}
}

// A chain ends where its own key says, and only that key can say it.
func TestRule10_Seal(t *testing.T) {
	p, f := begun(t)
	head := chain.Head{Origin: f.origin, Seq: f.seq, Hash: f.hash}
	next := f.status(1, "order/1", `{"late":1}`).run()
	forged := chain.SignSeal(f.key, head)
	forged.Proof[1] = chain.SignSeal(testKey("other"), head).Proof[1]
	out, err := p.ledger.AcceptFreeze(forged, 5000)
	require.NoError(t, err)
	require.Equal(t, chain.Refused, out.Verdict)
	require.ErrorIs(t, out.Err, chain.ErrSignature)
	ordinary := chain.Sign(f.key, head)
	forged.Proof[1] = ordinary[:]
	require.ErrorIs(t, forged.Verify(), chain.ErrSignature, "a run's seal ends nothing")
	require.Nil(t, p.ledger.Frozen(f.origin))

	out, err = p.ledger.AcceptFreeze(chain.SignSeal(f.key, head), 5000)
	require.NoError(t, err)
	require.Equal(t, chain.Accepted, out.Verdict)
	p.flush(t, 5000)
	require.Equal(t, head, p.ledger.Applied(f.origin))
	refused, err := p.take(t, next.Append(nil), 5000)
	require.NoError(t, err)
	require.Equal(t, chain.Refused, refused.Verdict)
	require.NoError(t, proof(t, p, f.origin).Verify())
}

// Evidence that does not show what it is said to show is refused.
func TestFreezeRefusesEvidence(t *testing.T) {
	trunk, one, other, _, f := forked()
	p := newParty(t, "honest", "reader")
	for _, r := range []*chain.Run{trunk, one, other} {
		_, err := p.take(t, r.Append(nil), 5000)
		require.NoError(t, err)
	}
	good := proof(t, p, f.origin)
	for name, c := range map[string]struct {
		spoil func(*chain.Freeze)
		want  error
	}{
		"another seq":        {func(f *chain.Freeze) { f.After = 3 }, chain.ErrEvidence},
		"a lower seq":        {func(f *chain.Freeze) { f.After = 1 }, chain.ErrEvidence},
		"the same twice":     {func(f *chain.Freeze) { f.Proof[1] = f.Proof[0] }, chain.ErrEvidence},
		"the other order":    {func(f *chain.Freeze) { f.Proof[0], f.Proof[1] = f.Proof[1], f.Proof[0] }, chain.ErrEvidence},
		"the trunk":          {func(f *chain.Freeze) { f.Proof[1] = trunk.Append(nil) }, chain.ErrEvidence},
		"another key":        {func(f *chain.Freeze) { f.Key = public(testKey("other")) }, chain.ErrEvidence},
		"a bad signature":    {func(f *chain.Freeze) { f.Proof[0][60] ^= 1 }, chain.ErrEvidence},
		"an altered body":    {func(f *chain.Freeze) { f.Proof[0][len(f.Proof[0])-2] ^= 1 }, chain.ErrSignature},
		"a valid as invalid": {func(f *chain.Freeze) { f.Reason, f.Proof = chain.FreezeInvalid, f.Proof[:1] }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bad, err := chain.DecodeFreeze(good.Append(nil))
			require.NoError(t, err)
			c.spoil(bad)
			if bad, err = chain.DecodeFreeze(bad.Append(nil)); err == nil {
				err = bad.Verify()
			}
			if c.want != nil {
				require.Error(t, err)
				q := newParty(t, "another", "reader")
				if bad != nil {
					out, err := q.ledger.AcceptFreeze(bad, 5000)
					require.NoError(t, err)
					require.Equal(t, chain.Refused, out.Verdict)
				}
				require.Empty(t, q.ledger.Freezes())
				return
			}
			// Only the chain itself can tell that there is nothing wrong with it.
			require.NoError(t, err)
			q := newParty(t, "another", "reader")
			out, err := q.ledger.AcceptFreeze(bad, 5000)
			require.NoError(t, err)
			require.Equal(t, chain.Gap, out.Verdict)
			q.mustTake(t, trunk)
			out, err = q.ledger.AcceptFreeze(bad, 5000)
			require.NoError(t, err)
			require.Equal(t, chain.Accepted, out.Verdict, "as a run")
			require.Empty(t, q.ledger.Freezes())
		})
	}
}

// However many freezes of unknown chains there are, and in whatever order they
// come, nodes that have heard of the same ones have the same roots.
func TestFreezesOfStrangers(t *testing.T) {
	const many = 600
	p, q := newParty(t, "one", "reader"), newParty(t, "two", "reader")
	var freezes []*chain.Freeze
	for i := range many {
		f := newForger(fmt.Sprint("unknown ", i))
		freezes = append(freezes, chain.SignSeal(f.key, chain.Head{Origin: f.origin}))
	}
	for i := range freezes {
		for at, f := range map[*party]*chain.Freeze{p: freezes[i], q: freezes[many-1-i]} {
			f, err := chain.DecodeFreeze(f.Append(nil))
			require.NoError(t, err)
			out, err := at.ledger.AcceptFreeze(f, 5000)
			require.NoError(t, err)
			require.Equal(t, chain.Accepted, out.Verdict, i)
		}
	}
	p.flush(t, 5000)
	q.flush(t, 5000)
	require.Len(t, p.archive.Freezes(), many)
	require.Equal(t, p.ledger.Root(), q.ledger.Root())
	require.Equal(t, p.ledger.SyncRoot(), q.ledger.SyncRoot())
	require.Empty(t, p.archive.Chains())
	p.open(t)
	require.Len(t, p.ledger.Freezes(), many)
	require.Equal(t, q.ledger.Root(), p.ledger.Root())
}

// What a node had acknowledged beyond its freeze it says again under a new
// origin, with the same keys, and it takes effect again.
func TestRepublish(t *testing.T) {
	old := newParty(t, "twin", "warehouse")
	first := old.publish(t, 2000, chain.Draft{Subject: "order/1", Delta: []byte(`{"a":1}`), Key: "k0"})
	second := old.publish(t, 2001, chain.Draft{Subject: "order/1", Delta: []byte(`{"a":2}`), Key: "k1"})
	third := old.publish(t, 2002, chain.Draft{Subject: "order/2", Delta: []byte(`{"b":1}`), Cause: second.ID, Hook: "h"})
	tail := &forger{key: testKey("twin"), origin: first.ID.Origin}
	_, updates, _, err := old.archive.Page(first.ID.Origin, 1, 10)
	require.NoError(t, err)
	tail.seq, tail.hash, tail.first, tail.prev = 2, updates[1].Hash, 3, updates[1].Hash
	_, err = old.take(t, tail.status(1, "order/1", `{"twin":1}`).run().Append(nil), 5000)
	require.NoError(t, err)
	require.Equal(t, chain.Seq(2), old.archive.Frozen(first.ID.Origin).After)

	fresh := &party{name: "twin", config: old.config, store: old.store}
	fresh.config.Key, fresh.config.Predecessor = testKey("twin again"), first.ID.Origin
	fresh.open(t)
	var said []chain.Receipt
	for u, err := range fresh.archive.Beyond(first.ID.Origin, 0) {
		require.NoError(t, err)
		r, err := fresh.ledger.Republish(u, 6000)
		require.NoError(t, err)
		said = append(said, r)
	}
	fresh.flush(t, 6000)
	require.Len(t, said, 2)
	require.Equal(t, []chain.ID{first.ID}, said[0].Deps)
	require.Equal(t, []chain.ID{first.ID}, said[1].Deps, "of another subject, and after it on its chain")
	u, err := fresh.archive.Update(said[0].ID)
	require.NoError(t, err)
	require.Equal(t, `{"a":2}`, string(u.Delta))
	u, err = fresh.archive.Update(said[1].ID)
	require.NoError(t, err)
	require.Equal(t, "order/2", u.Subject)
	require.True(t, u.Cause.IsZero(), "what it answered counts no more")
	require.NotEqual(t, third.ID, u.ID)
	for key, want := range map[string]chain.ID{"k0": first.ID, "k1": said[0].ID} {
		delta := map[string]string{"k0": `{"a":1}`, "k1": `{"a":2}`}[key]
		r := fresh.publish(t, 7000, chain.Draft{Subject: "order/1", Delta: []byte(delta), Key: key})
		require.True(t, r.Repeated)
		require.Equal(t, want, r.ID)
	}
	for range fresh.archive.Beyond(first.ID.Origin, 4) {
		t.Fatal("it begins after what was said")
	}
	// What its caller has sent again under its key is not said once more, whoever
	// it is that has forgotten that it was: an old copy put back, say.
	head := fresh.ledger.Head(said[0].ID.Origin)
	for u, err := range fresh.archive.Beyond(first.ID.Origin, 0) {
		require.NoError(t, err)
		if u.Key.IsZero() {
			continue
		}
		r, err := fresh.ledger.Republish(u, 7000)
		require.NoError(t, err)
		require.True(t, r.Repeated)
		require.Equal(t, said[0].ID, r.ID)
	}
	require.Equal(t, head, fresh.ledger.Head(said[0].ID.Origin))
	// A peer takes it like any other.
	peer := newParty(t, "peer", "reader")
	for _, r := range fresh.runs {
		peer.accept(t, r, 7000)
	}
	require.Equal(t, chain.Seq(1), peer.ledger.Applied(said[0].ID.Origin).Seq, "what it depends on is not here")
}

// A history that is being read when its updates are taken back ends without
// them, and without an error.
func TestHistoryWhileTakenBack(t *testing.T) {
	trunk, one, other, _, f := forked()
	p := newParty(t, "honest", "reader")
	p.mustTake(t, trunk)
	p.mustTake(t, one)
	var got []chain.ID
	for u, err := range p.archive.History("order/1") {
		require.NoError(t, err)
		got = append(got, u.ID)
		if len(got) == 1 {
			_, err := p.take(t, other.Append(nil), 5000)
			require.NoError(t, err)
		}
	}
	require.Equal(t, []chain.ID{f.id(2)}, got)
}

// An update that has as many dependencies as one may have keeps them when it is
// published again: there is no place for one on what still counts of its former
// chain. What follows it has that again.
func TestRepublishOfAnUpdateWithAllItsDeps(t *testing.T) {
	old := newParty(t, "twin", "warehouse")
	var deps []chain.ID
	for i := range chain.MaxDeps {
		f := newForger(fmt.Sprint("dep ", i)).genesis().status(1, "order/9", `{}`)
		old.mustTake(t, f.run())
		deps = append(deps, f.id(2))
	}
	slices.SortFunc(deps, chain.ID.Compare)
	first := old.publish(t, 6000, chain.Draft{Subject: "order/1", Delta: []byte(`{"a":1}`)})
	old.publish(t, 6001, chain.Draft{Subject: "order/2", Delta: []byte(`{"b":1}`), Deps: deps})
	old.publish(t, 6002, chain.Draft{Subject: "order/3", Delta: []byte(`{"c":1}`)})
	_, err := old.ledger.AcceptFreeze(chain.SignSeal(testKey("twin"), old.runs[0].Head()), 7000)
	require.NoError(t, err)
	old.flush(t, 7000)
	require.Equal(t, first.ID.Seq, old.archive.Frozen(first.ID.Origin).After)

	fresh := &party{name: "twin", config: old.config, store: old.store}
	fresh.config.Key, fresh.config.Predecessor = testKey("twin again"), first.ID.Origin
	fresh.open(t)
	var said []chain.Receipt
	for u, err := range fresh.archive.Beyond(first.ID.Origin, 0) {
		require.NoError(t, err)
		r, err := fresh.ledger.Republish(u, 8000)
		require.NoError(t, err)
		said = append(said, r)
	}
	fresh.flush(t, 8000)
	require.Len(t, said, 2)
	require.Equal(t, deps, said[0].Deps)
	require.Equal(t, []chain.ID{first.ID}, said[1].Deps)
	peer := newParty(t, "peer", "reader")
	for _, r := range fresh.runs {
		require.Equal(t, chain.Accepted, peer.accept(t, r, 9000).Verdict)
	}
}
