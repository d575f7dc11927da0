package gossip

import (
	"cmp"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// pull is an outstanding request for ranges.
type pull struct {
	id       uint64
	peer     *peer
	ranges   []pullRange
	deadline time.Duration
	last     int       // index of the last range that was served something, or -1
	served   chain.Seq // the end of what was served last
}

type pullRange struct {
	c    *chainState
	from chain.Seq
	to   chain.Seq
	got  bool
}

const (
	// updateGuess is what an update is taken to be, in bytes, when ranges are
	// put together into requests.
	updateGuess = 300
	rangesMost  = 256
	// pullFirst is what a peer is asked for at first. Each request that it
	// serves in time doubles that, each that it does not halves it, down to
	// pullLeast.
	pullFirst = 256 << 10
	pullLeast = 32 << 10
	// With more than wantsMany wants they are looked through once in wantsEach for
	// each of them, some percent of a processor's time, however many messages
	// come: a peer can make up all that phantomsMost admits.
	wantsMany = 1024
	wantsEach = 5 * time.Microsecond
)

// schedule asks for what is wanted and due: a chain from one peer at a time,
// so that its ranges come in order; different chains from different peers side
// by side; small chains first, for they are complete the sooner.
func (e *Engine) schedule() {
	e.wantDue = never
	if e.ledgerClosed || len(e.wants) == 0 {
		return
	}
	if len(e.wants) > wantsMany {
		if e.at.Mono < e.wantsNext {
			e.wantDue = e.wantsNext
			return
		}
		e.wantsNext = e.at.Mono + time.Duration(len(e.wants))*wantsEach
	}
	able := e.askable()
	_, behind := e.isBehind()
	var ready []pullRange
	for _, c := range e.wants {
		if c.want.pull != nil || c.want.seq <= c.pending || !anyKnows(able, c, c.pending+1) {
			continue
		}
		to, when := e.due(c, behind)
		if to <= c.pending {
			if when > e.at.Mono {
				e.wantDue = min(e.wantDue, when)
			}
			continue
		}
		ready = append(ready, pullRange{c: c, from: c.pending + 1, to: to})
	}
	if len(ready) == 0 {
		return
	}
	slices.SortFunc(ready, func(a, b pullRange) int {
		if c := cmp.Compare(a.to-a.from, b.to-b.from); c != 0 {
			return c
		}
		return a.c.origin.Compare(b.c.origin)
	})
	asked := map[*peer]*pull{} // looked up only
	for i := range ready {
		if p := e.choose(&ready[i], asked); p != nil {
			e.ask(p, ready[i], asked)
		}
	}
}

// askable are the peers that may be asked for something. What only others have
// is not looked at: a peer that makes chains up and does not answer must not
// cost a sort of them each time.
func (e *Engine) askable() (able []*peer) {
	for _, p := range e.ranked {
		if p.ready() && e.askRoom(p, nil) {
			able = append(able, p)
		}
	}
	return able
}

func anyKnows(peers []*peer, c *chainState, seq chain.Seq) bool {
	return slices.ContainsFunc(peers, func(p *peer) bool { return p.knows(c) >= seq })
}

// askRoom reports whether a range may be asked of a peer: in the request that is
// being put together, or in one more.
func (e *Engine) askRoom(p *peer, asked map[*peer]*pull) bool {
	if a := asked[p]; a != nil && len(a.ranges) < rangesMost && e.guess(a) < p.pullBytes {
		return true
	}
	return p.pulls < e.limits.PullsPerPeer && p.queue.room()
}

func (e *Engine) guess(a *pull) int {
	n := uint64(0)
	for _, r := range a.ranges {
		n += min(uint64(r.to-r.from+1)*updateGuess, uint64(e.limits.PullBytes))
	}
	return int(min(n, 1<<30))
}

// choose picks whom to ask: of those that have something of the range and room,
// who sent the dependant; else who has all of it, has not just timed out, has
// the least to do, and is nearest.
func (e *Engine) choose(r *pullRange, asked map[*peer]*pull) *peer {
	var best *peer
	better := func(a, b *peer) bool {
		for _, x := range [...][2]bool{
			{a.slowUntil <= e.at.Mono, b.slowUntil <= e.at.Mono},
			{r.c.want.prefer == a.origin, r.c.want.prefer == b.origin},
			{a.knows(r.c) >= r.to, b.knows(r.c) >= r.to},
		} {
			if x[0] != x[1] {
				return x[0]
			}
		}
		if a.pulls != b.pulls {
			return a.pulls < b.pulls
		}
		return a.clock.rtt < b.clock.rtt
	}
	for _, p := range e.ranked {
		if p.ready() && p.knows(r.c) >= r.from && e.askRoom(p, asked) && (best == nil || better(p, best)) {
			best = p
		}
	}
	return best
}

func (e *Engine) ask(p *peer, r pullRange, asked map[*peer]*pull) {
	a := asked[p]
	if a == nil || len(a.ranges) >= rangesMost || e.guess(a) >= p.pullBytes {
		e.nextID++
		a = &pull{id: e.nextID, peer: p, last: -1, deadline: e.pullDeadline(p)}
		asked[p] = a
		e.pulls = append(e.pulls, a)
		p.pulls++
		e.stats.Pulls++
		// The frame is built below, range by range, in place.
		e.send(p, &Pull{ID: a.id, Bytes: uint64(p.pullBytes)})
	}
	a.ranges = append(a.ranges, r)
	r.c.want.pull = a
	for i := len(e.out.Send) - 1; i >= 0; i-- {
		if f, ok := e.out.Send[i].Frame.(*Pull); ok && f.ID == a.id {
			f.Ranges = append(f.Ranges, Range{r.c.origin, r.from, r.to})
			size := encodedSize(f)
			p.queue.sent += size - e.out.Send[i].Size
			e.out.Send[i].Size = size
			break
		}
	}
}

// Fetch asks a peer for a range of a chain, whatever is here of it. What comes
// goes to the ledger, which compares it with what is here: so a claim that the
// peer has another update of a seq is put to the proof.
func (e *Engine) Fetch(at At, origin chain.Origin, r Range) {
	e.advance(at)
	p := e.peers[origin]
	if p == nil || !p.ready() || p.pulls >= servesMost/2 || r.From == 0 || r.To < r.From {
		return
	}
	e.nextID++
	a := &pull{id: e.nextID, peer: p, last: -1, deadline: e.pullDeadline(p), ranges: []pullRange{{c: e.chain(r.Origin), from: r.From, to: r.To}}}
	e.pulls = append(e.pulls, a)
	p.pulls++
	e.stats.Pulls++
	e.send(p, &Pull{ID: a.id, Bytes: uint64(e.limits.PullBytes), Ranges: []Range{r}})
}

func (e *Engine) pullDeadline(p *peer) time.Duration {
	return e.at.Mono + pullTimeout + 4*p.clock.rtt
}

func (e *Engine) onServed(p *peer, f *Served) {
	i := slices.IndexFunc(e.pulls, func(a *pull) bool { return a.id == f.ID && a.peer == p })
	if i < 0 {
		// Late: the request timed out. What it brings is as good as any.
		e.offer(p, f.Runs, false, false)
		return
	}
	a := e.pulls[i]
	for _, of := range e.pulls {
		if of.peer == p {
			of.deadline = e.pullDeadline(p) // it is served after this one
		}
	}
	for k := range f.Runs {
		for j := max(a.last, 0); j < len(a.ranges); j++ {
			if a.ranges[j].c.origin == f.Runs[k].Origin {
				a.ranges[j].got, a.last = true, j
				a.served = f.Runs[k].Last
				break
			}
		}
	}
	e.offer(p, f.Runs, false, false)
	if f.Done {
		e.pulls = slices.Delete(e.pulls, i, i+1)
		e.finishPull(a)
		p.pullBytes = min(2*p.pullBytes, e.limits.PullBytes)
	}
}

// finishPull frees what a request held. Of a range that it was not served
// though one after it was, or though nothing was, the peer has nothing.
func (e *Engine) finishPull(a *pull) {
	a.peer.pulls--
	e.hunting(a, a.served)
	recount := false
	for i := range a.ranges {
		r := &a.ranges[i]
		if r.c.want.pull == a {
			r.c.want.pull = nil
		}
		unserved := !r.got && (i < a.last || a.last < 0 && i == 0)
		useless := r.got && r.c.pending < r.from
		if unserved || useless {
			a.peer.set(r.c, min(a.peer.knows(r.c), r.from-1))
			recount = true
		}
	}
	if recount {
		e.recount()
	}
}

// dropTimedOut gives up requests whose peer has been silent. The chains are
// asked of others first.
func (e *Engine) dropTimedOut() {
	for i := 0; i < len(e.pulls); {
		a := e.pulls[i]
		if e.at.Mono < a.deadline {
			i++
			continue
		}
		e.stats.PullTimeouts++
		a.peer.slowUntil = e.at.Mono + slowFor
		a.peer.pullBytes = max(a.peer.pullBytes/2, min(pullLeast, e.limits.PullBytes))
		e.release(a)
		e.pulls = slices.Delete(e.pulls, i, i+1)
	}
}

// dropPulls gives up all requests to a peer whose stream is gone.
func (e *Engine) dropPulls(p *peer) {
	e.pulls = slices.DeleteFunc(e.pulls, func(a *pull) bool {
		if a.peer == p {
			e.release(a)
		}
		return a.peer == p
	})
}

func (e *Engine) release(a *pull) {
	a.peer.pulls--
	for _, r := range a.ranges {
		if r.c.hunted == a {
			e.huntLost(r.c)
		}
		if r.c.want.pull == a {
			r.c.want.pull = nil
			e.dropPhantom(r.c)
		}
	}
}
