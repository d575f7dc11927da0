package node

import (
	"context"

	"github.com/tidings-mesh/tidings/node/core"
)

// republish publishes again, on the own chain, what this node had acknowledged
// under earlier origins and a freeze has taken back. It is called when the own
// chain may be appended to, before anything else is.
func (n *Node) republish(ctx context.Context) error {
	if n.dir == nil {
		return nil
	}
	r := core.Republisher{Archive: n.archive, Ledger: n.ledger}
	for _, former := range n.dir.Identity().Previous {
		r.Former = append(r.Former, former.Origin)
	}
	for {
		again, err := r.Next()
		if again == nil || err != nil {
			return err
		}
		if err := n.publishAgain(ctx, &r, again); err != nil {
			return err
		}
		n.log.Warn("published again, under the new origin, what a freeze had taken back", "was", again.Was, "updates", len(again.Updates),
			"from", again.Updates[0].ID.Seq, "to", again.Updates[len(again.Updates)-1].ID.Seq)
	}
}

// publishAgain publishes a batch. What the ledger does not take now is left for
// the next start.
func (n *Node) publishAgain(ctx context.Context, r *core.Republisher, again *core.Again) error {
	var refused error
	err := n.writer.do(ctx, func() (err error) {
		refused, err = r.Publish(again, n.now().UnixMilli())
		return err
	})
	if err != nil {
		return err
	}
	return refused
}
