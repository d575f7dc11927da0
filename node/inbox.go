package node

import (
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// arrival are runs from a peer, or a freeze, verified, on their way into the
// ledger.
type arrival struct {
	from   chain.Origin // the peer
	runs   []*chain.Run
	freeze *chain.Freeze // instead of runs
	cost   int           // as chain.Update.Cost counts
	urgent bool          // the peer waits until they are durable
	reply  func([]chain.Outcome, error)
}

// inbox is where arrivals wait for the writer: in a queue for each peer, of which
// each has its turn. So a peer that sends more than is taken fills its own queue
// and waits there, and the others' runs come no later for it. It is safe for
// concurrent use.
type inbox struct {
	some chan struct{} // holds one while something may wait
	quit chan struct{} // closed when nothing is taken in any more

	mu      sync.Mutex // protects what follows
	queues  map[chain.Origin]*peerQueue
	turns   []*peerQueue // those that are not empty; the first is served
	cost    int
	hurried bool // a peer waits until what was committed is durable
	closing bool
}

// peerQueue is first in, first out.
type peerQueue struct {
	arrivals []*arrival
	cost     int
	// credit is what the peer may still have taken in this turn: deficit round
	// robin, so that peers share by cost, however they cut it.
	credit int
	room   chan struct{} // closed when some was taken; nil if nobody waits for that
}

const (
	// inboxQueue bounds what waits of one peer and inboxBytes what waits of all,
	// in cost; but one arrival of each may wait.
	inboxQueue = 4 << 20
	inboxBytes = 32 << 20
	// awaitMost is for how long what a peer sends waits to be verified, where the
	// writer does not come to what it sent before. Pings and answers wait behind it: it is below
	// what peers are waited for.
	awaitMost = 500 * time.Millisecond
	// inboxTurn is what a peer has taken in one turn.
	inboxTurn = 64 << 10
)

func newInbox() *inbox {
	return &inbox{some: make(chan struct{}, 1), quit: make(chan struct{}), queues: map[chain.Origin]*peerQueue{}}
}

// put queues an arrival once its peer's queue has room. It reports false, and
// queues nothing, once the inbox is closed.
func (i *inbox) put(a *arrival) bool {
	for {
		wait, ok := i.offer(a)
		if !ok || wait == nil {
			return ok
		}
		select {
		case <-wait:
		case <-i.quit:
			return false
		}
	}
}

// offer queues an arrival, or returns what is closed when it may be tried again.
func (i *inbox) offer(a *arrival) (wait <-chan struct{}, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closing {
		return nil, false
	}
	q := i.queues[a.from]
	if q == nil {
		q = &peerQueue{}
		i.queues[a.from] = q
		i.turns = append(i.turns, q)
	}
	if q.cost > 0 && (q.cost+a.cost > inboxQueue || i.cost+a.cost > inboxBytes) {
		if q.room == nil {
			q.room = make(chan struct{})
		}
		return q.room, true
	}
	q.arrivals = append(q.arrivals, a)
	q.cost += a.cost
	i.cost += a.cost
	select {
	case i.some <- struct{}{}:
	default:
	}
	return nil, true
}

// await waits until nothing of a peer waits any more, or the inbox is closed, for
// awaitMost at most.
func (i *inbox) await(from chain.Origin) {
	room := i.roomOf(from)
	if room == nil {
		return
	}
	late := time.NewTimer(awaitMost)
	defer late.Stop()
	for ; room != nil; room = i.roomOf(from) {
		select {
		case <-room:
		case <-i.quit:
			return
		case <-late.C:
			return
		}
	}
}

// roomOf is what is closed when some of a peer is taken, nil if nothing of it waits.
func (i *inbox) roomOf(from chain.Origin) <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	q := i.queues[from]
	if q == nil {
		return nil
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	return q.room
}

// take returns what is next, nil if nothing waits.
func (i *inbox) take() *arrival {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.turns) == 0 {
		return nil
	}
	q := i.turns[0]
	for len(i.turns) > 1 && q.credit < q.arrivals[0].cost {
		q.credit += inboxTurn
		i.turns = append(i.turns[1:], q)
		q = i.turns[0]
	}
	a := q.arrivals[0]
	i.cost -= a.cost
	q.arrivals[0] = nil
	q.arrivals, q.cost, q.credit = q.arrivals[1:], q.cost-a.cost, max(q.credit-a.cost, 0)
	if len(q.arrivals) == 0 {
		delete(i.queues, a.from)
		i.turns = i.turns[1:]
	}
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
	return a
}

// hurry notes that a peer waits until what was committed is durable.
func (i *inbox) hurry() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hurried = true
	select {
	case i.some <- struct{}{}:
	default:
	}
}

// hurries reports whether hurry was called since it was asked last.
func (i *inbox) hurries() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	was := i.hurried
	i.hurried = false
	return was
}

// waits reports whether there is something to take.
func (i *inbox) waits() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.turns) > 0
}

// close lets nothing in any more. What waits is still taken.
func (i *inbox) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.closing {
		i.closing = true
		close(i.quit)
	}
}
