package node

import (
	"context"
	"fmt"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node/core"
)

// lookAtClock compares the wall clock with the mesh's: a node whose clock is off
// refuses to publish until it is set.
func (n *Node) lookAtClock() {
	c := n.mesh.exchange.Clock()
	was := n.compared()
	n.mesh.clock.Store(&core.Reading{Clock: c, At: n.moment()})
	off := c.Offset.Abs()
	switch {
	case core.ClockIsOff(c, n.cfg.MaxClockSkew):
		n.state.setRefusal(n.clockRefusal(c))
		if !core.ClockIsOff(was, n.cfg.MaxClockSkew) {
			n.log.Error("clock is off: this node refuses to publish until it is set", "offset", c.Offset, "clocks", c.Count)
		}
	default:
		n.state.setRefusal(nil)
		if c.Count == 2 && off > n.cfg.MaxClockSkew/2 && was.Offset.Abs() <= n.cfg.MaxClockSkew/2 {
			n.log.Warn("the clocks of the two nodes differ; with two nobody can say which is wrong", "difference", 2*off)
		}
	}
	n.lookAtOtherClocks()
	n.endClockHolds()
}

// awaitClocks lets nothing be published before the wall clock was compared with
// the mesh's: what is stamped with a wrong one every other node would hold, and
// all that follows it. Where nobody is there within RecoverWait to compare with,
// the node goes by its own.
func (n *Node) awaitClocks() {
	if n.alone(false) {
		n.state.setClocks()
		return
	}
	n.background(func(quit context.Context) {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for n.now().Sub(n.waitsSince()) < n.cfg.RecoverWait {
			c := n.mesh.exchange.Clock()
			n.mesh.clock.Store(&core.Reading{Clock: c, At: n.moment()})
			if core.ClocksMet(c, len(n.ownElsewhere().Live)) {
				break
			}
			select {
			case <-quit.Done():
				return
			case <-tick.C:
			}
		}
		n.state.setClocks()
	})
}

// lookAtOtherClocks says, once for each, whose clock is off and whose is no
// longer.
func (n *Node) lookAtOtherClocks() {
	for _, m := range n.listened().members {
		off := n.clockOff(m)
		switch was := n.mesh.clocksOff[m.Origin]; {
		case off != 0 && !was:
			n.mesh.clocksOff[m.Origin] = true
			n.log.Error("a member's clock is off: it refuses to publish, and what it published from the future is held; set its clock",
				"member", m.Name, "origin", m.Origin, "offset", off)
		case off == 0 && was && m.Measured:
			delete(n.mesh.clocksOff, m.Origin)
			n.log.Info("a member's clock is right again", "member", m.Name, "origin", m.Origin)
		}
	}
}

// clockOff is how far a member's clock is off the median of the mesh's, 0
// where it may be.
func (n *Node) clockOff(m gossip.MemberState) time.Duration {
	c := n.compared()
	c.Offset += m.Offset
	if m.Self || !m.Measured || !core.ClockIsOff(c, n.cfg.MaxClockSkew) {
		return 0
	}
	return c.Offset
}

// compared is how the wall clock compares with the mesh's, as it is now.
func (n *Node) compared() gossip.Clock {
	if n.mesh == nil {
		return gossip.Clock{}
	}
	if seen := n.mesh.clock.Load(); seen != nil {
		return seen.Now(n.moment())
	}
	return gossip.Clock{}
}

// clockRefusal is why nothing is published with this clock.
func (n *Node) clockRefusal(c gossip.Clock) error {
	return fmt.Errorf("%w: this node's clock is %s off the median of %d nodes, at most %s: set it, and it publishes again",
		ErrClockSkew, c.Offset.Round(time.Millisecond), c.Count, n.cfg.MaxClockSkew/2)
}

// clockMayPublish says why the clock, as it is now, keeps the node from
// publishing. One that was set since the last look must not get into the chain.
func (n *Node) clockMayPublish() error {
	if c := n.compared(); core.ClockIsOff(c, n.cfg.MaxClockSkew) {
		return n.clockRefusal(c)
	}
	return nil
}

// moment is now on both of the node's clocks.
func (n *Node) moment() gossip.At {
	return gossip.At{Mono: n.now().Sub(n.started), Wall: n.clock().UnixMilli()}
}

// endClockHolds applies what the clock holds back no longer: it may have waited
// long enough, or most of the known members have applied it.
func (n *Node) endClockHolds() {
	held := n.archive.Summary().Held
	var ids []chain.ID
	for _, h := range held {
		if h.Reason == chain.HeldClock {
			ids = append(ids, h.ID)
		}
	}
	applied := n.mesh.exchange.ClockHeld(ids)
	if len(held) == 0 {
		return
	}
	n.mesh.mu.Lock()
	others := n.mesh.known.Origins()
	n.mesh.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), watchEvery)
	defer cancel()
	_ = n.writer.do(ctx, func() error { // what fails is looked at again
		now := n.clock().UnixMilli()
		if err := n.ledger.SetLimit(n.timeLimit(now), now); err != nil {
			return err
		}
		for _, id := range ids {
			if upTo := core.Admissible(applied[id.Origin], others); upTo >= id.Seq {
				n.log.Warn("an update from the future is applied: most of the mesh has applied it", "id", id, "up_to", upTo)
				if err := n.ledger.Admit(id.Origin, upTo, now); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// timeLimit is the latest time that is applied, 0 for none, in Unix
// milliseconds. A node that is alone has none.
func (n *Node) timeLimit(now int64) int64 {
	if n.cfg.Bind == "" && n.cfg.Hub == nil {
		return 0
	}
	_, clocks, caughtUp, _ := n.state.state()
	return core.TimeLimit(now, n.compared(), !clocks || !caughtUp, n.cfg.MaxClockSkew)
}
