package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node/core"
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
		ownLost = ownLost || h.Origin == n.info.Origin
		if n.cfg.lossSaid {
			continue
		}
		n.log.Warn("the store lost the end of a chain: it is fetched again from peers", "origin", h.Origin,
			"noted", h.Seq, "have", n.archive.Head(h.Origin).Seq)
	}
	n.awaitClocks()
	frozen := n.archive.Frozen(n.info.Origin)
	start := core.Start{
		Durable: n.dir != nil, Unchanged: n.dir == nil || n.dir.Unchanged(), EndLost: ownLost,
		Frozen: frozen != nil, Mesh: n.mesh != nil, Known: n.knownOthers(),
	}
	switch step := start.Step(); {
	case step == core.NewOrigin && frozen != nil:
		return fmt.Errorf("%w: it is frozen: %s", errNewOrigin, frozen)
	case step == core.NewOrigin:
		return fmt.Errorf("%w: %s, and there is no peer to ask", errNewOrigin, directoryChanged)
	case step == core.Append:
		if err := n.ownIsBack(ctx); err != nil {
			return err
		}
		n.settleReadiness(false)
		return nil
	case start.IsUnchanged():
		n.settleReadiness(true)
		n.background(func(quit context.Context) {
			if n.askPeers(quit, true) != core.Append {
				return
			}
			if n.archive.Frozen(n.info.Origin) != nil {
				n.state.setOwn() // so that drafts are refused, by the ledger, and do not wait for ever
				return
			}
			n.settleOwnOrFail(quit)
		})
		return nil
	}
	// The origin can change only while nothing runs under it, so the start
	// itself waits.
	n.log.Warn(directoryChanged+": asking peers for this node's chain",
		"origin", n.info.Origin, "seq", n.archive.Head(n.info.Origin).Seq, "wait", n.cfg.RecoverWait)
	switch n.askPeers(ctx, false) {
	case core.Append:
	case core.NewOrigin:
		return fmt.Errorf("%w: %s, and its chain did not come back from peers within %s", errNewOrigin, directoryChanged, n.cfg.RecoverWait)
	default:
		return ctx.Err()
	}
	if f := n.archive.Frozen(n.info.Origin); f != nil {
		return fmt.Errorf("%w: it is frozen: %s", errNewOrigin, f)
	}
	if err := n.dir.Adopt(); err != nil {
		return err
	}
	n.log.Info("own chain recovered from peers", "seq", n.archive.Head(n.info.Origin).Seq)
	if err := n.ownIsBack(ctx); err != nil {
		return err
	}
	n.settleReadiness(true)
	return nil
}

const directoryChanged = "the data directory was moved, copied or restored, or lost the end of its log"

// askPeers waits until the own chain may be appended to, or cannot be
// continued, and returns which. It returns core.Ask if quit ended first: then
// what waits in the outbox must not be appended.
func (n *Node) askPeers(quit context.Context, unchanged bool) core.Step {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	r := core.NewRecovery(n.info.Origin, unchanged, n.cfg.RecoverWait, n.waitsSince())
	for {
		peers := n.ownElsewhere()
		l := r.Look(n.now(), peers, n.archive)
		for _, c := range l.Fetch {
			n.log.Error("a peer says that it holds another update of this node's chain: it has to show it", "peer", c.Peer, "seq", c.Seq)
			n.mesh.exchange.Fetch(c.Peer, gossip.Range{Origin: n.info.Origin, From: c.Seq, To: c.Seq})
		}
		switch {
		case l.Unanswered:
			level := slog.LevelWarn
			if len(peers.Live) == 0 {
				level = slog.LevelInfo // readiness warns that nobody is there at all
			}
			n.log.Log(context.Background(), level, "no peer that holds this node's chain answered; the data directory is unchanged, so it goes on from there",
				"waited", n.cfg.RecoverWait, "seq", n.archive.Head(n.info.Origin).Seq)
		case l.Waits:
			n.log.Warn("peers have more of this node's chain than is here: nothing is published until it is back",
				"waited", n.cfg.RecoverWait, "seq", n.archive.Head(n.info.Origin).Seq)
		}
		if quit.Err() != nil {
			return core.Ask
		}
		if unchanged && n.archive.Frozen(n.info.Origin) != nil {
			return core.Append // of which nothing comes: the chain is at its end
		}
		if l.Step != core.Ask {
			return l.Step
		}
		select {
		case <-quit.Done():
		case <-tick.C:
		}
	}
}

// ownElsewhere is what gossip knows of the own chain.
func (n *Node) ownElsewhere() core.Peers {
	p := core.Peers{OwnHeads: n.mesh.exchange.OwnHeads(), KnownHead: n.mesh.exchange.KnownHead(n.info.Origin)}
	for _, m := range n.mesh.exchange.Members() {
		if !m.Self && m.Status == gossip.StatusAlive {
			p.Live = append(p.Live, m.Origin)
		}
	}
	return p
}

// knownOthers is how many other members this node knows.
func (n *Node) knownOthers() int {
	if n.mesh == nil {
		return 0
	}
	n.mesh.mu.Lock()
	defer n.mesh.mu.Unlock()
	return n.mesh.known.Len()
}

// answerTime is what peers get to answer after they were met, however long that
// took.
const answerTime = time.Second

// waitsSince is from when RecoverWait counts: the start, unless that left the
// peers no time.
func (n *Node) waitsSince() time.Time {
	from := n.started
	if !n.cfg.began.IsZero() {
		from = n.cfg.began
	}
	least := n.joined.Add(min(answerTime, n.cfg.RecoverWait) - n.cfg.RecoverWait)
	if from.Before(least) {
		return least
	}
	return from
}

// lookEvery is how often a start looks at how far it has come.
const lookEvery = 10 * time.Millisecond

// alone reports whether there is nobody to wait for: this node is in no mesh, or
// was told of nobody and knows nobody, unless others says that there are some.
func (n *Node) alone(others bool) bool {
	return n.mesh == nil || !n.mesh.told && !others && n.knownOthers() == 0
}

// settleReadiness sees to it that a node which finds nobody to catch up with
// becomes ready.
func (n *Node) settleReadiness(others bool) {
	if n.alone(others) {
		n.state.setCaughtUp()
		return
	}
	n.background(func(quit context.Context) {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		heard := n.waitsSince() // when somebody was last there to catch up with
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
