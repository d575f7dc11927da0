package gossip

import (
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// A node that is behind with what peers push to it lets its own runs gather before it
// pushes them, for some times as long as pushes wait with it: so many small frames, each of
// which costs every receiver a signature and a turn, become few, and all come to an end
// sooner. A node that is not behind pushes at once.
const (
	gatherFrom = 10 * time.Millisecond // shorter waits are none
	// Runs gather for gatherTimes as long as pushes wait, gatherMost at most.
	gatherTimes = 3
	gatherMost  = 250 * time.Millisecond
	// gatherBytes are enough for a frame, which then goes at once.
	gatherBytes = 16 << 10
	// gatherKeep is for how long a push tells how things stand with its peer.
	gatherKeep = time.Second
	// gatherShare is what part of a new wait is taken into the smoothed one.
	gatherShare = 4
)

// gather is which own runs are held back.
type gather struct {
	// released is up to where none is, whoever it is for. What one peer has heard of goes
	// to all: held back from the others, they would fetch it. A peer that lags is told the
	// own head and pulls, and what it is served is released.
	released chain.Seq
	last     chain.Seq     // up to where there was anything at
	at       time.Duration // when all that there was had gathered, or was released
	due      time.Duration // when what gathers now will have, or never
}

func newGather() gather { return gather{at: -gatherMost, due: never} }

// release ends the gathering of what is not beyond a seq: peers hear of it otherwise.
func (g *gather) release(seq chain.Seq) { g.released = max(g.released, seq) }

// gathered is up to where own runs are pushed now: to the end of the ring, unless the last
// of them are to gather. Those that are to be acknowledged never do.
func (e *Engine) gathered() chain.Seq {
	g := &e.gather
	g.release(e.ackAsk)
	last := e.ring.next - 1
	if last <= g.released {
		if g.due = never; last > g.last {
			g.last, g.at = last, e.at.Mono
		}
		return g.released
	}
	due := g.due
	if due == never {
		due = g.at + e.gatherFor()
	}
	if due > e.at.Mono && e.ring.bytesFrom(g.released+1) < min(gatherBytes, e.limits.QueueBytes/4) {
		if g.due == never {
			e.stats.Gathers++
		}
		g.due = due
		return g.released
	}
	*g = gather{released: last, last: last, at: e.at.Mono, due: never}
	return last
}

// gatherFor is for how long own runs gather.
func (e *Engine) gatherFor() time.Duration {
	wait := e.PushWait(e.at)
	if wait < gatherFrom {
		return 0
	}
	return min(gatherTimes*wait, gatherMost)
}

// PushWait is for how long the pushes of more than half of the peers wait here, at least.
// A peer that has not pushed for gatherKeep counts with 0, as does one that is no member,
// and with fewer than two peers it is 0: what one of them floods the node with, or publishes
// alone, is no load that all share.
func (e *Engine) PushWait(at At) time.Duration {
	var waits []time.Duration
	for _, p := range e.ranked {
		if p.ready() {
			waits = append(waits, p.waits.lately(at.Mono))
		}
	}
	if len(waits) < 2 {
		return 0
	}
	slices.Sort(waits)
	return waits[(len(waits)-1)/2]
}

// peerWaits is for how long a peer's pushes wait here.
type peerWaits struct {
	smoothed time.Duration
	at       time.Duration // when the last was committed
}

func (w *peerWaits) lately(now time.Duration) time.Duration {
	if now-w.at >= gatherKeep {
		return 0
	}
	return w.smoothed
}

// Waited tells for how long a push of a peer waited here, from when it was read until it
// was committed.
func (e *Engine) Waited(at At, origin chain.Origin, wait time.Duration) {
	e.advance(at)
	if p := e.peers[origin]; p != nil {
		before := p.waits.lately(e.at.Mono)
		p.waits = peerWaits{before + (wait-before)/gatherShare, e.at.Mono}
	}
}
