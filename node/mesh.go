package node

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node/core"
)

// mesh is the node's side of gossip.
type mesh struct {
	exchange  *gossip.Exchange
	transport *gossip.MeshTransport // nil on a hub
	told      bool                  // to join somebody

	clock atomic.Pointer[core.Reading]
	conv  atomic.Pointer[convergence]

	clocksOff map[chain.Origin]bool // members that were said to have a clock that is off; of the watch alone
	heldSaid  time.Time             // when held updates were last warned of; of the watch alone
	// formerEnds are the freezes of former origins as they were when what they took
	// back was published again; of the watch alone.
	formerEnds map[chain.Origin]chain.Seq

	mu    sync.Mutex // protects what follows
	acked core.Acks
	moved chan struct{} // closed when acked or known moves
	known *core.Known
}

// convergence is an answer that stands for a while.
type convergence struct {
	is bool
	at time.Time
}

const (
	// convergedFor is how long an answer about convergence stands: it goes with
	// every HTTP answer, and costs a question to the engine.
	convergedFor = 20 * time.Millisecond
	// watchEvery is how often clocks and members are looked at.
	watchEvery = 500 * time.Millisecond
)

// makeMesh prepares the node's part in a mesh, if it has one. Until it joins it
// has no peers.
func (n *Node) makeMesh(context.Context) error {
	if n.cfg.Bind == "" && n.cfg.Hub == nil {
		return nil
	}
	record, err := n.archive.Private(core.KnownRecord)
	if err != nil {
		return err
	}
	known, err := core.DecodeKnown(record)
	if err != nil {
		return err
	}
	m := &mesh{clocksOff: map[chain.Origin]bool{}, acked: core.Acks{}, moved: make(chan struct{}), known: known, told: len(n.cfg.Join) > 0}
	tags := gossip.Tags{
		Name: n.info.Node, Authority: n.info.Authority, Zone: n.cfg.Zone, HTTP: n.cfg.AdvertiseHTTP, Durable: n.info.Durable,
	}
	var transport gossip.Transport
	meters := new(gossip.Meters)
	if n.cfg.Hub != nil {
		transport = n.cfg.Hub.Transport(n.key.Public().(ed25519.PublicKey), tags)
	} else {
		m.transport = gossip.Over(gossip.MeshOptions{
			Key: n.key, Tags: tags, Bind: n.cfg.Bind, Advertise: n.cfg.Advertise, Ring: n.cfg.MeshKeys, Join: n.cfg.Join,
			DataDir: n.cfg.DataDir, Network: n.cfg.Network, Logger: n.log, Meters: meters,
		})
		transport = m.transport
	}
	n.mesh = m
	m.exchange = gossip.NewExchange(gossip.Config{
		Self: n.info.Origin, Epoch: uint64(n.started.UnixNano()), Durable: n.info.Durable, Transport: transport, Logger: n.log, Clock: n.clock,
		OnAcked: n.noteAck, OnCaughtUp: n.noteCaughtUp, OnMembers: n.noteMembers,
	}, books{n})
	n.onClose("mesh", n.leave)
	return n.register(m.exchange, meters)
}

// joinMesh meets the others. The writer runs: peers do not wait for it.
func (n *Node) joinMesh(ctx context.Context) error {
	n.joined = n.started
	if n.mesh == nil {
		return nil
	}
	if err := n.mesh.exchange.Open(ctx); err != nil {
		return fmt.Errorf("join the mesh: %w", err)
	}
	n.joined = n.now()
	quit, done := make(chan struct{}), make(chan struct{})
	go n.watchMesh(quit, done)
	n.onClose("mesh watch", func() error { close(quit); <-done; return nil })
	return nil
}

// leaveWait bounds how long a node that closes waits for its peers to have
// what it published last: nobody can fetch it from there afterwards.
const leaveWait = 2 * time.Second

func (n *Node) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveWait)
	defer cancel()
	if err := n.mesh.exchange.Flush(ctx); err != nil {
		n.log.Warn("left before every peer had what was published last", "waited", leaveWait)
	}
	return n.mesh.exchange.Close()
}

// watchMesh looks at what nobody tells.
func (n *Node) watchMesh(quit, done chan struct{}) {
	defer close(done)
	var failed <-chan error
	if t := n.mesh.transport; t != nil {
		failed = t.Mesh().Failed()
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-quit:
			return
		case err := <-failed:
			n.fail(err)
		case <-tick.C:
			n.lookAtClock()
			n.lookAtHeld()
			n.lookAtFormer()
			n.storeKnown()
		}
	}
}

const (
	heldLong  = time.Minute      // a dependency that is on its way comes within seconds
	heldAgain = 10 * time.Minute // between two warnings
)

// lookAtHeld warns of updates that wait for so long that somebody should look.
func (n *Node) lookAtHeld() {
	now := n.clock()
	if now.Sub(n.mesh.heldSaid) < heldAgain {
		return
	}
	for _, h := range n.archive.Summary().Held {
		if now.Sub(h.Since) < heldLong {
			continue
		}
		n.mesh.heldSaid = now
		advice := "what it depends on has not come: start the node that has it, or look at /v1/mesh on the others"
		if h.Reason == chain.HeldClock {
			advice = "its time is in the future: set the clock of the node that published it; it is applied when its time comes"
		}
		n.log.Warn("an update is held, and its chain with it: "+advice, "id", h.ID, "reason", string(h.Reason),
			"waiting_for", h.WaitingFor, "held_for", now.Sub(h.Since).Round(time.Second), "behind_it", h.Behind)
	}
}

// fail ends the node's taking part: it publishes no more and is not ready.
func (n *Node) fail(err error) {
	n.failing.Do(func() {
		n.reason = err
		n.log.Error("this node must not go on: stop it", "err", err)
		n.state.fail(fmt.Errorf("%w: %w", ErrNotReady, err))
		close(n.failed)
	})
}

// Failed is closed if the node finds that it must not go on, such as when
// another one with its name or key is there. [Node.FailedBy] says why.
func (n *Node) Failed() <-chan struct{} { return n.failed }

// FailedBy is the reason for which Failed was closed, nil before.
func (n *Node) FailedBy() error {
	select {
	case <-n.failed:
		return n.reason
	default:
		return nil
	}
}

// noteAck takes a peer's word that it holds the own chain durably.
func (n *Node) noteAck(peer chain.Origin, head chain.Head) {
	if f := n.archive.Frozen(n.info.Origin); f != nil && head.Seq > f.After {
		return // it was on its way when that was taken back
	}
	u, err := n.archive.Update(chain.ID{Origin: n.info.Origin, Seq: head.Seq})
	if err != nil || u.Hash != head.Hash {
		if ok, over := n.acksLogged.allow(n.now()); ok {
			n.log.Error("a peer acknowledged another update than this node's", "peer", peer, "seq", head.Seq, "hash", head.Hash, "not_logged", over)
		}
		return
	}
	m := n.mesh
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.acked.Note(peer, head.Seq) {
		m.ackMoved()
	}
}

// ackMoved wakes who waits for acknowledgements. The lock is held.
func (m *mesh) ackMoved() {
	close(m.moved)
	m.moved = make(chan struct{})
}

// acks waits until want nodes hold an own update durably, or ctx ends.
func (n *Node) acks(ctx context.Context, id chain.ID, want int) int {
	have := 0
	if n.info.Durable {
		have = 1
	}
	if n.mesh == nil || have >= want || id.Origin != n.info.Origin {
		return have
	}
	n.mesh.exchange.WantAck(id.Seq)
	for {
		m := n.mesh
		m.mu.Lock()
		count, moved := have+m.acked.Count(id.Seq, m.known.Origins()), m.moved
		m.mu.Unlock()
		if count >= want {
			return count
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return count
		case <-n.closed:
			return count
		}
	}
}
