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
	zero := n.clockZero()
	c := n.mesh.exchange.Clock()
	was := n.mesh.clock.Swap(&clockLook{c, zero})
	if was == nil {
		was = &clockLook{}
	}
	off := c.Offset.Abs()
	switch {
	case core.ClockIsOff(c, n.cfg.MaxClockSkew):
		n.state.setRefusal(n.clockRefusal(c))
		if !core.ClockIsOff(was.Clock, n.cfg.MaxClockSkew) {
			n.log.Error("clock is off: this node refuses to publish until it is set", "offset", c.Offset, "clocks", c.Count)
		}
	default:
		n.state.setRefusal(nil)
		if c.Count == 2 && off > n.cfg.MaxClockSkew/2 && was.Offset.Abs() <= n.cfg.MaxClockSkew/2 {
			n.log.Warn("the clocks of the two nodes differ; with two nobody can say which is wrong", "difference", 2*off)
		}
	}
	n.endClockHolds()
}

func (n *Node) clockRefusal(c gossip.Clock) error {
	return fmt.Errorf("%w: this node's clock is %s off the median of %d nodes, at most %s: set it, and it publishes again",
		ErrClockSkew, c.Offset.Round(time.Millisecond), c.Count, n.cfg.MaxClockSkew/2)
}

// clockLook is a comparison of clocks, and the own one's zero then.
type clockLook struct {
	gossip.Clock
	zero int64
}

// clockZero is what the own clock says of the moment when this node started, in
// Unix milliseconds. It moves if the clock is set.
func (n *Node) clockZero() int64 {
	return n.clock().UnixMilli() - n.now().Sub(n.started).Milliseconds()
}

// setMost bounds what a clock was set by, in milliseconds, so that it fits a
// Duration.
const setMost = int64(100 * 365 * 24 * time.Hour / time.Millisecond)

// compared is the last comparison, with what the own clock was set by since. For
// what is published until the next look would be stamped with the new time.
func (n *Node) compared() gossip.Clock {
	if n.mesh == nil {
		return gossip.Clock{}
	}
	seen := n.mesh.clock.Load()
	if seen == nil {
		return gossip.Clock{}
	}
	c := seen.Clock
	set := min(max(n.clockZero()-seen.zero, -setMost), setMost)
	c.Offset += time.Duration(set) * time.Millisecond
	return c
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
	_, caughtUp, _ := n.state.state()
	return core.TimeLimit(now, n.compared(), !caughtUp, n.cfg.MaxClockSkew)
}
