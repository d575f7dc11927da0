package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/core"
)

const (
	// republishMost and republishBytes bound what one batch publishes again.
	republishMost  = 1000
	republishBytes = 1 << 20
)

// republish publishes again, on the own chain, what this node had acknowledged
// under earlier origins and a freeze has taken back: in order, each once, however
// often it is interrupted. It is called when the own chain may be appended to,
// before anything else is.
func (n *Node) republish(ctx context.Context) error {
	if n.dir == nil {
		return nil
	}
	for _, former := range n.dir.Identity().Previous {
		for o := former.Origin; ; {
			again, err := n.takenBack(o)
			if err != nil {
				return err
			}
			if len(again) == 0 {
				break
			}
			if err := n.publishAgain(ctx, o, again); err != nil {
				return err
			}
			n.log.Warn("published again, under the new origin, what a freeze had taken back", "was", o, "updates", len(again),
				"from", again[0].ID.Seq, "to", again[len(again)-1].ID.Seq)
		}
	}
	return nil
}

// takenBack are the next updates of an earlier origin that are to be published
// again.
func (n *Node) takenBack(o chain.Origin) (again []*chain.Update, err error) {
	done, err := n.republished(o)
	if err != nil {
		return nil, err
	}
	size := 0
	for u, err := range n.archive.Beyond(o, 0) {
		if err != nil {
			return nil, fmt.Errorf("read what was taken back of %s: %w", o, err)
		}
		if u.Kind != chain.KindStatus || done.Has(u.ID.Seq) {
			continue
		}
		again = append(again, u)
		if size += len(u.Subject) + len(u.Delta); len(again) == republishMost || size >= republishBytes {
			break
		}
	}
	return again, nil
}

func republishedRecord(o chain.Origin) string { return "republished/" + o.String() }

func (n *Node) republished(o chain.Origin) (*core.Spans, error) {
	record, err := n.archive.Private(republishedRecord(o))
	if err != nil {
		return nil, err
	}
	return core.DecodeSpans(record)
}

// publishAgain publishes updates in one batch with the note that they were. A
// draft that the ledger does not take now is left for the next start.
func (n *Node) publishAgain(ctx context.Context, o chain.Origin, again []*chain.Update) error {
	done, err := n.republished(o)
	if err != nil {
		return err
	}
	var refused error
	err = n.writer.do(ctx, func() error {
		now := n.now().UnixMilli()
		for _, u := range again {
			if _, err := n.ledger.Republish(u, now); err != nil {
				if errors.Is(err, chain.ErrFrozen) || errors.Is(err, chain.ErrRecovering) {
					refused = err
					break
				}
				return fmt.Errorf("publish %s again: %w", u.ID, err)
			}
			done.Add(u.ID.Seq)
		}
		record, err := done.Encode()
		n.ledger.PutPrivate(republishedRecord(o), record)
		return err
	})
	return errors.Join(err, refused)
}
