package gossip

import (
	"crypto/ed25519"
	"sync"

	"github.com/tidings-mesh/tidings/chain"
)

// pendingKeysMost bounds the keys that wait, some 100 B each. Whoever is in the
// mesh can make up chains, of which the ledger takes none: their keys would stay.
const pendingKeysMost = 1024

// pendingKeys are the keys of chains whose genesis is on its way into the ledger,
// the last so many. Of a chain whose key was pushed out too early, what follows
// its genesis is fetched instead. The zero value is empty.
type pendingKeys struct {
	mu   sync.Mutex // protects what follows
	keys map[chain.Origin]ed25519.PublicKey
	ring []chain.Origin // as they came
	next int            // the place of the oldest, once the ring is full
}

func (p *pendingKeys) put(o chain.Origin, key ed25519.PublicKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.keys[o] != nil:
		return
	case p.keys == nil:
		p.keys = map[chain.Origin]ed25519.PublicKey{}
	}
	if len(p.ring) < pendingKeysMost {
		p.ring = append(p.ring, o)
	} else {
		delete(p.keys, p.ring[p.next])
		p.ring[p.next] = o
		p.next = (p.next + 1) % pendingKeysMost
	}
	p.keys[o] = key
}

// get returns a chain's key, nil if it is not here.
func (p *pendingKeys) get(o chain.Origin) ed25519.PublicKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[o]
}
