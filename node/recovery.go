package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/gossip"
)

// errNewOrigin says that this node cannot go on under its key: what it may have
// published under it is not known, and to publish again could fork the chain.
var errNewOrigin = errors.New("the own chain cannot be continued")

// rekey gives the data directory a new key.
func rekey(cfg Config, why error) error {
	dir, err := store.OpenDir(cfg.DataDir, store.DirOptions{Name: cfg.Name, Authority: cfg.Authority})
	if err != nil {
		return err
	}
	old := dir.Origin()
	err = errors.Join(dir.Rekey(time.Now()), dir.Close())
	cfg.Logger.Warn("going on under a new origin; the chain of the old one stays as it is", "reason", why, "was", old)
	return err
}

// recover decides whether the own chain may be appended to. A seq that was
// given out and is not here, because the directory is an old copy or the disk
// lost the end of its log, must not be given out again. So a node that may have
// sent anything to anybody asks every live member how far it has this chain,
// takes from them what is ahead, and only then appends. Where nobody answers,
// it appends if the directory is as it left it, and else goes on under a new
// origin.
func (n *Node) recover(ctx context.Context) error {
	lost, err := n.lostHeads()
	if err != nil {
		return err
	}
	ownLost := false
	for _, h := range lost {
		n.log.Warn("the store lost the end of a chain: it is fetched again from peers", "origin", h.Origin,
			"noted", h.Seq, "have", n.archive.Head(h.Origin).Seq)
		ownLost = ownLost || h.Origin == n.info.Origin
	}
	if f := n.archive.Frozen(n.info.Origin); f != nil && n.dir != nil {
		return fmt.Errorf("%w: it is frozen: %s", errNewOrigin, f)
	}
	unchanged := n.dir == nil || n.dir.Unchanged() && !ownLost
	began := n.archive.Head(n.info.Origin).Seq > 0
	if unchanged && (!began || n.mesh == nil || !n.mesh.knowsOthers()) {
		n.state.setOwn()
		n.settleReadiness(false)
		return nil
	}
	if n.mesh == nil {
		return fmt.Errorf("%w: the data directory was moved, copied or restored, or lost the end of its log, and there is no peer to ask", errNewOrigin)
	}
	if !unchanged {
		// The origin can change only while nothing runs under it, so the start
		// itself waits.
		waiting, cancel := context.WithTimeout(ctx, n.cfg.RecoverWait)
		defer cancel()
		n.log.Warn("the data directory was moved, copied or restored, or lost the end of its log: asking peers for this node's chain",
			"origin", n.info.Origin, "seq", n.archive.Head(n.info.Origin).Seq, "wait", n.cfg.RecoverWait)
		if !n.awaitOwn(waiting) {
			if err := ctx.Err(); err != nil {
				return err
			}
			return fmt.Errorf("%w: the data directory was moved, copied or restored, or lost the end of its log, and its chain did not come back from peers within %s",
				errNewOrigin, n.cfg.RecoverWait)
		}
		if err := n.dir.Adopt(); err != nil {
			return err
		}
		n.log.Info("own chain recovered from peers", "seq", n.archive.Head(n.info.Origin).Seq)
		n.state.setOwn()
		n.settleReadiness(true)
		return nil
	}
	n.settleReadiness(true)
	n.background(func(quit context.Context) {
		if n.recoverUnchanged(quit) && n.archive.Frozen(n.info.Origin) == nil {
			n.state.setOwn()
		}
	})
	return nil
}

// recoverUnchanged waits until the own chain of an unchanged directory may be
// appended to: its end is here, as all live members say, or nobody has said
// within RecoverWait that there is more of it. It reports whether that came
// about before quit ended.
func (n *Node) recoverUnchanged(quit context.Context) bool {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	began, warned := n.now(), false
	ahead := map[chain.Origin]chain.Seq{}
	for !n.ownIsHere() {
		n.noteAhead(ahead)
		if n.now().Sub(began) >= n.cfg.RecoverWait {
			switch {
			case len(ahead) == 0:
				n.log.Warn("no peer that holds this node's chain answered; the data directory is unchanged, so it goes on from there",
					"waited", n.cfg.RecoverWait, "seq", n.archive.Head(n.info.Origin).Seq)
				return quit.Err() == nil
			case !warned:
				warned = true
				n.log.Warn("peers have more of this node's chain than is here: nothing is published until it is back",
					"waited", n.cfg.RecoverWait, "seq", n.archive.Head(n.info.Origin).Seq)
			}
		}
		select {
		case <-quit.Done():
			return false // what waits in the outbox must not be appended now
		case <-tick.C:
		}
	}
	return true
}

// noteAhead keeps, by peer, the own seqs that a peer said it has and that are
// not here. One that went away still has them; one that is there and does not
// deliver them has not.
func (n *Node) noteAhead(ahead map[chain.Origin]chain.Seq) {
	there := map[chain.Origin]bool{}
	for _, h := range n.mesh.exchange.OwnHeads() {
		there[h.Peer] = true
		ahead[h.Peer] = max(ahead[h.Peer], h.Head.Seq)
	}
	wanted := n.mesh.exchange.KnownHead(n.info.Origin)
	here := n.archive.Head(n.info.Origin).Seq
	for peer, seq := range ahead {
		if seq <= here || there[peer] && wanted <= here {
			delete(ahead, peer)
		}
	}
}

// lookEvery is how often a start looks at how far it has come.
const lookEvery = 10 * time.Millisecond

// settleReadiness sees to it that a node which finds nobody to catch up with
// becomes ready.
func (n *Node) settleReadiness(others bool) {
	if n.mesh == nil || !n.mesh.told && !others && !n.mesh.knowsOthers() {
		n.state.setCaughtUp()
		return
	}
	n.background(func(quit context.Context) {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		heard := n.now() // when somebody was last there to catch up with
		for n.now().Sub(heard) < n.cfg.RecoverWait {
			select {
			case <-quit.Done():
				return
			case <-n.state.ready:
				return
			case <-tick.C:
				if len(n.mesh.exchange.OwnHeads()) > 0 {
					heard = n.now()
				}
			}
		}
		if n.state.setCaughtUp() {
			n.log.Warn("no peer answered: serving what is here", "waited", n.cfg.RecoverWait)
		}
	})
}

// background runs f until it ends or the node closes.
func (n *Node) background(f func(quit context.Context)) {
	quit, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(quit)
	}()
	n.onClose("background", func() error { cancel(); <-done; return nil })
}

func (m *mesh) knowsOthers() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.known) > 0
}

// awaitOwn waits until every live member, at least one, has told how far it has
// the own chain, and all of that is here and applied. It reports whether that
// came about.
func (n *Node) awaitOwn(ctx context.Context) bool {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if n.ownIsHere() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// ownIsHere reports whether it did.
func (n *Node) ownIsHere() bool {
	answers := map[chain.Origin]gossip.OwnHead{}
	for _, h := range n.mesh.exchange.OwnHeads() {
		if h.Answered() {
			answers[h.Peer] = h
		}
	}
	live := 0
	for _, m := range n.mesh.exchange.Members() {
		if m.Self || m.Status != gossip.StatusAlive {
			continue
		}
		live++
		a, ok := answers[m.Origin]
		if !ok || !n.holdsOwn(a.Head) {
			return false
		}
	}
	info, _ := n.archive.Info(n.info.Origin)
	return live > 0 && info.Frozen == nil && info.Applied == info.Received
}

// holdsOwn reports whether an own head that a peer has is here. One with
// another hash is a fork, which ends this chain.
func (n *Node) holdsOwn(h chain.Head) bool {
	u, err := n.archive.Update(chain.ID{Origin: n.info.Origin, Seq: h.Seq})
	if err != nil {
		return false
	}
	if u.Hash == h.Hash {
		return true
	}
	n.fail(fmt.Errorf("a peer holds another update at seq %d of this node's chain: two nodes have published under one key; "+
		"stop both, and start each with a data directory of its own", h.Seq))
	return false
}
