package gossip

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// TwinError says that another node with this one's name or key is alive: two
// machines were given one name, or a data directory was copied.
type TwinError struct {
	SameKey bool // else the same name
	Name    string
	Other   Member
}

func (e *TwinError) Error() string {
	if e.SameKey {
		return fmt.Sprintf("another node with this node's key (%s) is alive at %s: was its data directory copied?", e.Other.Origin, e.Other.Addr)
	}
	return fmt.Sprintf("another node with the name %q is alive at %s: give this one another name", e.Name, e.Other.Addr)
}

const (
	// twinWait is how long a node may take to answer before it is taken for gone.
	twinWait = 2 * time.Second
	// twinWindow is how long after it has met the first other node a node goes on
	// looking for twins: two that start at once hear of each other by gossip
	// only. It is several times what gossip takes.
	twinWindow = 10 * time.Second
)

// CheckTwin asks every other start that has this node's name or key, and counts
// as alive, whether it answers. One that does is a twin, and the error is a
// *TwinError if this node is the one to give up: of two twins, the one that
// starts later; where both have started within the last seconds, the one with the
// later epoch. One that does not answer in 2 s is superseded by this node.
//
// Call it from when another node was met until Streams.Settle; probe is
// Streams.Probe.
func (m *Membership) CheckTwin(ctx context.Context, probe func(context.Context, netip.AddrPort) (Answer, error)) error {
	m.look()

	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		found error
	)
	ctx, cancel := context.WithTimeout(ctx, twinWait)
	defer cancel()
	for _, other := range m.Starts() {
		if other.start() == m.self || !other.Status.running() || (other.Origin != m.self.origin && other.Name != m.name) {
			continue
		}
		wg.Go(func() {
			answer, err := probe(ctx, other.Addr)
			// Another start may answer where this one was: the very node that asks,
			// restarted on the same address.
			if err != nil || answer.Origin != other.Origin || answer.Epoch != other.Epoch {
				return
			}
			if !answer.Settled && m.startedBefore(other) {
				return // it finds this node, and gives up itself
			}
			mu.Lock()
			found = &TwinError{SameKey: other.Origin == m.self.origin, Name: m.name, Other: other}
			mu.Unlock()
		})
	}
	wg.Wait()
	return found
}

func (m *Membership) startedBefore(other Member) bool {
	if m.self.epoch != other.Epoch {
		return m.self.epoch < other.Epoch
	}
	return m.self.origin.Compare(other.Origin) < 0
}
