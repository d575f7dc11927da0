package node

import (
	"cmp"
	"errors"
	"fmt"
	"sync"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/api"
)

// Reasons for which a node refuses to publish for a while.
var (
	// ErrNotReady is wrapped while the node must not append to its chain.
	ErrNotReady = api.ErrNotReady
	// ErrClockSkew is wrapped while this node's clock is too far off the
	// median of the mesh.
	ErrClockSkew = api.ErrClockSkew
)

// readiness is how far a start has come.
type readiness struct {
	mu       sync.Mutex
	caughtUp bool  // with the mesh, or nobody answered
	own      bool  // the own chain is as long as it ever was
	clocks   bool  // the wall clock was compared with the mesh's, or there was nobody to compare with
	refusal  error // to publish, for now
	failure  error // to publish, for good

	appendable chan struct{} // closed once own and clocks are true: the own chain may be appended to
	ready      chan struct{} // closed once all three are
}

func newReadiness() *readiness {
	return &readiness{appendable: make(chan struct{}), ready: make(chan struct{})}
}

func (r *readiness) setOwn()    { r.set(&r.own) }
func (r *readiness) setClocks() { r.set(&r.clocks) }

// setCaughtUp reports whether that is news.
func (r *readiness) setCaughtUp() bool { return r.set(&r.caughtUp) }

// set sets one of the three, and reports whether that is news.
func (r *readiness) set(step *bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if *step {
		return false
	}
	*step = true
	if r.own && r.clocks && step != &r.caughtUp {
		close(r.appendable)
	}
	if r.own && r.clocks && r.caughtUp {
		close(r.ready)
	}
	return true
}

func (r *readiness) setRefusal(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusal = err
}

func (r *readiness) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure = err
}

// state is what is still missing.
func (r *readiness) state() (own, clocks, caughtUp bool, refusal error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.own, r.clocks, r.caughtUp, cmp.Or(r.failure, r.refusal)
}

// Ready is closed once the node has caught up with the mesh for the first
// time, or found nobody to catch up with within RecoverWait, and its own chain
// is recovered. It says nothing of the time after; [Node.Readiness] does.
func (n *Node) Ready() <-chan struct{} { return n.state.ready }

// Readiness says whether the node is ready now, as GET /readyz does: if not, why, and
// how many updates it has of those that it has heard of.
func (n *Node) Readiness() api.Readiness {
	have, want := n.progress()
	r := api.Readiness{Have: have, Want: max(have, want)}
	own, clocks, caughtUp, refusal := n.state.state()
	switch err := n.archive.Failed(); {
	case errors.Is(err, chain.ErrClosed):
		r.Reason = "the node is closing"
	case err != nil:
		r.Reason = err.Error()
	case n.damage() != nil:
		r.Reason = n.damage().Error()
	case n.FailedBy() != nil:
		r.Reason = n.FailedBy().Error()
	case n.archive.Frozen(n.info.Origin) != nil:
		r.Reason = "own chain is frozen (" + n.archive.Frozen(n.info.Origin).String() + "); restart the node to go on under a new origin"
	case !own:
		r.Reason = "recovering the own chain from peers"
	case !clocks:
		r.Reason = "comparing clocks with the mesh"
	case !caughtUp:
		r.Reason = "catching up with the mesh"
	case refusal != nil:
		r.Reason = refusal.Error()
	default:
		r.Ready = true
	}
	return r
}

// mayPublish says why drafts are refused now, nil if they are not.
func (n *Node) mayPublish() error {
	if err := n.damage(); err != nil {
		return err
	}
	if _, _, _, refusal := n.state.state(); refusal != nil {
		return refusal
	}
	return n.clockMayPublish()
}

// lostHeads are the heads that were durable once and are not in the store.
func (n *Node) lostHeads() ([]chain.Head, error) {
	lost, err := n.archive.CheckNote(n.store.Note())
	if err != nil {
		if n.dir != nil && n.dir.Damaged() { // and not at odds with its note
			err = n.damagedStore(err)
		}
		return nil, fmt.Errorf("check the store against its note: %w", err)
	}
	n.lost.Store(&lost)
	return lost, nil
}
