package gossip

import (
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// chainState is what the engine knows of one chain.
type chainState struct {
	origin  chain.Origin
	index   int        // of the chain in each peer's known
	head    chain.Head // received
	kept    bool       // it is more than what peers say
	version uint64     // of the last change, see recency
	newer   *chainState
	older   *chainState

	// pending is the seq up to which runs are received or on their way to the
	// ledger.
	pending  chain.Seq
	pushedAt time.Duration // when the origin last pushed something new of it
	// patientUntil is until when what the origin may push is waited for longer.
	patientUntil time.Duration
	applied      chain.Seq     // applied, synced or not
	durable      chain.Head    // applied and synced
	refused      time.Duration // until when nothing of it is asked for: the ledger refused it
	goal         chain.Seq     // what the first catch-up has to reach
	ended        bool          // by a freeze, after a seq
	after        chain.Seq
	hunted       *pull // what asks a peer for its branch
	want         want
}

// recency holds the chains in the order of their last changes, so that what
// changed since a version is found without looking at the rest.
type recency struct {
	version uint64
	newest  *chainState
}

func (r *recency) touch(c *chainState) {
	r.version++
	c.version = r.version
	if r.newest == c {
		return
	}
	r.remove(c)
	c.older = r.newest
	if r.newest != nil {
		r.newest.newer = c
	}
	r.newest = c
}

func (r *recency) remove(c *chainState) {
	if r.newest == c {
		r.newest = c.older
	}
	if c.newer != nil {
		c.newer.older = c.older
	}
	if c.older != nil {
		c.older.newer = c.newer
	}
	c.older, c.newer = nil, nil
}

// since returns the chains that changed after a version, the oldest change
// first.
func (r *recency) since(version uint64) []*chainState {
	var changed []*chainState
	for c := r.newest; c != nil && c.version > version; c = c.older {
		changed = append(changed, c)
	}
	slices.Reverse(changed)
	return changed
}

// chain returns the state of a chain, new where it is not known.
func (e *Engine) chain(o chain.Origin) *chainState {
	if c := e.chains[o]; c != nil {
		return c
	}
	c := &chainState{origin: o, index: len(e.chains), head: chain.Head{Origin: o}}
	if n := len(e.free); n > 0 {
		c.index, e.free = e.free[n-1], e.free[:n-1]
	}
	e.chains[o] = c
	e.phantoms++
	i, _ := e.search(o)
	e.sorted = slices.Insert(e.sorted, i, c)
	e.recent.touch(c)
	return c
}

// phantomsMost bounds the chains of which peers say that they are and nothing
// is here. Those of one mesh fit; a peer that makes origins up fills no more.
const phantomsMost = 16 << 10

// claimed returns the state of a chain that a peer claims to have, nil if too
// much is claimed already. What is true of it will be told again.
func (e *Engine) claimed(o chain.Origin) *chainState {
	if c := e.chains[o]; c != nil {
		return c
	}
	if e.phantoms >= phantomsMost {
		e.stats.ChainsRefused++
		return nil
	}
	return e.chain(o)
}

// keep notes that something of a chain is here.
func (e *Engine) keep(c *chainState) {
	if !c.kept {
		c.kept = true
		e.phantoms--
	}
}

// dropPhantom forgets a chain of which nothing is here, and which no peer has
// any more.
func (e *Engine) dropPhantom(c *chainState) {
	if !e.unheard(c) {
		return
	}
	if i, ok := e.search(c.origin); ok {
		e.sorted = slices.Delete(e.sorted, i, i+1)
	}
	e.forget(c)
}

// unheard tells a chain of which nothing is here, and of which no peer has
// anything any more.
func (e *Engine) unheard(c *chainState) bool {
	return !c.kept && c.hunted == nil && c.pending == 0 && c.want.seq == 0 && c.want.pull == nil && e.chains[c.origin] == c
}

// forget drops an unheard chain from everywhere but sorted.
func (e *Engine) forget(c *chainState) {
	delete(e.chains, c.origin)
	e.recent.remove(c)
	for _, p := range e.ranked {
		p.set(c, 0)
	}
	e.free = append(e.free, c.index)
	e.phantoms--
}

func (e *Engine) search(o chain.Origin) (int, bool) {
	return slices.BinarySearchFunc(e.sorted, o, func(c *chainState, o chain.Origin) int { return c.origin.Compare(o) })
}

// Committed tells that the ledger has committed: the received heads that
// changed and the sync root after it. The own chain's head is told only once
// it is synced. That of a chain that was ended may go back.
func (e *Engine) Committed(at At, heads []chain.Head, root chain.Hash) {
	e.advance(at)
	e.root = root
	for _, h := range heads {
		e.raise(h)
	}
}

// believed is how much of a claim to have a chain up to a seq counts.
func (c *chainState) believed(seq chain.Seq) chain.Seq {
	if c.ended {
		return min(seq, c.after)
	}
	return seq
}

// raise moves a chain's received head up.
func (e *Engine) raise(h chain.Head) {
	c := e.chain(h.Origin)
	if h.Seq <= c.head.Seq {
		if c.ended && h.Seq < c.head.Seq {
			e.lower(c, h)
		}
		return
	}
	c.head = h
	e.keep(c)
	c.pending = max(c.pending, h.Seq)
	e.recent.touch(c)
	e.changedAt = e.at.Mono
	if !e.dirty {
		e.dirty, e.beaconAt = true, e.nextRound()
	}
	e.cover(c)
	if c == e.own {
		e.ring.skipTo(h.Seq + 1)
	}
}

// accept is a batch that the ledger has not answered yet.
type accept struct {
	from   chain.Origin
	runs   []Run
	freeze *chain.Freeze // instead of runs
}

// offer hands runs to the ledger that may be of use to it. A run whose
// predecessors are missing is dropped and asked for with them: it would have
// to be kept somewhere otherwise, and a peer could fill that place.
func (e *Engine) offer(p *peer, runs []Run, pushed, ackWanted bool) {
	var useful []Run
	for i := range runs {
		r := &runs[i]
		e.stats.RunsReceived++
		c := e.chain(r.Origin)
		if pushed && p.origin == r.Origin && r.First <= c.pending {
			c.patientUntil = e.at.Mono + gatherPatience // it was fetched too early
		}
		p.learn(c, r.Last)
		if e.ledgerClosed {
			e.report(p, r.Origin, r.Last, false)
			continue
		}
		if r.First > c.pending+1 {
			e.stats.Gaps++
			e.report(p, r.Origin, r.Last, pushed && p.origin == r.Origin)
			continue
		}
		if r.Last > c.pending {
			c.pending = c.believed(r.Last)
			if pushed && p.origin == r.Origin {
				c.pushedAt = e.at.Mono
			}
		}
		useful = append(useful, *r)
	}
	if len(useful) == 0 {
		return
	}
	e.nextID++
	e.accepts[e.nextID] = accept{from: p.origin, runs: useful}
	e.out.Accept = append(e.out.Accept, Accept{ID: e.nextID, From: p.origin, Runs: useful, AckWanted: ackWanted, Pushed: pushed})
}

// LedgerClosed tells that the ledger takes nothing any more: it has failed or
// is closing. What is here is still told and served; nothing is asked for, and
// the first catch-up, if it goes on, does not end.
func (e *Engine) LedgerClosed(at At) {
	e.advance(at)
	e.ledgerClosed = true
}

// Outcome is the ledger's answer to an Accept: an outcome for each run, in
// their order, or for the freeze, or none if it did not take them.
func (e *Engine) Outcome(at At, id uint64, outcomes []chain.Outcome) {
	e.advance(at)
	a, ok := e.accepts[id]
	if !ok {
		return
	}
	delete(e.accepts, id)
	p := e.peers[a.from]
	if a.freeze != nil {
		if len(outcomes) > 0 {
			e.freezeOutcome(p, a.freeze, &outcomes[0])
		}
		return
	}
	for i := range a.runs {
		r := &a.runs[i]
		c := e.chain(r.Origin)
		if i >= len(outcomes) {
			c.pending = c.head.Seq
			continue
		}
		o := &outcomes[i]
		e.stats.Duplicates += uint64(o.Duplicates)
		switch o.Verdict {
		case chain.Accepted, chain.Duplicate:
		case chain.Gap:
			// What comes before it was refused, or came another way and is late.
			e.stats.Gaps++
			c.pending = c.head.Seq
			if p != nil && p.ready() {
				e.report(p, r.Origin, r.Last, true)
			}
		default:
			c.pending = c.head.Seq
			c.refused = e.at.Mono + refusedFor
		}
		if o.From > 0 {
			e.hunt(p, Range{r.Origin, o.From, r.First - 1})
		}
		for _, dep := range o.Missing {
			e.reportMissing(p, dep)
		}
	}
}
