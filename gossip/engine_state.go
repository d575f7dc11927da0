package gossip

import (
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// PeerState is what the engine knows of a peer.
type PeerState struct {
	Origin     chain.Origin
	Connected  bool // there is a stream, and the peer has said hello on it
	RTT        time.Duration
	Root       chain.Hash    // its sync root when it last told
	Behind     uint64        // updates that are here and that it has not said it has
	Heard      time.Duration // on the clock of At.Mono
	Durable    bool
	CatchingUp bool
	Lagging    bool       // it is told heads and pulls
	Queued     int        // own runs that wait to be pushed to it
	InFlight   int        // bytes with its writer
	Acked      chain.Head // how far it acknowledged the own chain
	Offset     time.Duration
	Measured   bool // RTT and Offset are known
}

// Peers returns the peers, by origin.
func (e *Engine) Peers() []PeerState {
	states := make([]PeerState, len(e.ranked))
	for i, p := range e.ranked {
		s := PeerState{
			Origin: p.origin, Connected: p.ready(), RTT: p.clock.rtt, Root: p.root, Behind: e.behind(p),
			Heard: p.heardAt, Durable: p.durable, CatchingUp: p.catchingUp, Lagging: p.queue.lagging,
			InFlight: p.queue.inFlight(), Acked: p.ack.acked,
		}
		if p.ready() && !p.queue.lagging {
			s.Queued = len(e.ring.from(p.queue.next))
		}
		s.Offset, s.Measured = p.clock.offset(e.at)
		states[i] = s
	}
	return states
}

// behind counts what a peer is not known to have. What changed since the roots
// were equal is all that there can be.
func (e *Engine) behind(p *peer) (n uint64) {
	for c := e.recent.newest; c != nil && c.version > p.vec.agreed; c = c.older {
		if has := p.knows(c); has < c.head.Seq {
			n += uint64(c.head.Seq - has)
		}
	}
	return n
}

// Converged answers rule 9 for what gossip knows: held is the number of held
// updates here, live the members that membership takes for alive, this node
// left out, known the number of known members, this node included. With
// nothing held, what is received is applied, so received heads are compared. In
// its first catch-up a node is not converged, whatever it was told so far; nor is
// one whose ledger takes nothing any more, so that it asks nobody.
func (e *Engine) Converged(at At, held int, live []chain.Origin, known int) bool {
	if held > 0 || 2*(len(live)+1) <= known || (e.catchingUp || e.ledgerClosed) && len(live) > 0 {
		return false
	}
	for _, o := range live {
		p := e.peers[o]
		// One that has not told what it has since it is connected, or since this
		// process was stopped, may have anything.
		if p == nil || !p.live(at.Mono) || !p.vec.exchanged || p.clock.echoed+time.Millisecond < e.resumedAt {
			return false
		}
	}
	for _, c := range e.wants {
		w := &c.want
		if len(w.reports) > 0 && w.reports[0].seq > c.head.Seq && at.Mono-w.reports[0].at > settledAfter {
			return false
		}
	}
	return true
}

// Progress is how much is here, in updates, of what is known to be anywhere.
type Progress struct{ Have, Want uint64 }

// Progress returns the progress of catching up.
func (e *Engine) Progress() (p Progress) {
	for _, c := range e.sorted {
		p.Have += uint64(c.head.Seq)
		p.Want += uint64(max(c.head.Seq, c.want.seq))
	}
	return p
}

// OwnHeads returns what each connected peer said of the own chain when it said
// hello last, by peer.
func (e *Engine) OwnHeads() []OwnHead {
	var heads []OwnHead
	for _, p := range e.ranked {
		if p.ready() {
			heads = append(heads, p.ownHead)
		}
	}
	return heads
}

// CatchingUp reports whether the first catch-up is still going on.
func (e *Engine) CatchingUp() bool { return e.catchingUp }

// Pulling is the number of outstanding requests for ranges.
func (e *Engine) Pulling() int { return len(e.pulls) }

// finishCatchUp ends the first catch-up once every connected peer, one at
// least, has told what it has and all of that is here. A chain that the ledger
// refuses does not hold it up.
func (e *Engine) finishCatchUp() {
	if !e.catchingUp || e.ledgerClosed {
		return
	}
	told := 0
	for _, p := range e.ranked {
		if p.ready() {
			if !p.vec.exchanged {
				return
			}
			told++
		}
	}
	if told == 0 {
		return
	}
	for _, c := range e.wants {
		if c.head.Seq < c.goal && c.refused <= e.at.Mono {
			return
		}
	}
	e.catchingUp = false
	e.out.CaughtUp = true
	for _, p := range e.ranked {
		p.queue.needHello = p.up // even one that was just told otherwise
	}
}

// peerTick is when the peer's own timers are due next.
func (e *Engine) peerTick(p *peer) time.Duration {
	if !p.hello {
		return never
	}
	next := p.clock.pingAt
	d := &p.vec
	switch {
	case d.active:
		next = min(next, d.deadline)
	case !p.queue.room():
		return next // it is looked at again when something was written
	case !d.exchanged && p.root != e.root:
		due := d.next
		if e.self.Compare(p.origin) > 0 {
			due = max(due, d.unequal+digestTimeout)
		}
		next = min(next, due)
	}
	if p.queue.lagging && p.queue.headsSeq < e.own.head.Seq {
		next = min(next, p.queue.headsAt+beaconEvery)
	}
	return next
}

func sortHeads(heads []chain.ID) { slices.SortFunc(heads, chain.ID.Compare) }

// KnownHead is the highest seq of a chain that is here or that a connected
// peer has.
func (e *Engine) KnownHead(o chain.Origin) chain.Seq {
	c := e.chains[o]
	if c == nil {
		return 0
	}
	return max(c.head.Seq, c.want.seq)
}
