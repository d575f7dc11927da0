package node

import (
	"cmp"
	"context"

	"github.com/tidings-mesh/tidings/chain"
)

// Draft is a status change to publish. It must not be changed while it is.
type Draft = chain.Draft

// Publish puts a draft on this node's chain and returns once it is committed
// here, durably where the node has a data directory. It waits for room in the
// outbox until ctx ends. A draft that would change nothing is no update: then
// the ID is that of the authority's newest update of the subject, zero if
// there is none. A context that ends while the draft is being committed leaves
// it unknown whether it was; publish it again under the same Key to be sure.
//
// Errors: [*chain.DraftError] where the draft is at fault; [ErrNotReady] and
// [ErrClockSkew] while this node must not publish; [chain.ErrStoreFailed] and
// [chain.ErrClosed].
func (n *Node) Publish(ctx context.Context, d Draft) (chain.ID, error) {
	p := newAck(d)
	if p.prepared != nil {
		if err := n.outbox.put(ctx, p); err != nil {
			return chain.ID{}, err
		}
	}
	r, err := p.Wait(ctx)
	return r.ID, err
}

// Enqueue puts a draft into the outbox and returns at once, with [ErrBusy] if
// that is full: the caller slows down, drops the draft, or waits for room with
// Publish. Config.Linger is how long it may wait for others there, so that they
// share a sync. Drafts are committed in the order of the calls, those of Publish
// among them, which ends the waiting of all before it. The draft must not be
// changed any more.
//
// The outcome is the Ack's, with the errors of Publish. Whoever does not wait for
// it has it from [Node.Close], as an [*UndeliveredError], where the node closed or
// its store failed before the draft was committed, and else not at all.
func (n *Node) Enqueue(ctx context.Context, d Draft) (*Ack, error) {
	if err := cmp.Or(ctx.Err(), n.archive.Failed()); err != nil {
		return nil, err
	}
	p := newAck(d)
	if p.prepared == nil {
		return nil, p.err
	}
	p.draft = &d
	if err := n.outbox.offer(p); err != nil {
		return nil, err
	}
	return p, nil
}

// OutboxDepth is the number of drafts that wait to be committed, those that are
// being committed included. It is at most Config.Outbox.
func (n *Node) OutboxDepth() int { return n.outbox.depth() }

// Wait returns once the updates are applied on this node. Of one that nobody has
// published it waits until ctx ends, whose error it returns then. Else it is nil, or
// [chain.ErrClosed].
func (n *Node) Wait(ctx context.Context, ids ...chain.ID) error {
	f := chain.Frontier{}
	for _, id := range ids {
		f[id.Origin] = max(f[id.Origin], id.Seq)
	}
	return n.archive.Wait(ctx, f)
}
