package chain_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
)

const keyLife = int64(24 * 3_600_000)

func keyed(key, subject, delta string, deps ...chain.ID) chain.Draft {
	return chain.Draft{Subject: subject, Delta: []byte(delta), Key: key, Deps: deps}
}

func (p *party) try(t require.TestingT, now int64, d chain.Draft) (chain.Receipt, error) {
	prepared, err := chain.Prepare(d)
	require.NoError(t, err)
	r, err := p.ledger.Append(prepared, now)
	p.flush(t, now)
	return r, err
}

// The same key with the same content is answered with the first update, with
// other content it is refused; in one batch, in another, and after an open.
func TestRule13_KeyIsAnsweredOnce(t *testing.T) {
	for _, when := range []string{"same batch", "next batch", "opened again"} {
		t.Run(when, func(t *testing.T) {
			p, dep := newParty(t, "a", "warehouse"), newForger("dep").genesis().status(1, "order/2", `{}`)
			p.mustTake(t, dep.run())
			first, err := chain.Prepare(keyed("k", "order/1", `{"a":1,"b":"x"}`, dep.id(2)))
			require.NoError(t, err)
			r, err := p.ledger.Append(first, 1000)
			require.NoError(t, err)
			if when != "same batch" {
				p.flush(t, 1000)
			}
			if when == "opened again" {
				p.open(t)
			}
			again := r
			again.Repeated = true
			// As a value it is the same, however it is written.
			for _, delta := range []string{`{"a":1,"b":"x"}`, `{ "b":"\u0078", "a":1 }`, `{"a":1.0,"b":"x"}`, `{"a":10e-1,"b":"x"}`} {
				got, err := p.try(t, 2000, keyed("k", "order/1", delta, dep.id(2), dep.id(2)))
				require.NoError(t, err)
				require.Equal(t, again, got)
			}
			for name, d := range map[string]chain.Draft{
				"subject": keyed("k", "order/2", `{"a":1,"b":"x"}`, dep.id(2)),
				"delta":   keyed("k", "order/1", `{"a":2,"b":"x"}`, dep.id(2)),
				"deps":    keyed("k", "order/1", `{"a":1,"b":"x"}`),
				"hook":    {Subject: "order/1", Delta: []byte(`{"a":1,"b":"x"}`), Key: "k", Cause: dep.id(2), Hook: "r"},
			} {
				_, err := p.try(t, 2000, d)
				require.ErrorIs(t, err, chain.ErrKeyReused, name)
			}
			require.Equal(t, chain.Seq(2), p.ledger.Head(p.ledger.Origin()).Seq)
			other, err := p.try(t, 2000, keyed("another", "order/1", `{"c":1}`))
			require.NoError(t, err)
			require.Equal(t, chain.Seq(3), other.ID.Seq)
		})
	}
}

// Deps that are dropped are none of the content: repeated ones and those of the
// own chain. The cause is, on whatever chain it is.
func TestKeyedContentWithoutDroppedDeps(t *testing.T) {
	p, dep := newParty(t, "a", "warehouse"), newForger("dep").genesis().status(1, "order/2", `{}`).status(2, "order/2", `{"x":1}`)
	p.mustTake(t, dep.run())
	own, err := p.try(t, 1000, keyed("", "order/1", `{"s":0}`))
	require.NoError(t, err)
	two, three, delta := dep.id(2), dep.id(3), `{"s":1}`
	first, err := p.try(t, 1001, keyed("k", "order/1", delta, two, three))
	require.NoError(t, err)
	for _, deps := range [][]chain.ID{{three, two, own.ID}, {own.ID, two, three, two}, {two, three}} {
		r, err := p.try(t, 1002, keyed("k", "order/1", delta, deps...))
		require.NoError(t, err)
		require.True(t, r.Repeated)
		require.Equal(t, first.ID, r.ID)
	}
	// And the other way round: they are none of what is kept.
	first, err = p.try(t, 1003, keyed("with own", "order/1", `{"s":2}`, own.ID))
	require.NoError(t, err)
	p.open(t)
	r, err := p.try(t, 1004, keyed("with own", "order/1", `{"s":2}`))
	require.NoError(t, err)
	require.Equal(t, first.ID, r.ID)
	_, err = p.try(t, 1005, chain.Draft{Subject: "order/1", Delta: []byte(`{"s":2}`), Key: "with own", Cause: own.ID, Hook: "r"})
	require.ErrorIs(t, err, chain.ErrKeyReused)
}

// What is not applied here is named, and by the field that asks for it.
func TestAppendNamesWhatIsNotApplied(t *testing.T) {
	p, dep := newParty(t, "a", "warehouse"), newForger("dep").genesis().status(1, "order/2", `{}`)
	p.mustTake(t, dep.run())
	ahead, here, next := chain.ID{Origin: p.ledger.Origin(), Seq: 9}, dep.id(2), dep.id(3)
	for name, c := range map[string]struct {
		draft   chain.Draft
		field   string
		missing []chain.ID
	}{
		"dep":                 {chain.Draft{Deps: []chain.ID{here, next}}, "deps", []chain.ID{next}},
		"own dep":             {chain.Draft{Deps: []chain.ID{ahead}}, "deps", []chain.ID{ahead}},
		"cause":               {chain.Draft{Cause: next, Hook: "r", Deps: []chain.ID{here}}, "cause", []chain.ID{next}},
		"own cause":           {chain.Draft{Cause: ahead, Hook: "r"}, "cause", []chain.ID{ahead}},
		"dep beside a cause":  {chain.Draft{Cause: here, Hook: "r", Deps: []chain.ID{next}}, "deps", []chain.ID{next}},
		"own dep and a cause": {chain.Draft{Cause: here, Hook: "r", Deps: []chain.ID{ahead}}, "deps", []chain.ID{ahead}},
	} {
		c.draft.Subject, c.draft.Delta = "order/1", []byte(`{"s":1}`)
		_, err := p.try(t, 1000, c.draft)
		var draft *chain.DraftError
		var lacks *chain.DependencyError
		require.ErrorAs(t, err, &draft, name)
		require.ErrorAs(t, err, &lacks, name)
		require.Equal(t, c.field, draft.Field, name)
		require.Equal(t, c.missing, lacks.IDs, name)
	}
}

// The key is looked up before the content is found to be unchanged: the retry
// of an update that others have since undone must not publish it anew, and
// that of a refused one must say so.
func TestRule13_KeyBeforeUnchanged(t *testing.T) {
	p := newParty(t, "a", "warehouse")
	first, err := p.try(t, 1000, keyed("k", "order/1", `{"s":1}`))
	require.NoError(t, err)
	_, err = p.try(t, 1001, keyed("", "order/1", `{"s":2}`))
	require.NoError(t, err)
	r, err := p.try(t, 1002, keyed("k", "order/1", `{"s":1}`))
	require.NoError(t, err)
	require.True(t, r.Repeated)
	require.Equal(t, first.ID, r.ID)
	_, err = p.try(t, 1003, keyed("k", "order/1", `{"s":2}`))
	require.ErrorIs(t, err, chain.ErrKeyReused, "though it would be unchanged")
}

// What added nothing is remembered beside, with the update that it was
// answered, and stays so when the subject moves on.
func TestKeyOfUnchanged(t *testing.T) {
	p := newParty(t, "a", "warehouse")
	first, err := p.try(t, 1000, keyed("", "order/1", `{"s":1}`))
	require.NoError(t, err)
	want := chain.Receipt{ID: first.ID, Subject: "order/1", HLC: first.HLC, Unchanged: true}
	r, err := p.try(t, 1001, keyed("k", "order/1", `{"s":1}`))
	require.NoError(t, err)
	require.Equal(t, want, r)
	nothing, err := p.try(t, 1001, keyed("n", "order/2", `{"s":null}`))
	require.NoError(t, err)
	require.Equal(t, chain.Receipt{Subject: "order/2", Unchanged: true}, nothing)
	_, err = p.try(t, 1002, keyed("", "order/1", `{"s":2}`))
	require.NoError(t, err)
	_, err = p.try(t, 1002, keyed("", "order/2", `{"s":2}`))
	require.NoError(t, err)
	p.open(t)
	want.Repeated, nothing.Repeated = true, true
	r, err = p.try(t, 1003, keyed("k", "order/1", `{"s":1}`))
	require.NoError(t, err)
	require.Equal(t, want, r)
	r, err = p.try(t, 1003, keyed("n", "order/2", `{"s":null}`))
	require.NoError(t, err)
	require.Equal(t, nothing, r)
	_, err = p.try(t, 1003, keyed("k", "order/1", `{"s":3}`))
	require.ErrorIs(t, err, chain.ErrKeyReused)
}

// A key is good for a day, then it is free, and what is kept of it goes.
func TestKeyLife(t *testing.T) {
	p := newParty(t, "a", "warehouse")
	first, err := p.try(t, 1000, keyed("k", "order/1", `{"s":1}`))
	require.NoError(t, err)
	r, err := p.try(t, 1000+keyLife, keyed("k", "order/1", `{"s":1}`))
	require.NoError(t, err)
	require.Equal(t, first.ID, r.ID)
	require.True(t, r.Repeated)
	second, err := p.try(t, 1001+keyLife, keyed("k", "order/1", `{"s":2}`))
	require.NoError(t, err)
	require.NotEqual(t, first.ID, second.ID)
	// The old entry by age must not take the new answer with it.
	for i := range int64(3) {
		_, err = p.try(t, 2000+keyLife+i*61_000, keyed(fmt.Sprint(i), "order/1", `{"s":2}`))
		require.NoError(t, err)
	}
	r, err = p.try(t, 1001+2*keyLife, keyed("k", "order/1", `{"s":2}`))
	require.NoError(t, err)
	require.Equal(t, second.ID, r.ID)
	require.True(t, r.Repeated)
	// A clock that went back does not free it.
	r, err = p.try(t, 5, keyed("k", "order/1", `{"s":2}`))
	require.NoError(t, err)
	require.True(t, r.Repeated)
}

// A key that is used while the clock stands far behind is kept when it is set
// right, whether it was published or changed nothing.
func TestKeyOfAClockFarBehind(t *testing.T) {
	p := newParty(t, "a", "warehouse")
	now := 400 * keyLife
	_, err := p.try(t, now, keyed("before", "order/1", `{"s":1}`))
	require.NoError(t, err)
	first, err := p.try(t, now-365*keyLife, keyed("published", "order/1", `{"s":2}`))
	require.NoError(t, err)
	_, err = p.try(t, now-365*keyLife, keyed("unchanged", "order/1", `{"s":2}`))
	require.NoError(t, err)
	_, err = p.try(t, now, keyed("after", "order/1", `{"s":3}`))
	require.NoError(t, err)
	r, err := p.try(t, now, keyed("published", "order/1", `{"s":2}`))
	require.NoError(t, err)
	require.True(t, r.Repeated)
	require.Equal(t, first.ID, r.ID)
	r, err = p.try(t, now, keyed("unchanged", "order/1", `{"s":2}`))
	require.NoError(t, err)
	require.True(t, r.Repeated && r.Unchanged)
}

// A clock that is far ahead for a moment takes no key with it, neither where
// others tell that it is wrong nor by the time gone on a node that is alone: not
// of what is sent again meanwhile, nor of what is sent again afterwards.
func TestKeysOutliveAClockFarAhead(t *testing.T) {
	const now, year = 1_700_000_000_000, 365 * keyLife
	for name, bound := range map[string]func(*party, int64){
		"by the others' clocks": func(p *party, at int64) { require.NoError(t, p.ledger.SetLimit(at+10_000, at)) },
		"by the time gone":      func(p *party, at int64) { p.ledger.SetKeyTime(at) },
	} {
		p := newParty(t, "a", "warehouse")
		bound(p, now)
		first, err := p.try(t, now, keyed("k", "order/1", `{"s":1}`))
		require.NoError(t, err)
		_, err = p.try(t, now, keyed("unchanged", "order/1", `{"s":1}`))
		require.NoError(t, err)
		bound(p, now+1000)
		for i := range int64(3) {
			_, err = p.try(t, now+year+i*61_000, keyed(fmt.Sprint(i), "order/2", `{"s":null}`))
			require.NoError(t, err)
		}
		for _, at := range []int64{now + year, now + 2000} {
			r, err := p.try(t, at, keyed("k", "order/1", `{"s":1}`))
			require.NoError(t, err)
			require.True(t, r.Repeated, name)
			require.Equal(t, first.ID, r.ID)
			r, err = p.try(t, at, keyed("unchanged", "order/1", `{"s":1}`))
			require.NoError(t, err)
			require.True(t, r.Repeated && r.Unchanged, name)
		}
	}
}

// While the own chain comes back from peers the clock may be anything. The keys
// of its last day come back with it, and not all others.
func TestAdoptedKeysAreAsOldAsTheChainSays(t *testing.T) {
	const now, year = 1_700_000_000_000, 365 * keyLife
	p := newParty(t, "a", "warehouse")
	const days, each = 5, 40
	for i := range days * each {
		at := now + int64(i)*keyLife/each
		_, err := p.try(t, at, keyed(fmt.Sprint(i), "order/1", fmt.Sprintf(`{"s":%d}`, i)))
		require.NoError(t, err)
	}
	end := int64(now + days*keyLife)
	for _, wrong := range []int64{end - year, end, end + year} {
		q := newParty(t, "a", "warehouse")
		for _, r := range p.runs {
			require.Equal(t, chain.Accepted, q.accept(t, r, wrong).Verdict)
		}
		kept := len(storetest.Dump(t, q.store, []byte{'k'}, []byte{'k' + 1}))
		if wrong >= end {
			require.Less(t, kept, (days-1)*each)
		}
		r, err := q.try(t, end, keyed(fmt.Sprint(days*each-1), "order/1", fmt.Sprintf(`{"s":%d}`, days*each-1)))
		require.NoError(t, err)
		require.True(t, r.Repeated)
		require.Equal(t, chain.Seq(days*each+1), r.ID.Seq)
	}
}

// Keys go at least as fast as they come: a node that takes many a second does
// not keep them for ever.
func TestKeysArePurged(t *testing.T) {
	p := newParty(t, "a", "warehouse")
	const batch, batches = 4000, 8
	count := func(kind byte) int { return len(storetest.Dump(t, p.store, []byte{kind}, []byte{kind + 1})) }
	n := 0
	fill := func(now int64, keys int) {
		for range keys {
			n++
			prepared, err := chain.Prepare(keyed(fmt.Sprint(n), "order/1", `{"s":null}`))
			require.NoError(t, err)
			_, err = p.ledger.Append(prepared, now)
			require.NoError(t, err)
		}
		p.flush(t, now)
	}
	for i := range int64(batches) {
		fill(1000+i, batch)
	}
	require.Equal(t, batch*batches, count('k'))
	for i := range int64(batches) {
		fill(5000+keyLife+i, batch)
	}
	require.Equal(t, batch*batches, count('k'))
	require.Equal(t, batch*batches, count('x'))
	// A slow one gets rid of them too.
	for i := range int64(40) {
		fill(5000+2*keyLife+batches+i, 1)
	}
	require.Equal(t, 40, count('k'))
	require.Equal(t, 40, count('x'))
}

// A store that lost the own chain takes it from a peer, and its keys with it.
func TestRule13_AdoptedChainBringsKeysBack(t *testing.T) {
	p := newParty(t, "a", "warehouse")
	const now = 1_700_000_000_000
	old, err := p.try(t, now-keyLife-60_000, keyed("reused", "order/1", `{"s":0}`))
	require.NoError(t, err)
	first, err := p.try(t, now-3000, keyed("k", "order/1", `{"s":1}`))
	require.NoError(t, err)
	second, err := p.try(t, now-2000, keyed("reused", "order/1", `{"s":2}`))
	require.NoError(t, err)
	require.NotEqual(t, old.ID, second.ID)
	peer := newParty(t, "peer", "reader")
	for _, r := range p.runs {
		peer.accept(t, r, now)
	}
	joined, err := peer.archive.Runs(p.ledger.Origin(), 1, 1<<20)
	require.NoError(t, err)
	require.Len(t, joined, 1)
	apart := [][]byte{}
	for _, r := range p.runs {
		apart = append(apart, r.Append(nil))
	}
	for name, runs := range map[string][][]byte{"in one run": joined, "run by run": apart} {
		t.Run(name, func(t *testing.T) {
			q := newParty(t, "a", "warehouse") // the same key, an empty store
			for _, b := range runs {
				r, err := chain.DecodeRun(b)
				require.NoError(t, err)
				require.Equal(t, chain.Accepted, q.accept(t, r, now).Verdict)
			}
			// The key that was used twice stands for its later use.
			r, err := q.try(t, now, keyed("reused", "order/1", `{"s":2}`))
			require.NoError(t, err)
			require.True(t, r.Repeated)
			require.Equal(t, second.ID, r.ID)
			r, err = q.try(t, now, keyed("k", "order/1", `{"s":1}`))
			require.NoError(t, err)
			require.True(t, r.Repeated)
			require.Equal(t, first.ID, r.ID)
			_, err = q.try(t, now, keyed("k", "order/1", `{"s":9}`))
			require.ErrorIs(t, err, chain.ErrKeyReused)
			// And it goes on where it was.
			third, err := q.try(t, now, keyed("k3", "order/1", `{"s":3}`))
			require.NoError(t, err)
			require.Equal(t, second.ID.Seq+1, third.ID.Seq)
			head := q.ledger.Head(third.ID.Origin)
			require.Equal(t, q.runs[0].Head(), head)
			require.Equal(t, q.runs[0].Prev, peer.ledger.Head(third.ID.Origin).Hash)
		})
	}
}

// A peer's own keys are its own: an update of another chain answers no key
// here.
func TestKeysOfOthersAreTheirs(t *testing.T) {
	p, q := newParty(t, "a", "warehouse"), newParty(t, "b", "warehouse")
	first, err := p.try(t, 1000, keyed("k", "order/1", `{"s":1}`))
	require.NoError(t, err)
	q.accept(t, p.runs[0], 1000)
	r, err := q.try(t, 1000, keyed("k", "order/1", `{"s":2}`))
	require.NoError(t, err)
	require.NotEqual(t, first.ID.Origin, r.ID.Origin)
}

// What an old copy of the store remembers of a key gives way to what the chain
// says that it was used for since.
func TestAdoptedKeyBeatsAnOlderAnswer(t *testing.T) {
	const now = 1_700_000_000_000
	p, q := newParty(t, "a", "warehouse"), newParty(t, "a", "warehouse")
	_, err := q.try(t, now-keyLife-1000, keyed("k", "order/2", `{"s":null}`))
	require.NoError(t, err)
	r, err := p.try(t, now-2000, keyed("k", "order/1", `{"s":1}`))
	require.NoError(t, err)
	require.Equal(t, chain.Accepted, q.accept(t, p.runs[0], now).Verdict)
	again, err := q.try(t, now, keyed("k", "order/1", `{"s":1}`))
	require.NoError(t, err)
	require.True(t, again.Repeated)
	require.Equal(t, r.ID, again.ID)
	// And the other way round: a later answer stays.
	z := newParty(t, "a", "warehouse")
	_, err = z.try(t, now-1000, keyed("k", "order/2", `{"s":null}`))
	require.NoError(t, err)
	require.Equal(t, chain.Accepted, z.accept(t, p.runs[0], now).Verdict)
	again, err = z.try(t, now, keyed("k", "order/2", `{"s":null}`))
	require.NoError(t, err)
	require.True(t, again.Repeated && again.Unchanged)
}

// A cause is checked like any dep: one that names no update is the draft's
// fault, not the store's.
func TestPrepareRefusesCausesOfNothing(t *testing.T) {
	p, f := begun(t)
	for _, seq := range []uint64{0, 1 << 63, 1<<64 - 1} {
		_, err := chain.Prepare(chain.Draft{Subject: "order/1", Delta: []byte(`{}`), Cause: f.id(seq), Hook: "r"})
		var draft *chain.DraftError
		require.ErrorAs(t, err, &draft)
		require.Equal(t, "cause", draft.Field)
		require.ErrorIs(t, err, chain.ErrDraft)
	}
	prepared, err := chain.Prepare(chain.Draft{Subject: "order/1", Delta: []byte(`{"a":9}`), Cause: f.id(3), Hook: "r"})
	require.NoError(t, err)
	r, err := p.ledger.Append(prepared, 5000)
	require.NoError(t, err)
	require.Contains(t, r.Deps, f.id(3))
}
