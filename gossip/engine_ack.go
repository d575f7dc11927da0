package gossip

import "github.com/tidings-mesh/tidings/chain"

// peerAck is both directions of acknowledging with one peer.
type peerAck struct {
	wanted chain.Seq  // of the peer's chain: it wants to hear up to here
	sent   chain.Seq  // it was told up to here
	acked  chain.Head // of the own chain: it said so
}

func (a *peerAck) want(seq chain.Seq) { a.wanted = max(a.wanted, seq) }

// Durable tells heads of what is applied and synced. A node without a data
// directory has none, and never acknowledges.
func (e *Engine) Durable(at At, heads []chain.Head) {
	e.advance(at)
	if !e.durable {
		return
	}
	for _, h := range heads {
		if c := e.chain(h.Origin); h.Seq > c.durable.Seq {
			c.durable = h
		}
	}
}

// WantAck asks the peers to acknowledge the own chain up to a seq. Local does
// so for new runs; this is for older ones.
func (e *Engine) WantAck(at At, seq chain.Seq) {
	e.advance(at)
	e.ackAsk = max(e.ackAsk, seq)
	for _, p := range e.ranked {
		p.queue.needAcks = p.queue.needAcks || p.ack.acked.Seq < seq
	}
}

// wantPushedAck notes that a push will carry the wish. Who is not pushed to has
// to be told.
func (e *Engine) wantPushedAck(seq chain.Seq) {
	e.ackAsk = max(e.ackAsk, seq)
	for _, p := range e.ranked {
		p.queue.needAcks = p.queue.needAcks || p.queue.lagging
	}
}

// pumpAck tells a peer how much of its chain is safe here, if it wants to hear
// more than it did.
func (e *Engine) pumpAck(p *peer) {
	if p.ack.wanted <= p.ack.sent {
		return
	}
	c := e.chains[p.origin]
	if c == nil || c.durable.Seq <= p.ack.sent {
		return
	}
	p.ack.sent = c.durable.Seq
	e.send(p, &Ack{Seq: c.durable.Seq, Hash: c.durable.Hash})
}

func (e *Engine) onAckWanted(p *peer, f *AckWanted) {
	p.ack.want(f.Seq)
	if c := e.chains[p.origin]; c != nil {
		e.syncFor(p, c)
	}
}

// syncFor asks for a sync if a peer wants to hear of its chain what only lacks one.
func (e *Engine) syncFor(p *peer, c *chainState) {
	if e.durable && p.up && p.ack.wanted > c.durable.Seq && c.applied > c.durable.Seq {
		e.out.SyncSoon = true
	}
}

func (e *Engine) onAck(p *peer, f *Ack) {
	if !p.durable {
		e.close(p.origin, "ack without a data directory")
		return
	}
	if f.Seq <= p.ack.acked.Seq {
		return
	}
	p.ack.acked = chain.Head{Origin: e.self, Seq: f.Seq, Hash: f.Hash}
	p.learn(e.own, f.Seq)
	e.out.Acked = append(e.out.Acked, Acked{Peer: p.origin, Head: p.ack.acked})
}

// Acks is the number of peers that have acknowledged the own chain up to a seq
// at least, on this or an earlier stream.
func (e *Engine) Acks(seq chain.Seq) int {
	n := 0
	for _, p := range e.ranked {
		if p.ack.acked.Seq >= seq {
			n++
		}
	}
	return n
}
