package gossip

import (
	"cmp"
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// sendBeacons tells two peers which heads changed, if any did.
func (e *Engine) sendBeacons() {
	if !e.dirty || e.at.Mono < e.beaconAt {
		return
	}
	e.dirty = false
	left := beaconPeers
	for _, p := range e.beaconOrder() {
		if left > 0 && p.queue.room() && e.sendBeacon(p) {
			p.toldAt = e.at.Mono
			left--
		}
	}
	// Whoever was left out is told when something changes again, or finds by
	// the root, within a second of quiet, that he missed something.
}

// beaconOrder are the peers, those first that were told longest ago, and among
// equals those that follow in the order of origins after this node. So each
// node goes through all its peers; and while all nodes tell in the same rounds,
// each is told by two in each round, as if by one permutation.
func (e *Engine) beaconOrder() []*peer {
	ring := make([]*peer, 0, len(e.ranked))
	for p := range e.following() {
		if p.ready() {
			ring = append(ring, p)
		}
	}
	slices.SortStableFunc(ring, func(a, b *peer) int { return cmp.Compare(a.toldAt, b.toldAt) })
	return ring
}

// sendBeacon tells a peer the heads that changed since it was last told, but
// those that it is known to have and the own, which is pushed to it. It reports
// whether there was anything to tell.
func (e *Engine) sendBeacon(p *peer) bool {
	var heads []chain.ID
	room := e.limits.VectorBytes
	for _, c := range e.recent.since(p.told) {
		if c.head.Seq > p.knows(c) && c.origin != p.origin && c != e.own {
			if room -= maxHeadSize; room < 0 {
				break // the rest in the next round
			}
			heads = append(heads, chain.ID{Origin: c.origin, Seq: c.head.Seq})
		}
		p.told = c.version
	}
	if len(heads) == 0 {
		return false
	}
	sortHeads(heads)
	e.stats.Beacons++
	e.send(p, &Heads{Heads: heads})
	return true
}

func (e *Engine) onHeads(p *peer, f *Heads) {
	for _, id := range f.Heads {
		// A peer tells its own head only while it does not push: what it tells
		// is not on its way.
		e.report(p, id.Origin, id.Seq, id.Origin == p.origin && !f.End)
	}
	e.resumePush(p)
	if f.End {
		e.digestAnswered(p)
	}
}
