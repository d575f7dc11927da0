package chain_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// Other bytes under an ID that is here stop the chain where it stands, with
// the run that shows them as proof. What was applied stays.
func TestAcceptFreezesOnFork(t *testing.T) {
	type twins struct{ base, one, other *forger }
	split := func() twins {
		f := newForger("mallory").genesis().status(1, "order/1", `{"a":1}`)
		f.run()
		base := newForger("mallory").genesis().status(1, "order/1", `{"a":1}`)
		return twins{base, f.copy(), f.copy()}
	}
	for name, fork := range map[string]func(twins) *chain.Run{
		"at the head":     func(w twins) *chain.Run { return w.other.status(1, "order/1", `{"a":"other"}`).run() },
		"below the head":  func(w twins) *chain.Run { return w.other.status(2, "order/1", `{"a":3}`).run() },
		"past the head":   func(w twins) *chain.Run { return longer(w.other, 5).run() },
		"within a longer": func(w twins) *chain.Run { return longer(w.base.copy(), 6).run() },
		"next to the head": func(w twins) *chain.Run {
			longer(w.other, 2).run() // seals 3 and 4, which nobody sees
			return w.other.status(1, "order/1", `{"a":"other"}`).run()
		},
		"another genesis": func(twins) *chain.Run {
			g := chain.Genesis{Key: public(testKey("mallory")), Node: "forger", Authority: "another"}
			return newForger("mallory").link(list(num(0), num(1000), num(0)), string(g.AppendBody(nil))).run()
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t, "honest", "reader")
			w := split()
			p.mustTake(t, w.base.copy().run())
			p.mustTake(t, w.one.status(1, "order/1", `{"a":"one"}`).status(1, "order/1", `{"b":"one"}`).run())
			head, before, root := p.ledger.Head(w.one.origin), p.dump(t), p.ledger.Root()
			r := fork(w)

			out, err := p.take(t, r.Append(nil), 5000)
			require.NoError(t, err)
			require.Equal(t, chain.Outcome{Verdict: chain.Forked, Head: head, Err: out.Err}, out)
			require.ErrorIs(t, out.Err, chain.ErrFork)
			require.Equal(t, before, p.dump(t))
			frozen := p.archive.Frozen(r.Origin)
			require.Equal(t, chain.FreezeFork, frozen.Reason)
			require.Equal(t, head.Seq, frozen.After)
			require.Equal(t, r.Append(nil), frozen.Proof)
			root2 := p.ledger.Root()
			require.NotEqual(t, root, root2)

			// Once is enough; it holds after an open, and for what is honest too.
			again, err := p.take(t, r.Append(nil), 5000)
			require.NoError(t, err)
			require.Equal(t, chain.Forked, again.Verdict)
			p.open(t)
			require.Equal(t, root2, p.ledger.Root())
			require.Equal(t, frozen, p.archive.Frozen(r.Origin))
			refused, err := p.take(t, w.one.status(1, "order/1", `{"c":1}`).run().Append(nil), 5000)
			require.NoError(t, err)
			require.ErrorIs(t, refused.Err, chain.ErrFrozen)
			duplicate, err := p.take(t, w.base.run().Append(nil), 5000)
			require.NoError(t, err)
			require.Equal(t, chain.Duplicate, duplicate.Verdict)
			require.Equal(t, before, p.dump(t))
		})
	}
}

func longer(f *forger, n int) *forger {
	for range n {
		f.status(1, "order/1", `{"a":"other"}`)
	}
	return f
}

// The own chain is frozen like any other, and then nothing is put on it.
func TestOwnForkStopsAppend(t *testing.T) {
	p := newParty(t, "twin", "warehouse")
	p.publish(t, 2000, chain.Draft{Subject: "order/1", Delta: []byte(`{"a":1}`)})
	twin := newForger("twin").genesis().status(1, "order/1", `{"a":2}`).run()
	out, err := p.take(t, twin.Append(nil), 5000)
	require.NoError(t, err)
	require.ErrorIs(t, out.Err, chain.ErrFork)
	prepared, err := chain.Prepare(chain.Draft{Subject: "order/1", Delta: []byte(`{"b":1}`)})
	require.NoError(t, err)
	_, err = p.ledger.Append(prepared, 5000)
	require.ErrorIs(t, err, chain.ErrFrozen)
	p.open(t)
	_, err = p.ledger.Append(prepared, 5000)
	require.ErrorIs(t, err, chain.ErrFrozen)
}

// A dependency on nothing holds its own chain, and only that, for ever.
func TestDepOnNothing(t *testing.T) {
	p, f := begun(t)
	nothing := chain.ID{Origin: chain.Origin{9}, Seq: 7}
	r := f.status(1, "order/1", `{"held":1}`, fresh(0, nothing.Origin, 7)...).status(1, "order/1", `{"held":2}`).run()
	out := p.mustTake(t, r)
	require.Equal(t, []chain.ID{nothing}, out.Missing)
	require.Equal(t, []chain.ID{nothing}, p.ledger.Missing())
	for range 2 {
		held := p.ledger.Held()
		require.Len(t, held, 1)
		require.Equal(t, f.id(4), held[0].ID)
		require.Equal(t, chain.HeldDependency, held[0].Reason)
		require.Equal(t, []chain.ID{nothing}, held[0].WaitingFor)
		require.Equal(t, uint64(1), held[0].Behind)
		require.Equal(t, chain.Seq(3), p.ledger.Applied(f.origin).Seq)
		require.Equal(t, chain.Seq(5), p.ledger.Head(f.origin).Seq)
		p.open(t)
	}
	// The others go on, on the same subject.
	g := newForger("other")
	p.mustTake(t, g.genesis().status(1, "order/1", `{"b":1}`).run())
	require.Equal(t, chain.Seq(2), p.ledger.Applied(g.origin).Seq)
	rcpt := p.publish(t, 5000, chain.Draft{Subject: "order/1", Delta: []byte(`{"c":1}`)})
	require.Equal(t, []chain.ID{g.id(2)}, rcpt.Deps[1:])
	require.Equal(t, f.id(2), rcpt.Deps[0], "what is held is no head")
	// What was received of it is served all the same.
	runs, err := p.archive.Runs(f.origin, 4, 1<<20)
	require.NoError(t, err)
	require.Equal(t, [][]byte{r.Append(nil)}, runs)
}

// Updates that depend on each other wait for ever, whatever comes; others do
// not.
func TestDepsInACircle(t *testing.T) {
	p := newParty(t, "honest", "reader")
	names := []string{"a", "b", "c"}
	var circle []*forger
	for _, name := range names {
		circle = append(circle, newForger(name).genesis())
	}
	for i, f := range circle {
		next := circle[(i+1)%len(circle)]
		f.status(1, "order/1", `{}`, fresh(0, next.origin, 2)...)
	}
	for _, f := range circle {
		p.mustTake(t, f.run())
	}
	require.Len(t, p.ledger.Held(), 3)
	require.Empty(t, p.ledger.Missing(), "all of it is received")
	for _, f := range circle {
		p.mustTake(t, f.status(1, "order/2", `{}`).run())
		require.Equal(t, chain.Seq(1), p.ledger.Applied(f.origin).Seq)
	}
	g := newForger("other")
	p.mustTake(t, g.genesis().status(1, "order/1", `{"b":1}`, fresh(0, circle[0].origin, 1)...).run())
	require.Equal(t, chain.Seq(2), p.ledger.Applied(g.origin).Seq, "what was applied of them can be built on")
	p.open(t)
	require.Len(t, p.ledger.Held(), 3)
	// Until the circle is broken by a freeze.
	out, err := p.take(t, circle[0].status(1, "", `{}`).run().Append(nil), 5000)
	require.NoError(t, err)
	require.Equal(t, chain.Invalid, out.Verdict)
	require.Len(t, p.ledger.Held(), 3, "the freeze is after what the circle is made of")
}

// A dependency beyond a freeze counts as met, whether the freeze or the
// dependant comes first.
func TestDepBeyondAFreeze(t *testing.T) {
	for _, freezeFirst := range []bool{true, false} {
		p, f := begun(t)
		bad := f.copy().status(1, "", `{}`).run()
		g := newForger("dependant").genesis().status(9, "order/1", `{"b":1}`, fresh(0, f.origin, 4)...)
		if freezeFirst {
			_, err := p.take(t, bad.Append(nil), 5000)
			require.NoError(t, err)
			p.mustTake(t, g.run())
		} else {
			p.mustTake(t, g.run())
			require.Len(t, p.ledger.Held(), 1)
			_, err := p.take(t, bad.Append(nil), 5000)
			require.NoError(t, err)
		}
		require.Empty(t, p.ledger.Held())
		require.Equal(t, chain.Seq(2), p.ledger.Applied(g.origin).Seq)
		// What is below the freeze must still be applied first.
		h := newForger("later").genesis().status(9, "order/1", `{"c":1}`, fresh(0, f.origin, 3)...).
			status(1, "order/1", `{"d":1}`, num(0), num(2*2)) // seq 5
		p.mustTake(t, h.run())
		require.Equal(t, chain.Seq(3), p.ledger.Applied(h.origin).Seq)
		was := p.dump(t)
		p.open(t)
		require.Equal(t, was, p.dump(t))
	}
}

// A chain whose update is not after what it depends on is stopped just before
// that update, once what it depends on is applied, on every ledger alike.
func TestDepNotBefore(t *testing.T) {
	f := newForger("dep").genesis().status(100, "order/1", `{"a":1}`) // at 1,100
	dep := f.run()
	for name, ms := range map[string]uint64{"equal": 100, "below": 99} {
		g := newForger("dependant").genesis().status(1, "order/1", `{"b":0}`).
			status(ms-1, "order/1", `{"b":1}`, fresh(0, f.origin, 2)...).status(1, "order/1", `{"b":2}`)
		r := g.run()
		var dumps []string
		for _, order := range [][]*chain.Run{{dep, r}, {r, dep}} {
			p := newParty(t, "honest", "reader")
			for _, r := range order {
				p.mustTake(t, r)
			}
			frozen := p.archive.Frozen(g.origin)
			require.NotNil(t, frozen, name)
			require.Equal(t, chain.FreezeInvalid, frozen.Reason)
			require.Equal(t, chain.Seq(2), frozen.After)
			require.Equal(t, chain.Seq(2), p.ledger.Applied(g.origin).Seq)
			require.Equal(t, chain.Seq(4), p.ledger.Head(g.origin).Seq, "kept as evidence")
			require.Empty(t, p.ledger.Held())
			refused, err := p.take(t, g.copy().status(1, "order/1", `{}`).run().Append(nil), 5000)
			require.NoError(t, err)
			require.ErrorIs(t, refused.Err, chain.ErrFrozen)
			page, _, err := p.archive.Feed(chain.Cursor{}, chain.Filter{}, 10, nil)
			require.NoError(t, err)
			ids := slices.Collect(func(yield func(chain.ID) bool) {
				for _, u := range page.Updates {
					yield(u.ID)
				}
			})
			require.Equal(t, []chain.ID{g.id(2), f.id(2)}, ids)
			was := p.dump(t) + p.ledger.Root().String()
			p.open(t)
			require.Equal(t, was, p.dump(t)+p.ledger.Root().String())
			dumps = append(dumps, was)
		}
		require.Equal(t, dumps[0], dumps[1])
	}
	g := newForger("dependant").genesis().status(100, "order/1", `{"b":1}`)
	after := g.status(1, "order/1", `{"b":1}`, fresh(0, f.origin, 2)...).run()
	p := newParty(t, "honest", "reader")
	p.mustTake(t, dep)
	p.mustTake(t, after)
	require.Nil(t, p.archive.Frozen(g.origin))
}

// Of two freezes of one chain the lower one counts, and it alone is in the
// root: a chain that was stopped for what its key signed last may turn out to
// have been wrong before, once what it waited for is here.
func TestLowerFreezeWins(t *testing.T) {
	x := newForger("dep").genesis().status(100, "order/1", `{"a":1}`)
	dep := x.run()
	f := newForger("dependant").genesis().status(1, "order/1", `{"b":0}`)
	f.status(1, "order/1", `{"b":1}`, fresh(0, x.origin, 2)...) // seq 3, before its dep
	first := f.run()
	bad := f.status(1, "", `{}`).run()
	waiter := newForger("waiter").genesis().status(500, "order/2", `{"c":1}`, fresh(0, f.origin, 3)...).run()

	p := newParty(t, "one", "reader")
	p.mustTake(t, first)
	p.mustTake(t, waiter)
	_, err := p.take(t, bad.Append(nil), 5000)
	require.NoError(t, err)
	require.Equal(t, chain.Seq(3), p.archive.Frozen(f.origin).After)
	require.Len(t, p.ledger.Held(), 2)
	p.mustTake(t, dep)
	require.Equal(t, chain.Seq(2), p.archive.Frozen(f.origin).After)
	require.Empty(t, p.ledger.Held(), "a dep beyond the lower freeze is met")

	q := newParty(t, "two", "reader")
	for _, r := range []*chain.Run{dep, first, waiter} {
		q.mustTake(t, r)
	}
	out, err := q.take(t, bad.Append(nil), 5000)
	require.NoError(t, err)
	require.ErrorIs(t, out.Err, chain.ErrFrozen)
	require.Equal(t, q.ledger.Root(), p.ledger.Root())
	root := p.ledger.Root()
	p.open(t)
	require.Equal(t, root, p.ledger.Root())
}
