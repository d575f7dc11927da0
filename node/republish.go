package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidings-mesh/tidings/node/core"
)

// ownIsBack lets drafts onto the own chain, after what is owed from before. What
// is owed may have to wait for the clock; the start does not wait with it.
func (n *Node) ownIsBack(ctx context.Context) error {
	again, err := n.republisher().Next()
	if err != nil {
		return err
	}
	if again == nil || n.mesh == nil {
		return n.settleOwn(ctx)
	}
	n.background(n.settleOwnOrFail)
	return nil
}

func (n *Node) settleOwn(ctx context.Context) error {
	if err := n.republish(ctx); err != nil {
		return fmt.Errorf("publish again what was taken back: %w", err)
	}
	n.state.setOwn()
	return nil
}

func (n *Node) settleOwnOrFail(quit context.Context) {
	if err := n.settleOwn(quit); err != nil && quit.Err() == nil {
		n.fail(err)
	}
}

func (n *Node) republisher() *core.Republisher {
	r := &core.Republisher{Archive: n.archive, Ledger: n.ledger}
	if n.dir != nil {
		for _, former := range n.dir.Identity().Previous {
			r.Former = append(r.Former, former.Origin)
		}
	}
	return r
}

// republish publishes again, on the own chain, what this node had acknowledged
// under earlier origins and a freeze has taken back. It is called when the own
// chain may be appended to, before anything else is. While the clock keeps the
// node from publishing, it waits.
func (n *Node) republish(ctx context.Context) error {
	r := n.republisher()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		again, err := r.Next()
		if again == nil || err != nil {
			return err
		}
		switch err := n.publishAgain(ctx, r, again); {
		case errors.Is(err, errClocksUnknown), errors.Is(err, ErrClockSkew):
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
			continue
		case err != nil:
			return err
		}
		n.log.Warn("published again, under the new origin, what a freeze had taken back", "was", again.Was, "updates", len(again.Updates),
			"from", again.Updates[0].ID.Seq, "to", again.Updates[len(again.Updates)-1].ID.Seq)
	}
}

var errClocksUnknown = fmt.Errorf("%w: clocks are not compared yet", ErrNotReady)

// publishAgain publishes a batch. What the ledger does not take now is left for
// the next start.
func (n *Node) publishAgain(ctx context.Context, r *core.Republisher, again *core.Again) error {
	var refused error
	err := n.writer.do(ctx, func() (err error) {
		if _, clocks, _, _ := n.state.state(); !clocks {
			refused = errClocksUnknown
			return nil
		}
		if refused = n.mayPublish(); refused == nil {
			refused, err = r.Publish(again, n.clock().UnixMilli())
		}
		return err
	})
	if err != nil {
		return err
	}
	return refused
}
