package gossip

import (
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// peerFreezes is what a peer knows of freezes, and what it is to be sent.
type peerFreezes struct {
	knows   map[chain.Origin]chain.Seq  // what it said or sent
	sent    map[chain.Origin]sentFreeze // on this stream
	queue   []chain.Origin              // whose evidence is to be sent
	reading bool                        // that of the first is being read
}

type sentFreeze struct {
	after chain.Seq
	at    time.Duration
}

// ReadEvidence is the evidence of a freeze to be read for a peer.
type ReadEvidence struct {
	Peer   chain.Origin
	Origin chain.Origin
}

// Frozen tells chains that were ended, each with the seq after which it is, in
// the order in which they were: at a commit, before the Committed that tells
// heads which that moved back. Peers that do not know it get the evidence.
func (e *Engine) Frozen(at At, ends []chain.ID) {
	e.advance(at)
	for _, id := range ends {
		if c := e.end(id); c != nil {
			for _, p := range e.ranked {
				e.owe(p, c)
			}
		}
	}
}

// end notes that a chain ends, and returns it if that is news. Nothing beyond is
// told, wanted or believed any more.
func (e *Engine) end(id chain.ID) *chainState {
	c := e.chain(id.Origin)
	if c.ended && c.after <= id.Seq {
		return nil
	}
	c.ended, c.after, c.refused = true, id.Seq, 0
	e.keep(c)
	c.pending, c.goal, c.applied = min(c.pending, id.Seq), min(c.goal, id.Seq), min(c.applied, id.Seq)
	for _, p := range e.ranked {
		p.set(c, p.knows(c))
	}
	e.recount()
	return c
}

// lower moves the head of a chain that was ended back.
func (e *Engine) lower(c *chainState, h chain.Head) {
	c.head = h
	c.pending = h.Seq
	if c.durable.Seq > h.Seq {
		c.durable = h
	}
	e.recent.touch(c)
	e.changedAt = e.at.Mono
	if c == e.own {
		e.ring.runs, e.ring.bytes, e.ring.next = nil, 0, h.Seq+1
	}
}

// owe queues the evidence that ended a chain for a peer that lacks it.
func (e *Engine) owe(p *peer, c *chainState) {
	f := &p.freezes
	if !p.ready() || slices.Contains(f.queue, c.origin) {
		return
	}
	if after, ok := f.knows[c.origin]; ok && after <= c.after {
		return
	}
	if s, ok := f.sent[c.origin]; ok && s.after <= c.after && e.at.Mono-s.at < digestTimeout {
		return // on its way; it may have been of no use there yet, so not for ever
	}
	f.queue = append(f.queue, c.origin)
}

// pumpFreezes reads the next evidence for a peer while its stream has room. So
// one is held in memory for each.
func (e *Engine) pumpFreezes(p *peer) {
	f := &p.freezes
	if len(f.queue) == 0 || f.reading || p.queue.inFlight() >= serveRoom {
		return
	}
	f.reading = true
	e.out.Evidence = append(e.out.Evidence, ReadEvidence{p.origin, f.queue[0]})
}

// EvidenceRead answers a ReadEvidence with the encoded freeze, nil if it could
// not be read.
func (e *Engine) EvidenceRead(at At, read ReadEvidence, encoded []byte) {
	e.advance(at)
	p := e.peers[read.Peer]
	if p == nil || !p.ready() || !p.freezes.reading || len(p.freezes.queue) == 0 || p.freezes.queue[0] != read.Origin {
		return // it was for the peer's stream before this one
	}
	f := &p.freezes
	f.queue, f.reading = f.queue[1:], false
	c := e.chains[read.Origin]
	if encoded == nil || c == nil {
		return
	}
	if f.sent == nil {
		f.sent = map[chain.Origin]sentFreeze{}
	}
	f.sent[read.Origin] = sentFreeze{c.after, e.at.Mono}
	e.stats.FreezesSent++
	e.send(p, &Freeze{Encoded: encoded})
}

// onFreeze hands evidence to the ledger that is news to it.
func (e *Engine) onFreeze(p *peer, f *Freeze) {
	v := f.Verified
	e.stats.FreezesReceived++
	p.knowsEnd(chain.ID{Origin: v.Origin, Seq: v.After})
	if c := e.chains[v.Origin]; e.ledgerClosed || c != nil && c.ended && c.after <= v.After {
		return
	}
	for _, a := range e.accepts {
		if a.freeze != nil && a.freeze.Origin == v.Origin && a.freeze.After <= v.After {
			return // another peer was first
		}
	}
	e.nextID++
	e.accepts[e.nextID] = accept{from: p.origin, freeze: v}
	e.out.Accept = append(e.out.Accept, Accept{ID: e.nextID, From: p.origin, Freeze: v})
}

// endsMost bounds the freezes of which it is kept that a peer knows them. It is
// sent the others though it may have them.
const endsMost = 4096

func (p *peer) knowsEnd(id chain.ID) {
	f := &p.freezes
	if f.knows == nil {
		f.knows = map[chain.Origin]chain.Seq{}
	}
	after, ok := f.knows[id.Origin]
	if !ok && len(f.knows) < endsMost || ok && id.Seq < after {
		f.knows[id.Origin] = id.Seq
	}
}

// freezeOutcome takes the ledger's answer to evidence.
func (e *Engine) freezeOutcome(p *peer, f *chain.Freeze, o *chain.Outcome) {
	switch {
	case p == nil || !p.ready():
	case o.Verdict == chain.Gap:
		// It takes the chain to tell. The peer will send the evidence again.
		e.report(p, f.Origin, f.After, true)
	case o.From > 0:
		e.hunt(p, Range{f.Origin, o.From, f.After})
	}
}

// tellFrozen tells a peer which chains are ended here, in pieces. With nothing to
// tell it says so only as an answer.
func (e *Engine) tellFrozen(p *peer, answer bool) {
	var ends []chain.ID
	for _, c := range e.sorted {
		if c.ended {
			ends = append(ends, chain.ID{Origin: c.origin, Seq: c.after})
		}
	}
	if len(ends) == 0 && !answer {
		return
	}
	most := max(e.limits.VectorBytes/maxHeadSize, 1)
	var after chain.Origin
	for len(ends) > most {
		f := &Frozen{Answer: answer, After: after, UpTo: ends[most-1].Origin, Ends: ends[:most:most]}
		ends, after = ends[most:], f.UpTo
		e.send(p, f)
	}
	e.send(p, &Frozen{Answer: answer, After: after, Ends: ends})
}

// onFrozen sends what the peer lacks, and asks for what it has beyond that by
// telling what is here.
func (e *Engine) onFrozen(p *peer, f *Frozen) {
	theirs := make(map[chain.Origin]chain.Seq, len(f.Ends)) // looked up only
	lacking := false
	for _, id := range f.Ends {
		theirs[id.Origin] = id.Seq
		p.knowsEnd(id)
		c := e.chains[id.Origin]
		lacking = lacking || c == nil || !c.ended || c.after > id.Seq
	}
	for _, c := range e.above(f.After) {
		if !f.UpTo.IsZero() && c.origin.Compare(f.UpTo) > 0 {
			break
		}
		if after, ok := theirs[c.origin]; c.ended && (!ok || after > c.after) {
			delete(p.freezes.knows, c.origin)
			if ok {
				p.knowsEnd(chain.ID{Origin: c.origin, Seq: after})
			}
			e.owe(p, c)
		}
	}
	if lacking && !f.Answer && p.queue.answerable() {
		e.tellFrozen(p, true)
	}
}
