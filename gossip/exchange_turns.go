package gossip

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

const (
	// strangersRest is for how many times as long as they were worked for nobody
	// works for strangers: of one processor they get an eighth.
	strangersRest = 15
	// strangersRestMost bounds one rest, and so how long a stranger waits for its
	// turn among others.
	strangersRestMost = time.Second
)

// turn waits until a peer may be worked for, and returns what ends that. A member
// may be at once. Strangers, of whom membership does not tell, are worked for one
// after the other, with rests between: all that they send and ask for takes a small
// part of the machine, however many they are and whatever it costs to look at. Most
// strangers are nodes that have only just joined, and for no longer than it
// takes to be told of them.
func (x *Exchange) turn(peer chain.Origin) (end func()) {
	for {
		member, changed := x.membership(peer)
		if member {
			return func() {}
		}
		select {
		case x.strangers <- struct{}{}:
			began := time.Now()
			return func() {
				x.rest(min(strangersRest*time.Since(began), strangersRestMost))
				<-x.strangers
			}
		case <-changed:
		}
	}
}

// rest waits, but not once the exchange ends.
func (x *Exchange) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.leaving:
	}
}
