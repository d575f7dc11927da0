package gossip

import (
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// clockHolds are the chains that this node holds back because of their time,
// and what peers said of how far they have applied them. What most members have
// applied is believed (rule 4), so they are asked while there are any.
type clockHolds struct {
	held    []chain.ID
	askedAt time.Duration
	applied map[chain.Origin]map[chain.Origin]chain.Seq // by chain, by peer
}

// Applied tells the heads of what is applied, where they moved.
func (e *Engine) Applied(at At, heads []chain.Head) {
	e.advance(at)
	for _, h := range heads {
		c := e.chain(h.Origin)
		c.applied = max(c.applied, h.Seq)
		if p := e.peers[h.Origin]; p != nil {
			e.syncFor(p, c)
		}
	}
}

// ClockHeld tells all updates that are held by the clock, one of each chain,
// ascending by origin. As long as there are any, each call asks the peers, once
// in pingEvery at most, how far they have applied those chains. It returns what
// they have said so far: by chain, by peer, the last seq that is applied. The
// answer is the caller's.
func (e *Engine) ClockHeld(at At, held []chain.ID) map[chain.Origin]map[chain.Origin]chain.Seq {
	e.advance(at)
	h := &e.holds
	if len(held) == 0 {
		*h = clockHolds{}
		return nil
	}
	before := h.applied
	h.applied = make(map[chain.Origin]map[chain.Origin]chain.Seq, len(held))
	told := make(map[chain.Origin]map[chain.Origin]chain.Seq, len(held))
	for _, id := range held {
		h.applied[id.Origin], told[id.Origin] = map[chain.Origin]chain.Seq{}, map[chain.Origin]chain.Seq{}
		for peer, seq := range before[id.Origin] {
			h.applied[id.Origin][peer], told[id.Origin][peer] = seq, seq
		}
	}
	if !slices.Equal(h.held, held) || at.Mono-h.askedAt >= pingEvery {
		h.held, h.askedAt = slices.Clone(held), at.Mono
		most := max(e.limits.VectorBytes/maxHeadSize, 1)
		for _, p := range e.ranked {
			if p.ready() && p.queue.room() {
				// Beyond one frame the next question goes on: it begins with what is still held.
				e.send(p, &AppliedWanted{Held: h.held[:min(len(h.held), most)]})
			}
		}
	}
	return told
}

func (e *Engine) onAppliedWanted(p *peer, f *AppliedWanted) {
	if !p.queue.room() {
		return // it asks again
	}
	answer := &Applied{}
	for _, id := range f.Held {
		if c := e.chains[id.Origin]; c != nil && c.applied > 0 {
			answer.Heads = append(answer.Heads, chain.ID{Origin: id.Origin, Seq: c.applied})
		}
	}
	e.send(p, answer)
}

func (e *Engine) onApplied(p *peer, f *Applied) {
	for _, id := range f.Heads {
		if of := e.holds.applied[id.Origin]; of != nil {
			of[p.origin] = id.Seq
		}
	}
}
