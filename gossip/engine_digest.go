package gossip

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// peerDigest is the state of comparing heads with one peer.
type peerDigest struct {
	// agreed is the version at which the peer's root was last equal to the own:
	// what it may lack, or have beyond that, changed after it on one side.
	agreed    uint64
	exchanged bool // on this stream, both have told all that they have
	tried     bool // what changed was exchanged since the roots were last equal
	same      bool // the full vector that the peer is telling is the own so far
	hashing   bool // heads with hashes are being told, as far as hashed
	hashed    chain.Origin
	next      time.Duration
	backoff   time.Duration
	unequal   time.Duration // since when the roots differ

	active   bool // an exchange that this node began
	full     bool
	upTo     chain.Origin // end of the last chunk, zero if it was the last
	deadline time.Duration
}

func (d *peerDigest) reset(now time.Duration) {
	*d = peerDigest{agreed: d.agreed, unequal: now, next: now}
}

// agree notes that the peer has just what is here.
func (e *Engine) agree(p *peer) {
	for _, c := range e.recent.since(p.vec.agreed) {
		p.set(c, c.head.Seq)
	}
	d := &p.vec
	d.agreed, p.told = e.recent.version, e.recent.version
	d.exchanged, d.tried, d.backoff = true, false, 0
	d.hashing = false
	d.unequal = e.at.Mono
	d.next = e.at.Mono + quietFor
	d.active = false
}

// onRoot compares roots, at each ping.
func (e *Engine) onRoot(p *peer) {
	if p.root == e.root {
		e.agree(p)
		return
	}
	e.startDigest(p)
}

// runDigests starts what is due and gives up what was not answered.
func (e *Engine) runDigests() {
	for _, p := range e.ranked {
		if !p.ready() {
			continue
		}
		if p.vec.active && e.at.Mono >= p.vec.deadline {
			p.vec.active = false
			e.backOff(p)
		}
		if !p.vec.exchanged {
			e.startDigest(p)
		}
	}
}

// startDigest begins an exchange if it is time: on connect at once, by the side
// with the lower origin, and by the other if that one does not; later when the
// roots differ though nothing has changed for a second, or have for long.
func (e *Engine) startDigest(p *peer) {
	d := &p.vec
	if d.active || e.at.Mono < d.next || !p.queue.room() || p.root == e.root {
		return
	}
	first := e.self.Compare(p.origin) < 0
	switch {
	case !d.exchanged:
		if !first && e.at.Mono < d.unequal+digestTimeout {
			return
		}
	case e.at.Mono-e.changedAt >= quietFor && len(e.pulls) == 0:
		if !first && e.at.Mono < d.next+quietFor {
			return
		}
	case e.at.Mono-d.unequal < digestLatest:
		return
	}
	d.active, d.full = true, d.agreed == 0 || d.tried
	d.upTo = chain.Origin{}
	e.stats.Digests++
	e.tellFrozen(p, false)
	if d.full {
		e.stats.FullDigests++
		e.sendDigest(p, e.chunk(chain.Origin{}))
		return
	}
	d.tried = true
	f := &Digest{}
	for _, c := range e.recent.since(d.agreed) {
		if c.head.Seq > 0 {
			f.Heads = append(f.Heads, chain.ID{Origin: c.origin, Seq: c.head.Seq})
		}
	}
	if maxHeadSize*len(f.Heads) > e.limits.VectorBytes {
		// So much changed that a vector in chunks is the better answer.
		d.full = true
		e.stats.FullDigests++
		f = e.chunk(chain.Origin{})
	}
	sortHeads(f.Heads)
	e.sendDigest(p, f)
}

func (e *Engine) sendDigest(p *peer, f *Digest) {
	p.vec.upTo = f.UpTo
	p.vec.deadline = e.at.Mono + digestTimeout + 4*p.clock.rtt
	e.gather.release(e.own.head.Seq) // it may tell that
	e.send(p, f)
}

// chunk is the piece of the full vector above an origin that fits the budget.
func (e *Engine) chunk(after chain.Origin) *Digest {
	f := &Digest{Full: true, After: after}
	room := e.limits.VectorBytes
	for _, c := range e.above(after) {
		if c.head.Seq == 0 {
			continue
		}
		if room -= maxHeadSize; room < 0 && len(f.Heads) > 0 {
			f.UpTo = f.Heads[len(f.Heads)-1].Origin
			break
		}
		f.Heads = append(f.Heads, chain.ID{Origin: c.origin, Seq: c.head.Seq})
	}
	return f
}

// above returns the chains above an origin, in order; all for zero.
func (e *Engine) above(o chain.Origin) []*chainState {
	if o.IsZero() {
		return e.sorted
	}
	i, found := e.search(o)
	if found {
		i++
	}
	return e.sorted[i:]
}

// onDigest answers with what the peer lacks, and learns what it has.
func (e *Engine) onDigest(p *peer, f *Digest) {
	theirs := make(map[chain.Origin]chain.Seq, len(f.Heads)) // looked up only
	for _, id := range f.Heads {
		theirs[id.Origin] = id.Seq
		if c := e.chains[id.Origin]; c != nil {
			p.set(c, id.Seq)
		}
		e.report(p, id.Origin, id.Seq, false)
	}
	if !p.queue.answerable() {
		return // it is not reading, and asks again
	}
	var ours []chain.ID
	tell := func(c *chainState) {
		if c.head.Seq > theirs[c.origin] {
			ours = append(ours, chain.ID{Origin: c.origin, Seq: c.head.Seq})
		}
	}
	if f.Full {
		for _, c := range e.above(f.After) {
			if !f.UpTo.IsZero() && c.origin.Compare(f.UpTo) > 0 {
				break
			}
			p.set(c, theirs[c.origin])
			tell(c)
		}
	} else {
		for _, c := range e.recent.since(p.vec.agreed) {
			tell(c)
		}
		for _, id := range f.Heads {
			if c := e.chains[id.Origin]; c != nil && c.version <= p.vec.agreed {
				tell(c)
			}
		}
		sortHeads(ours)
	}
	e.compareVector(p, f, len(ours))
	most := max(e.limits.VectorBytes/maxHeadSize, 1)
	for len(ours) > most {
		e.send(p, &Heads{Heads: ours[:most:most]})
		ours = ours[most:]
	}
	e.send(p, &Heads{End: true, Heads: ours})
	e.gather.release(e.own.head.Seq)
	p.told = e.recent.version
	if f.UpTo.IsZero() {
		e.tellFrozen(p, false)
		e.tellHashes(p)
		p.vec.exchanged = true
		p.vec.next = e.at.Mono + quietFor
	}
	e.resumePush(p)
}

// digestAnswered goes on with the next chunk, or ends the exchange.
func (e *Engine) digestAnswered(p *peer) {
	d := &p.vec
	if !d.active {
		return
	}
	if d.full && !d.upTo.IsZero() {
		e.sendDigest(p, e.chunk(d.upTo))
		return
	}
	d.active, d.exchanged = false, true
	p.told = e.recent.version
	e.backOff(p)
}

// backOff spaces exchanges that do not make the roots equal: a fork, or a chain
// that the ledger refuses, keeps them apart for good.
func (e *Engine) backOff(p *peer) {
	d := &p.vec
	d.backoff = min(max(2*d.backoff, quietFor), digestBackoff)
	d.next = e.at.Mono + d.backoff
}
