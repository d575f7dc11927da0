package gossip

import "github.com/tidings-mesh/tidings/chain"

// A fork shows by itself where its branches are of different lengths: who has
// the shorter one asks for the rest of the other, and the ledger sees that it
// does not follow on what is here. Branches of one length are found by comparing
// hashes, once a peer told just the heads that are here in a full digest though
// the roots differ. Either way the ledger says from where to fetch the other
// branch, and once it has what follows the last common update, that is the proof.

// huntsMost bounds the chains that one frame of hashes makes this node look at.
const huntsMost = 16

// compareVector notes whether a piece of a full vector is what is here too, of
// which more was found to be beyond it.
func (e *Engine) compareVector(p *peer, f *Digest, more int) {
	d := &p.vec
	d.same = f.Full && (d.same || f.After.IsZero()) && more == 0
	for _, id := range f.Heads {
		c := e.chains[id.Origin]
		d.same = d.same && c != nil && c.head.Seq == c.believed(id.Seq)
	}
}

// tellHashes begins to tell a peer all heads with their hashes, if it has just
// told the same heads and yet another root.
func (e *Engine) tellHashes(p *peer) {
	if d := &p.vec; d.same && p.root != e.root {
		d.hashing, d.hashed = true, chain.Origin{}
	}
}

// pumpHashes sends the next piece of them while the stream has room.
func (e *Engine) pumpHashes(p *peer) {
	d := &p.vec
	for d.hashing && p.queue.inFlight() < serveRoom {
		f := &Hashes{After: d.hashed}
		room := e.limits.VectorBytes
		for _, c := range e.above(d.hashed) {
			if c.head.Seq == 0 {
				continue
			}
			if room -= maxHashSize; room < 0 && len(f.Heads) > 0 {
				f.UpTo = f.Heads[len(f.Heads)-1].Origin
				break
			}
			f.Heads = append(f.Heads, c.head)
		}
		d.hashed, d.hashing = f.UpTo, !f.UpTo.IsZero()
		e.send(p, f)
	}
}

// onHashes looks for chains of which the peer has another branch.
func (e *Engine) onHashes(p *peer, f *Hashes) {
	hunts := 0
	for _, h := range f.Heads {
		c := e.chains[h.Origin]
		if c != nil && c.head.Seq == h.Seq && c.head.Hash != h.Hash && hunts < huntsMost {
			hunts++
			e.hunt(p, Range{h.Origin, h.Seq, h.Seq})
		}
	}
}

// hunt fetches what a peer has of a chain in a range, to find where its branch
// parts from the one here. One peer is asked at a time.
func (e *Engine) hunt(p *peer, r Range) {
	c := e.chains[r.Origin]
	if c == nil || c.hunted != nil || e.ledgerClosed {
		return
	}
	if p == nil || !p.ready() {
		e.huntLost(c)
		return
	}
	before := e.nextID
	e.Fetch(e.at, p.origin, r)
	if e.nextID == before {
		e.huntLost(c) // it is busy
		return
	}
	c.hunted = e.pulls[len(e.pulls)-1]
	e.stats.Hunts++
}

// huntLost notes that a peer could not be asked for its branch, or has not
// answered. The refusal that began the hunt holds only for as long as it takes
// to ask again, perhaps another: what was refused is not known to be of no use.
func (e *Engine) huntLost(c *chainState) {
	c.hunted = nil
	c.refused = min(c.refused, e.at.Mono+huntAgain)
}

// hunting goes on with a range of which the peer has served a part: what was
// served and is the same here tells nothing yet.
func (e *Engine) hunting(a *pull, served chain.Seq) {
	r := &a.ranges[0]
	if r.c.hunted != a {
		return
	}
	r.c.hunted = nil
	if a.peer.ready() && r.got && served < r.to && (!r.c.ended || served < r.c.after) {
		e.hunt(a.peer, Range{r.c.origin, served + 1, r.to})
	}
}
