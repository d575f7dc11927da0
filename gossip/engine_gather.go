package gossip

import (
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// A node that is behind with what peers push to it lets its own runs gather before it
// pushes them to most peers, for some times as long as pushes wait with it: so many small
// frames, each of which costs a receiver a signature and a turn, become few, and all come to
// an end sooner. A node that is not behind pushes at once.
//
// Even then a few peers are early: they are pushed each run at once. What is committed is
// shown here, so a node that is set back to an old state of its disk has to be told that the
// seq is taken, and that takes a peer that was sent the update.
const (
	earlyPeers = 3
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
	// gatherPatience is for how long gatherMost more is waited for what an origin may push,
	// after a push of it that had been fetched from others meanwhile.
	gatherPatience = 10 * time.Second
)

// gather is which own runs are held back.
type gather struct {
	// released is up to where none is, whoever it is for: it had gathered, is to be
	// acknowledged, or a peer was told of it that may fetch it.
	released chain.Seq
	last     chain.Seq     // the end of the ring when that was released last,
	at       time.Duration // and when that was
	due      time.Duration // when what gathers now will have, or never
}

func newGather() gather { return gather{at: -gatherMost, due: never} }

// release ends the gathering of what is not beyond a seq: peers hear of it otherwise.
func (g *gather) release(seq chain.Seq) { g.released = max(g.released, seq) }

// pushGathering pushes to the early peers what is to gather for the others, and returns up
// to where these are pushed to now: the end of the ring if nothing is to gather. What is to
// be acknowledged never is.
func (e *Engine) pushGathering() chain.Seq {
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
	if due > e.at.Mono && e.roomToGather() && e.pushEarly(last) {
		if g.due == never {
			e.stats.Gathers++
		}
		g.due = due
		return g.released
	}
	*g = gather{released: last, last: last, at: e.at.Mono, due: never}
	return last
}

// roomToGather reports whether more may be held back than is.
func (e *Engine) roomToGather() bool {
	runs, bytes := e.ring.from(e.gather.released+1), 0
	for _, r := range runs {
		bytes += len(r.Encoded)
	}
	return bytes < min(gatherBytes, e.limits.QueueBytes/4) && len(runs) < e.limits.QueueRuns/4
}

// pushEarly pushes all that there is to the early peers: the first in the order of origins
// after this node that push themselves, so that each node is early for a few others and none
// for all. One that cannot take it all at once, for its stream is busy or it lags, does not
// count, and one more is early. It reports whether so many have it, and others wait.
func (e *Engine) pushEarly(to chain.Seq) bool {
	have, others := 0, false
	for p := range e.following() {
		switch {
		case !p.ready():
		case have == earlyPeers:
			others = others || p.queue.next <= to
		case p.waits.known(e.at.Mono):
			e.pushTo(p, to)
			if !p.queue.lagging && p.queue.next > to {
				have++
			}
		default:
			others = others || p.queue.next <= to
		}
	}
	return have == earlyPeers && others
}

// gatherFor is for how long own runs gather.
func (e *Engine) gatherFor() time.Duration {
	wait, behind := e.isBehind()
	if !behind {
		return 0
	}
	return min(gatherTimes*wait, gatherMost)
}

// isBehind reports whether this node is behind with what peers push to it, in a mesh that is
// so large that something gathers, and for how long that waits.
func (e *Engine) isBehind() (wait time.Duration, behind bool) {
	if len(e.ranked) <= earlyPeers {
		return 0, false
	}
	wait = e.PushWait(e.at)
	return wait, wait >= gatherFrom
}

// PushWait is for how long the pushes of more than half of the peers wait here, at least.
// A peer that has not pushed for gatherKeep counts with 0, as does one that is no member,
// and with fewer than two peers it is 0: what one of them floods the node with, or publishes
// alone, is no load that all share.
func (e *Engine) PushWait(at At) time.Duration {
	waits := e.waits[:0]
	for _, p := range e.ranked {
		if p.ready() {
			waits = append(waits, p.waits.lately(at.Mono))
		}
	}
	e.waits = waits
	if len(waits) < 2 {
		return 0
	}
	slices.Sort(waits)
	return waits[(len(waits)-1)/2]
}

// peerWaits is for how long a peer's pushes wait here.
type peerWaits struct {
	smoothed time.Duration
	until    time.Duration // until when that tells how things stand
}

// known reports whether a push of the peer was committed lately.
func (w *peerWaits) known(now time.Duration) bool { return now < w.until }

func (w *peerWaits) lately(now time.Duration) time.Duration {
	if !w.known(now) {
		return 0
	}
	return w.smoothed
}

// Waited tells for how long a push of a peer waited here, from when it was read until it
// was committed. The caller leaves out peers that are no members.
func (e *Engine) Waited(at At, origin chain.Origin, wait time.Duration) {
	e.advance(at)
	if p := e.peers[origin]; p != nil {
		before := p.waits.lately(e.at.Mono)
		p.waits = peerWaits{before + (wait-before)/gatherShare, e.at.Mono + gatherKeep}
	}
}
