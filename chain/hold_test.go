package chain_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// Other bytes under an ID that is here stop the chain after the last update that
// both have, with both branches as the proof. What was applied beyond is taken
// back.
func TestAcceptFreezesOnFork(t *testing.T) {
	type twins struct{ base, one, other *forger }
	split := func() twins {
		f := newForger("mallory").genesis().status(1, "order/1", `{"a":1}`)
		f.run()
		base := newForger("mallory").genesis().status(1, "order/1", `{"a":1}`)
		return twins{base, f.copy(), f.copy()}
	}
	for name, c := range map[string]struct {
		fork  func(twins) []*chain.Run // the last one proves it
		after chain.Seq
	}{
		"at the head": {func(w twins) []*chain.Run {
			return []*chain.Run{w.other.status(1, "order/1", `{"a":"other"}`).run()}
		}, 2},
		"below the head":  {func(w twins) []*chain.Run { return []*chain.Run{w.other.status(2, "order/1", `{"a":3}`).run()} }, 2},
		"past the head":   {func(w twins) []*chain.Run { return []*chain.Run{longer(w.other, 5).run()} }, 2},
		"within a longer": {func(w twins) []*chain.Run { return []*chain.Run{longer(w.base.copy(), 6).run()} }, 2},
		"next to the head": {func(w twins) []*chain.Run {
			first := longer(w.other, 2).run()
			return []*chain.Run{w.other.status(1, "order/1", `{"a":"other"}`).run(), first}
		}, 2},
		"another genesis": {func(twins) []*chain.Run {
			g := chain.Genesis{Key: public(testKey("mallory")), Node: "forger", Authority: "another"}
			return []*chain.Run{newForger("mallory").link(list(num(0), num(1000), num(0)), string(g.AppendBody(nil))).run()}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t, "honest", "reader")
			w := split()
			want := newParty(t, "another", "reader") // who has what both have, and nothing else
			first := w.base.copy().run()
			p.mustTake(t, first)
			if c.after > 0 {
				want.mustTake(t, first)
			}
			p.mustTake(t, w.one.status(1, "order/1", `{"a":"one"}`).status(1, "order/1", `{"b":"one"}`).run())
			require.Equal(t, w.one.seq, p.ledger.Applied(w.one.origin).Seq)
			runs := c.fork(w)
			for _, r := range runs[:len(runs)-1] {
				out, err := p.take(t, r.Append(nil), 5000)
				require.NoError(t, err)
				require.Equal(t, chain.Diverged, out.Verdict)
				require.Equal(t, chain.Seq(1), out.From)
				require.ErrorIs(t, out.Err, chain.ErrFork)
				require.Nil(t, p.ledger.Frozen(w.one.origin))
			}
			r := runs[len(runs)-1]
			out, err := p.take(t, r.Append(nil), 5000)
			require.NoError(t, err)
			require.Equal(t, chain.Outcome{Verdict: chain.Forked, Head: want.ledger.Head(r.Origin), Err: out.Err}, out)
			require.ErrorIs(t, out.Err, chain.ErrFork)
			frozen := p.archive.Frozen(r.Origin)
			require.Equal(t, chain.FreezeFork, frozen.Reason)
			require.Equal(t, c.after, frozen.After)

			// Whoever gets the proof alone comes to the same, also one that has nothing.
			told := proof(t, p, r.Origin)
			for _, q := range []*party{want, newParty(t, "new", "reader")} {
				out, err := q.ledger.AcceptFreeze(told, 5000)
				require.NoError(t, err)
				require.Equal(t, chain.Accepted, out.Verdict)
				again, err := q.ledger.AcceptFreeze(told, 5000)
				require.NoError(t, err)
				require.Equal(t, chain.Duplicate, again.Verdict)
				q.flush(t, 5000)
				for _, b := range allRuns(t, p, r.Origin) {
					_, err := q.take(t, b, 5000)
					require.NoError(t, err)
				}
				require.Equal(t, p.everything(t, testSubjects), q.everything(t, testSubjects))
				require.Equal(t, p.archive.Head(r.Origin), q.archive.Head(r.Origin))
				require.Equal(t, p.archive.HeadsNote(), q.archive.HeadsNote())
			}

			// Once is enough; it holds after an open, and for what is honest too.
			root, sync := p.ledger.Root(), p.ledger.SyncRoot()
			p.open(t)
			require.Equal(t, root, p.ledger.Root())
			require.Equal(t, sync, p.ledger.SyncRoot())
			require.Equal(t, frozen, p.archive.Frozen(r.Origin))
			require.Equal(t, told, proof(t, p, r.Origin))
			before := p.dump(t)
			for i, r := range []*chain.Run{runs[0], w.one.status(1, "order/1", `{"c":1}`).run()} {
				if i > 0 && c.after == 0 {
					break // nobody can tell whose it is
				}
				refused, err := p.take(t, r.Append(nil), 5000)
				require.NoError(t, err)
				require.Equal(t, chain.Refused, refused.Verdict)
				require.ErrorIs(t, refused.Err, chain.ErrFrozen)
			}
			if c.after > 0 {
				duplicate, err := p.take(t, w.base.run().Append(nil), 5000)
				require.NoError(t, err)
				require.Equal(t, chain.Duplicate, duplicate.Verdict)
			}
			require.Equal(t, before, p.dump(t))
		})
	}
}

// proof is a freeze as a peer gets it.
func proof(t require.TestingT, p *party, o chain.Origin) *chain.Freeze {
	b, err := p.archive.Evidence(o)
	require.NoError(t, err)
	require.NotNil(t, b)
	told, err := chain.DecodeFreeze(b)
	require.NoError(t, err)
	require.NoError(t, told.Verify())
	return told
}

func allRuns(t *testing.T, p *party, o chain.Origin) [][]byte {
	runs, err := p.archive.Runs(o, 1, 1<<20)
	require.NoError(t, err)
	return runs
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
	require.Equal(t, chain.Seq(0), p.archive.Frozen(p.ledger.Origin()).After, "not even the genesis is the same")
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

// An update whose time is not above that of what it depends on waits, and its
// chain with it, on every ledger alike: stitched order would put it first.
func TestRule04_DepNotBefore(t *testing.T) {
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
			require.Nil(t, p.archive.Frozen(g.origin), name)
			held := p.ledger.Held()
			require.Len(t, held, 1)
			require.Equal(t, g.id(3), held[0].ID)
			require.Equal(t, []chain.ID{f.id(2)}, held[0].WaitingFor)
			require.Equal(t, chain.Seq(2), p.ledger.Applied(g.origin).Seq)
			page, err := p.archive.Feed(chain.Cursor{}, chain.Filter{}, 10, nil)
			require.NoError(t, err)
			require.Equal(t, []chain.ID{g.id(2), f.id(2)}, feedIDs(page))
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
	require.Empty(t, p.ledger.Held())
}

// Who depended on one branch of a fork is not to blame that the other branch has
// a later update under the same ID. To freeze his chain for that would let any
// key end any other's chain; it waits until the fork is proved.
func TestRule04_ForkedDepBlamesNobody(t *testing.T) {
	f := newForger("mallory").genesis()
	first := f.run()
	early, late := f.copy().status(1, "order/1", `{"a":1}`), f.copy().status(5000, "order/1", `{"a":2}`)
	honest := newForger("honest-1").genesis().status(100, "order/1", `{"b":1}`, fresh(0, f.origin, 2)...)
	branches := []*chain.Run{early.run(), late.run()}
	dependant := honest.run()
	var ends []string
	for i := range branches {
		p := newParty(t, "honest", "reader")
		p.mustTake(t, first)
		p.mustTake(t, branches[i])
		p.mustTake(t, dependant)
		require.Equal(t, i == 1, len(p.ledger.Held()) == 1, "it waits where the later branch is")
		out, err := p.take(t, branches[1-i].Append(nil), 5000)
		require.NoError(t, err)
		require.Equal(t, chain.Forked, out.Verdict)
		require.Nil(t, p.archive.Frozen(honest.origin))
		require.Empty(t, p.ledger.Held())
		require.Equal(t, chain.Seq(2), p.ledger.Applied(honest.origin).Seq)
		ends = append(ends, p.everything(t, testSubjects))
	}
	require.Equal(t, ends[0], ends[1])
}

// Of two freezes of one chain the lower one counts, in whatever order they come,
// and it alone is in the root. What depends on what is beyond it is met.
func TestRule10_LowestFreezeWins(t *testing.T) {
	f := newForger("mallory").genesis().status(1, "order/1", `{"b":0}`)
	begin := f.run()
	other := f.copy().status(1, "order/1", `{"b":"other"}`).run()
	first := f.status(1, "order/1", `{"b":1}`).run() // seq 3
	bad := f.status(1, "", `{}`).run()               // would end it after 3
	waiter := newForger("waiter").genesis().status(500, "order/2", `{"c":1}`, fresh(0, f.origin, 4)...).
		status(1, "order/1", `{"d":1}`, num(0), num(1)).run() // on 4, then on 3
	var roots []chain.Hash
	for i, order := range [][]*chain.Run{{begin, first, waiter, bad, other}, {waiter, begin, other, first, bad}} {
		p := newParty(t, "one", "reader")
		for _, r := range order {
			_, err := p.take(t, r.Append(nil), 5000)
			require.NoError(t, err)
			if i == 0 && r == bad {
				require.Equal(t, chain.Seq(3), p.archive.Frozen(f.origin).After)
				require.Equal(t, chain.FreezeInvalid, p.archive.Frozen(f.origin).Reason)
			}
		}
		require.Equal(t, chain.Seq(2), p.archive.Frozen(f.origin).After)
		require.Empty(t, p.ledger.Held())
		require.Equal(t, chain.Seq(3), p.ledger.Applied(chain.OriginOf(public(testKey("waiter")))).Seq)
		roots = append(roots, p.ledger.Root())
		p.open(t)
		require.Equal(t, roots[i], p.ledger.Root())
	}
	require.Equal(t, roots[0], roots[1])
}

// A full batch leaves a chain for the next one. What its updates depend on is asked
// for at once all the same, and one that is held stays held, since when it was.
func TestAFullBatchStillAsksAndHolds(t *testing.T) {
	p := newParty(t, "honest", "reader")
	dep := newForger("dep").genesis().status(1, "order/1", `{"a":1}`)
	busy := newForger("busy").genesis()
	waits := newForger("waits").genesis().status(1, "order/1", `{"b":1}`, fresh(0, dep.origin, 2)...)
	full := func(now int64) chain.Outcome {
		p.ledger.SetBatch(1)
		_, err := p.ledger.Accept(busy.run(), now)
		require.NoError(t, err)
		out, err := p.ledger.Accept(waits.run(), now)
		require.NoError(t, err)
		require.True(t, p.ledger.Pending())
		return out
	}
	rest := func(now int64) {
		for p.flush(t, now); p.ledger.Pending(); p.flush(t, now) {
			require.NoError(t, p.ledger.Continue(now))
		}
	}
	require.Equal(t, []chain.ID{dep.id(2)}, full(5000).Missing)
	rest(5000)
	held := p.ledger.Held()
	require.Len(t, held, 1)
	require.EqualValues(t, 5000, held[0].Since.UnixMilli())

	busy.status(1, "order/2", `{"a":1}`)
	waits.status(1, "order/1", `{"b":2}`)
	require.Equal(t, []chain.ID{dep.id(2)}, full(9000).Missing)
	held[0].Behind++
	require.Equal(t, held, p.ledger.Held())
	rest(9000)
	require.Equal(t, held, p.ledger.Held())
}

// A batch is full of few updates where each has its subject folded anew, which takes
// longer the later it comes, but of all that one fold does for.
func TestLateUpdatesFillABatch(t *testing.T) {
	p := newParty(t, "honest", "reader")
	first, late := newForger("first").genesis(), newForger("late").genesis()
	const subjects, history = 8, 100
	for i := range history * subjects {
		first.status(1, fmt.Sprintf("order/%d", i%subjects), fmt.Sprintf(`{"a":{"n":%d}}`, i))
	}
	for i := range subjects {
		late.status(1, fmt.Sprintf("order/%d", i), `{"a":{"m":1}}`)
	}
	for i := range history {
		late.status(1, "order/9", fmt.Sprintf(`{"c":{"m":%d}}`, i))
	}
	p.accept(t, first.run(), 5000)
	first.status(1, "order/9", `{"c":{"n":1}}`)
	p.accept(t, first.run(), 5000)

	p.ledger.SetBatch(history << 10) // one fold, or nearly so many updates
	_, err := p.ledger.Accept(late.run(), 5000)
	require.NoError(t, err)
	var applied []int
	for at := p.ledger.Applied(late.origin).Seq; ; at = p.ledger.Applied(late.origin).Seq {
		cost := p.flush(t, 5000).Cost
		require.Less(t, cost, 3*history<<10)
		if !p.ledger.Pending() {
			break
		}
		require.NoError(t, p.ledger.Continue(5000))
		applied = append(applied, int(p.ledger.Applied(late.origin).Seq-at))
	}
	require.Equal(t, chain.Seq(1+subjects+history), p.ledger.Applied(late.origin).Seq)
	require.Equal(t, []int{1, 1, 1, 1, 1, 1, 1}, applied[:subjects-1])
	require.Less(t, len(applied), subjects+4)
	require.Zero(t, p.ledger.Sizes()["ahead"])
}

// What comes late and writes what nobody else does, or what was written over, fills a
// batch no sooner than what comes last: nothing is folded anew for it.
func TestLateUpdatesThatFoldNothingAnew(t *testing.T) {
	const subjects, history = 8, 100
	// It begins so many milliseconds after the first update of the other.
	cost := func(after uint64) (cost int, all string) {
		p := newParty(t, "honest", "reader")
		first, late := newForger("first").genesis(), newForger("late").genesisBy("another")
		var names []string
		for i := range history * subjects {
			first.status(1, fmt.Sprintf("order/%d", i%subjects), fmt.Sprintf(`{"a":%d,"last":%d}`, i, i))
		}
		for i := range subjects {
			names = append(names, fmt.Sprintf("order/%d", i))
			late.status(after, names[i], `{"b":1,"last":"late"}`)
			after = 1
		}
		p.accept(t, first.run(), 5000)
		out, err := p.ledger.Accept(late.run(), 5000)
		require.NoError(t, err)
		require.Equal(t, 1+subjects, out.New)
		cost = p.flush(t, 5000).Cost
		return cost, p.everything(t, names)
	}
	late, all := cost(1)
	last, other := cost(history*subjects + 1)
	require.InDelta(t, last, late, 16, "but for the length of its times")
	require.Equal(t, subjects, strings.Count(all, `"b":1,"last":79`))
	require.Equal(t, subjects, strings.Count(other, `"b":1,"last":"late"},"authorities"`))
}

// What comes very late and is folded in place leaves nothing for others to pay: one that
// comes a little late and has its subject folded anew still folds a little of it.
func TestLateUpdatesPayForThemselves(t *testing.T) {
	const history = 1000
	cost := func(old bool) int {
		p := newParty(t, "honest", "reader")
		first, late, very := newForger("first").genesis(), newForger("late").genesis(), newForger("very").genesisBy("another")
		for i := range history {
			first.status(1, "order/1", fmt.Sprintf(`{"a":{"first":%d}}`, i))
		}
		p.accept(t, first.run(), 5000)
		if old {
			p.accept(t, very.status(1, "order/1", `{"b":1}`).run(), 5000)
		}
		_, err := p.ledger.Accept(late.status(history-10, "order/1", `{"a":{"late":1}}`).run(), 5000)
		require.NoError(t, err)
		return p.flush(t, 5000).Cost
	}
	require.Less(t, cost(false), 3*(10+16)<<10)
	require.InDelta(t, cost(false), cost(true), 2<<10)
}

// The time of what an update depends on is its own, also where its chain has written the
// subject since, and before or after that update.
func TestTimesOfDependencies(t *testing.T) {
	for _, sweep := range []bool{false, true} {
		p := newParty(t, "honest", "reader")
		a, b := newForger("a").genesis(), newForger("b").genesisBy("another").status(1, "order/1", `{"b":0}`)
		a.status(1, "order/1", `{"a":1}`).status(1000, "order/1", `{"a":2}`)
		p.accept(t, b.run(), 5000)
		p.accept(t, a.run(), 5000)
		if sweep {
			p.ledger.ForgetLately()
		}
		p.accept(t, b.status(10, "order/1", `{"b":1}`, fresh(0, a.origin, 2)...).run(), 5000)
		require.Zero(t, p.archive.Summary().Held)
		p.accept(t, b.status(10, "order/1", `{"b":2}`, []item{num(0), num(2)}...).run(), 5000)
		require.Len(t, p.archive.Summary().Held, 1, "it claims to have seen what is 1000 ms later")
	}
}

// Of a batch that leaves others' updates for later ones nothing is taken along with
// what is appended.
func TestNothingIsAppliedBesideAnOwnUpdate(t *testing.T) {
	p := newParty(t, "honest", "reader")
	busy := newForger("busy").genesis().status(1, "order/1", `{"a":1}`).status(2, "order/1", `{"a":2}`)
	p.ledger.SetBatch(1)
	p.accept(t, busy.run(), 5000)
	require.True(t, p.ledger.Pending())
	require.Equal(t, 2, p.ledger.Sizes()["ahead"])
	p.ledger.SetBatch(0)
	p.publish(t, 5000, chain.Draft{Subject: "order/2", Delta: []byte(`{"a":1}`)})
	require.Equal(t, chain.Seq(1), p.ledger.Applied(busy.origin).Seq)
	p.ledger.SetBatch(1 << 20)
	require.NoError(t, p.ledger.Continue(5000))
	p.flush(t, 5000)
	require.Equal(t, chain.Seq(3), p.ledger.Applied(busy.origin).Seq)
	require.Zero(t, p.ledger.Sizes()["ahead"])
}
