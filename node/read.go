package node

import (
	"context"
	"iter"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/api"
)

// View returns what is known here of a subject, with the updates that are applied.
// The state is the caller's. It is answered from memory or from the own disk, and
// asks nobody.
//
// Errors: [chain.ErrNotFound] if nothing ever was said of the subject, and
// [chain.ErrClosed].
func (n *Node) View(ctx context.Context, subject string) (*chain.State, error) {
	return n.archive.View(ctx, subject)
}

// ViewAt is the view of a subject at the place of a cursor, from this or any
// other node and of whatever filter: the fold of what the cursor has seen, the
// same on every node. It waits until all of that is applied here, or ctx ends.
// What a freeze took back since is not in it. A text that is no cursor is
// [chain.ErrCursor]; [chain.ErrNotFound] says that nothing had been said of the
// subject at that place. It reads the subject's history up to there each time, and
// holds in memory what each update of it had seen.
func (n *Node) ViewAt(ctx context.Context, subject, cursor string) (*chain.State, error) {
	c, err := chain.ParseCursor(cursor)
	if err != nil {
		return nil, err
	}
	if err := n.archive.Wait(ctx, n.archive.Clamp(c.Frontier)); err != nil {
		return nil, err
	}
	return n.archive.ViewAt(ctx, subject, c.Frontier)
}

// History yields the updates of a subject that are applied here, in stitched
// order: the same on every node that has them. Of a subject that nothing was said of
// there are none. An error ends it: that of ctx, or [chain.ErrClosed].
func (n *Node) History(ctx context.Context, subject string) iter.Seq2[*chain.Update, error] {
	return func(yield func(*chain.Update, error) bool) {
		for u, err := range n.archive.History(subject) {
			if err == nil {
				err = ctx.Err()
			}
			if !yield(u, err) || err != nil {
				return
			}
		}
	}
}

// Batch is a part of the feed, never empty unless something was retracted.
type Batch = api.Changes

// ChangesOption narrows or places a feed of [Node.Changes].
type ChangesOption func(*changes)

type changes struct {
	since  string
	filter chain.Filter
	limit  int
}

// Since starts the feed after a cursor, from this or any other node, or with
// "start" (the default) or "now". A cursor goes with the filter that it was made
// with: InPrefix and ByAuthority.
func Since(cursor string) ChangesOption { return func(c *changes) { c.since = cursor } }

// InPrefix admits the subjects that a prefix selects, by whole segments. Default: all.
func InPrefix(p chain.Prefix) ChangesOption { return func(c *changes) { c.filter.Prefix = p } }

// ByAuthority admits the updates of the authorities, and of those of further options.
// Default: all.
func ByAuthority(names ...string) ChangesOption {
	return func(c *changes) { c.filter.Authorities = append(c.filter.Authorities, names...) }
}

// Limit bounds the updates of a batch. Default 1,000.
func Limit(n int) ChangesOption { return func(c *changes) { c.limit = n } }

// Changes yields what is applied on this node, in causal order, and waits for
// more until ctx ends, which ends it without an error. Keep the cursor of a
// batch once it is dealt with. An error that is yielded ends it:
// [chain.ErrCursor] where the cursor is damaged or was made with another filter, and
// [chain.ErrClosed].
func (n *Node) Changes(ctx context.Context, options ...ChangesOption) iter.Seq2[*Batch, error] {
	c := changes{limit: 1000}
	for _, o := range options {
		o(&c)
	}
	return func(yield func(*Batch, error) bool) {
		cursor, err := n.cursor(c.since, c.filter)
		if err != nil {
			yield(nil, err)
			return
		}
		open, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(n.open, cancel)()
		f := follower{n: n, filter: c.filter, limit: c.limit}
		for ctx.Err() == nil {
			batch, err := f.next(open, cursor)
			if err == nil && batch == nil {
				continue // ctx has ended
			}
			if !yield(batch, err) || err != nil {
				return
			}
			cursor = batch.Cursor
		}
	}
}

// follower is one consumer of the feed.
type follower struct {
	n      *Node
	filter chain.Filter
	limit  int
	// seen is the version of the archive at which the consumer was up to date. Until
	// it has another one there is nothing to look for: each look costs something for
	// each chain.
	seen     uint64
	upToDate bool
}

// next is the first batch after a cursor that has something, for which it waits
// until ctx ends: then it is nil.
func (f *follower) next(ctx context.Context, since chain.Cursor) (*Batch, error) {
	archive := f.n.archive
	for ctx.Err() == nil {
		if version := archive.Version(); !f.upToDate || version != f.seen {
			batch, err := backend{f.n}.Changes(since, f.filter, f.limit, nil)
			if err != nil {
				return nil, err
			}
			f.seen, f.upToDate = version, batch.UpToDate
			if batch.Found() {
				return batch, nil
			}
			since = batch.Cursor
			continue
		}
		watch := archive.WatchFeed(since, f.filter)
		if archive.Version() == f.seen && watch.Wait(ctx) == nil {
			since = watch.Cursor()
		}
		watch.Stop()
	}
	if f.n.open.Err() != nil {
		return nil, chain.ErrClosed
	}
	return nil, nil
}

func (n *Node) cursor(since string, f chain.Filter) (chain.Cursor, error) {
	switch since {
	case "", "start":
		return chain.Cursor{Filter: f.Hash()}, nil
	case "now":
		return backend{n}.Now(f), nil
	}
	return chain.ParseCursor(since)
}

// Mesh is the node's picture of the mesh and of itself, as of GET /v1/mesh. It is the
// caller's, and grows with the number of members and of chains.
func (n *Node) Mesh() *api.Mesh { return backend{n}.Mesh() }
