package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/tidings-mesh/tidings/chain"
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
	return &core.Republisher{Archive: n.archive, Ledger: n.ledger, Former: n.formerOrigins()}
}

// formerOrigins are those that this node has left, oldest first.
func (n *Node) formerOrigins() (former []chain.Origin) {
	if n.dir != nil {
		for _, k := range n.dir.Identity().Previous {
			former = append(former, k.Origin)
		}
	}
	return former
}

// lookAtFormer publishes again what a freeze of a former origin took back since
// the start. It is the watch's: while the clock keeps the node from publishing, or
// the own chain is not back, the next look does it.
func (n *Node) lookAtFormer() {
	select {
	case <-n.state.appendable:
	default:
		return
	}
	ends := map[chain.Origin]chain.Seq{}
	for _, o := range n.formerOrigins() {
		if f := n.archive.Frozen(o); f != nil {
			ends[o] = f.After
		}
	}
	if maps.Equal(ends, n.mesh.formerEnds) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), watchEvery)
	defer cancel()
	switch err := n.republishNow(ctx); {
	case err == nil:
		n.mesh.formerEnds = ends
	case errors.Is(err, errClocksUnknown), errors.Is(err, ErrClockSkew), errors.Is(err, context.DeadlineExceeded):
	case errors.Is(err, chain.ErrClosed), errors.Is(err, chain.ErrStoreFailed):
	default:
		n.mesh.formerEnds = ends
		n.log.Error("what a freeze had taken back is not published again before the next start", "err", err)
	}
}

// republish publishes again, on the own chain, what this node had acknowledged
// under earlier origins and a freeze has taken back. It is called when the own
// chain may be appended to, before anything else is. While the clock keeps the
// node from publishing, it waits.
func (n *Node) republish(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		err := n.republishNow(ctx)
		if !errors.Is(err, errClocksUnknown) && !errors.Is(err, ErrClockSkew) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// republishNow does it without waiting for the clock.
func (n *Node) republishNow(ctx context.Context) error {
	r := n.republisher()
	for {
		again, err := r.Next()
		if again == nil || err != nil {
			return err
		}
		if err := n.publishAgain(ctx, r, again); err != nil {
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
