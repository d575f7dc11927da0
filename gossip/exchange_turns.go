package gossip

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

const (
	// strangersRest is for how many times as long as they were worked for nobody
	// works for strangers.
	strangersRest = 63
	// strangersRestMost bounds one rest.
	strangersRestMost = 10 * time.Second
	// strangersLinger is for how long a stranger's stream that has ended keeps its
	// place among those that a node has: it bounds how often they come and go.
	strangersLinger = 2 * time.Second
)

// turn waits until a peer may be worked for, and returns what ends that; it reports
// false, and returns nothing, where over is closed before. A member may be worked for at
// once. Strangers, of whom membership does not tell, are one after the other, with
// rests between: to look at what they send and to read what they ask for takes a
// sixty-fourth of a processor, however many they are and whatever it costs; to apply what
// is accepted of it comes on top. A stranger that
// waits goes on as soon as it is a member, and most strangers are nodes that have only
// just joined.
func (x *Exchange) turn(peer chain.Origin, over <-chan struct{}) (end func(), ok bool) {
	for {
		member, changed := x.membership(peer)
		if member {
			return func() {}, true
		}
		select {
		case x.strangers <- struct{}{}:
			began := time.Now()
			return func() {
				time.AfterFunc(min(strangersRest*time.Since(began), strangersRestMost), func() { <-x.strangers })
			}, true
		case <-changed:
		case <-over:
			return nil, false
		}
	}
}

// linger keeps the place of a stream that has ended, if its peer is a stranger.
func (x *Exchange) linger(peer chain.Origin) {
	timer := time.NewTimer(strangersLinger)
	defer timer.Stop()
	for {
		member, changed := x.membership(peer)
		if member {
			return
		}
		select {
		case <-timer.C:
			return
		case <-x.leaving:
			return
		case <-changed:
		}
	}
}
