package chain_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

// stopped is a world in which chains are forked, end in an update that breaks a
// rule, or were sealed, and others depend on what came after that.
type stopped struct {
	runs   []*chain.Run // of all chains and branches, cut in several ways
	extra  []*chain.Freeze
	honest []*party
}

func newStopped(t *rapid.T) *stopped {
	w := &stopped{honest: []*party{newParty(t, "a", "warehouse"), newParty(t, "bb", "fleet")}}
	for i := range rapid.IntRange(1, 3).Draw(t, "bad chains") {
		w.chain(t, i)
	}
	// What honest nodes write depends on what they have heard of all that.
	now := int64(2_000_000)
	for range rapid.IntRange(1, 12).Draw(t, "steps") {
		p := rapid.SampledFrom(w.honest).Draw(t, "party")
		heard := slices.Concat(w.runs, w.honest[0].runs, w.honest[1].runs)
		for range rapid.IntRange(0, 6).Draw(t, "heard") {
			p.accept(t, rapid.SampledFrom(heard).Draw(t, "run"), now)
		}
		now += int64(rapid.IntRange(0, 3).Draw(t, "ms"))
		prepared, err := chain.Prepare(chain.Draft{
			Subject: rapid.SampledFrom(testSubjects).Draw(t, "subject"),
			Delta:   fmt.Appendf(nil, `{%q:%d,"w":{%q:1}}`, rapid.SampledFrom([]string{"x", "y"}).Draw(t, "field"), now, p.name),
		})
		require.NoError(t, err)
		_, err = p.ledger.Append(prepared, now)
		require.NoError(t, err)
		p.flush(t, now)
	}
	return w
}

// chain makes a chain with some branches, each cut into runs at random.
func (w *stopped) chain(t *rapid.T, i int) {
	name := fmt.Sprintf("bad-%d", i)
	trunk := newForger(name).genesis()
	put := func(f *forger, n int) {
		for range n {
			var deps []item
			if len(w.runs) > 0 && f.deps == 0 && rapid.IntRange(0, 3).Draw(t, "dep") == 0 {
				of := rapid.SampledFrom(w.runs).Draw(t, "on")
				if of.Origin != f.origin {
					// Later than all that it may depend on.
					deps, f.deps = fresh(0, of.Origin, uint64(of.First)+rapid.Uint64Range(0, uint64(len(of.Entries))).Draw(t, "seq")), 1
				}
			}
			ms := uint64(1)
			if deps != nil {
				ms = 100_000 << (4 * i)
			}
			f.status(ms, rapid.SampledFrom(testSubjects).Draw(t, "subject"), fmt.Sprintf(`{"%s":%d}`, rapid.SampledFrom([]string{"x", "y", name}).Draw(t, "field"), len(w.runs)), deps...)
			if rapid.Bool().Draw(t, "cut") {
				w.runs = append(w.runs, f.run())
			}
		}
	}
	put(trunk, rapid.IntRange(0, 4).Draw(t, "trunk"))
	for b := range rapid.IntRange(1, 3).Draw(t, "branches") {
		f := trunk.copy()
		f.status(1, testSubjects[b], fmt.Sprintf(`{"branch":%d}`, b))
		put(f, rapid.IntRange(0, 4).Draw(t, "length"))
		switch rapid.IntRange(0, 4).Draw(t, "end") {
		case 0:
			f.status(1, "", `{}`).status(1, testSubjects[0], `{"beyond":true}`)
		case 1:
			w.extra = append(w.extra, chain.SignSeal(f.key, chain.Head{Origin: f.origin, Seq: f.seq, Hash: f.hash}))
		}
		if len(f.entries) > 0 {
			w.runs = append(w.runs, f.run())
		}
		if rapid.Bool().Draw(t, "second branch of this one") {
			trunk = f
		}
	}
}

// contents is all that follows from which updates are applied and which chains
// are stopped: what readers see, and what the store has of it, byte for byte.
func contents(t *rapid.T, p *party) string {
	var b strings.Builder
	b.WriteString(p.everything(t, testSubjects))
	for _, kv := range dumpBut(t, p.store, "", p.ledger.Origin()) {
		if strings.IndexByte("iscm", kv[0]) >= 0 {
			fmt.Fprintf(&b, "%q\n", kv)
		}
	}
	for _, f := range p.archive.Freezes() {
		fmt.Fprintf(&b, "frozen %s after %d\n", f.Origin, f.After)
	}
	s := p.archive.Summary()
	fmt.Fprintf(&b, "clock %s, %d subjects, %d updates\n", s.Clock, s.Subjects, s.Updates)
	for _, h := range s.Held {
		fmt.Fprintf(&b, "held %s %s %v %d\n", h.ID, h.Reason, h.WaitingFor, h.Behind)
	}
	return b.String()
}

// show gives each party what the others have found.
func (w *stopped) show(t *rapid.T, parties []*party) (news bool) {
	for _, p := range parties {
		for _, q := range parties {
			for _, f := range q.archive.Freezes() {
				out, err := p.ledger.AcceptFreeze(proof(t, q, f.Origin), 3_000_000)
				require.NoError(t, err)
				news = news || out.Verdict == chain.Accepted || out.Verdict == chain.Forked || out.Verdict == chain.Invalid
				p.flush(t, 3_000_000)
			}
		}
	}
	return news
}

// However runs and freezes come, in whatever order and between which opens,
// ledgers that heard all of them have equal contents: the same as one that knew
// of each freeze before anything else, and so never took anything back.
func TestFreezesInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newStopped(t)
		all := slices.Concat(w.runs, w.honest[0].runs, w.honest[1].runs)
		readers := []*party{newParty(t, "r", "reader"), newParty(t, "rr", "reader"), newParty(t, "rrr", "reader")}
		var known []*party // whose freezes can be shown
		for _, p := range readers {
			for range rapid.IntRange(0, 40).Draw(t, "inputs") {
				switch rapid.IntRange(0, 9).Draw(t, "input") {
				case 0:
					p.open(t)
				case 1:
					if len(w.extra) > 0 {
						_, err := p.ledger.AcceptFreeze(rapid.SampledFrom(w.extra).Draw(t, "seal"), 3_000_000)
						require.NoError(t, err)
						p.flush(t, 3_000_000)
					}
				case 2:
					if len(known) > 0 {
						w.show(t, []*party{p, rapid.SampledFrom(known).Draw(t, "known")})
					}
				default:
					p.accept(t, rapid.SampledFrom(all).Draw(t, "run"), 3_000_000)
				}
			}
			known = append(known, p)
		}
		w.settle(t, readers, all)
		want := contents(t, readers[0])
		for _, p := range readers {
			require.Equal(t, want, contents(t, p))
			p.open(t)
			require.Equal(t, want, contents(t, p))
		}
		before := newParty(t, "before", "reader")
		for _, f := range readers[0].archive.Freezes() {
			if f.Reason != chain.FreezeInvalid { // for that it takes the chain
				_, err := before.ledger.AcceptFreeze(proof(t, readers[0], f.Origin), 3_000_000)
				require.NoError(t, err)
			}
		}
		before.flush(t, 3_000_000)
		w.settle(t, []*party{before, readers[0]}, all)
		require.Equal(t, want, contents(t, before))
		w.model(t, before)
	})
}

// settle gives every party everything until nothing is new to anyone.
func (w *stopped) settle(t *rapid.T, parties []*party, all []*chain.Run) {
	for news := true; news; {
		news = false
		for _, p := range parties {
			for _, r := range all {
				v := p.accept(t, r, 3_000_000).Verdict
				news = news || v == chain.Accepted || v == chain.Forked || v == chain.Invalid && p.ledger.Head(r.Origin).Seq > 0
			}
			for _, f := range w.extra {
				out, err := p.ledger.AcceptFreeze(f, 3_000_000)
				require.NoError(t, err)
				news = news || out.Verdict == chain.Accepted
				p.flush(t, 3_000_000)
			}
		}
		news = w.show(t, parties) || news
	}
}

// model works out from the runs alone what is applied, and from that, without
// contexts or batches, what the status of each subject is.
func (w *stopped) model(t *rapid.T, p *party) {
	ends := chain.Frontier{}
	for _, f := range p.archive.Freezes() {
		ends[f.Origin] = f.After
	}
	// Every entry of every branch by the hash before it.
	type entry struct {
		run *chain.Run
		at  int
	}
	next := map[chain.Hash]entry{}
	genesis := map[chain.Origin]entry{}
	for _, r := range slices.Concat(w.runs, w.honest[0].runs, w.honest[1].runs) {
		c := wireCopy(t, r, public(testKey(w.keyName(r.Origin))))
		prev := c.Prev
		for i := range c.Entries {
			if prev.IsZero() {
				genesis[c.Origin] = entry{c, i}
			} else {
				next[prev] = entry{c, i}
			}
			prev = c.Entries[i].Hash
		}
	}
	chains := map[chain.Origin][]*chain.Update{}
	for o, e := range genesis {
		tail := chain.Tail{Head: chain.Head{Origin: o}}
		for ok := true; ok; e, ok = next[tail.Hash] {
			if end, frozen := ends[o]; frozen && tail.Seq == end {
				break
			}
			u, err := tail.Next(&e.run.Entries[e.at])
			require.NoError(t, err)
			chains[o] = append(chains[o], u)
		}
	}
	applied := chain.Frontier{}
	met := func(id chain.ID) bool {
		end, frozen := ends[id.Origin]
		return applied[id.Origin] >= id.Seq || frozen && id.Seq > end
	}
	for moved := true; moved; {
		moved = false
		for o, updates := range chains {
			for int(applied[o]) < len(updates) && !slices.ContainsFunc(updates[applied[o]].Deps, func(id chain.ID) bool { return !met(id) }) {
				applied[o]++
				moved = true
			}
		}
	}
	got := p.archive.Frontier()
	for o := range chains {
		require.Equal(t, applied[o], got[o], o)
	}
	for _, subject := range testSubjects {
		var updates []*chain.Update
		for o, all := range chains {
			for _, u := range all[:applied[o]] {
				if u.Kind == chain.KindStatus && u.Subject == subject {
					updates = append(updates, u)
				}
			}
		}
		slices.SortFunc(updates, func(a, b *chain.Update) int { return a.Stamp().Compare(b.Stamp()) })
		status, err := chain.ParseValue([]byte(`{}`))
		require.NoError(t, err)
		for _, u := range updates {
			delta, err := chain.ParseValue(u.Delta)
			require.NoError(t, err)
			status = chain.Merge(status, delta)
		}
		state, err := p.archive.View(context.Background(), subject)
		if len(updates) == 0 {
			require.True(t, errors.Is(err, chain.ErrNotFound), "%s: %v", subject, err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, uint64(len(updates)), state.Updates())
		require.Equal(t, string(status.Append(nil)), string(state.Status().Append(nil)))
	}
}

func (w *stopped) keyName(o chain.Origin) string {
	for _, name := range []string{"a", "bb", "bad-0", "bad-1", "bad-2"} {
		if chain.OriginOf(public(testKey(name))) == o {
			return name
		}
	}
	return ""
}
