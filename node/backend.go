package node

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/api"
)

// backend is the node as its HTTP interface sees it, apart so that Node's own
// methods stay few.
type backend struct{ n *Node }

var _ api.Backend = backend{}

func (b backend) Info() api.Info           { return b.n.info }
func (b backend) Converged() bool          { return b.n.Converged() }
func (b backend) Readiness() api.Readiness { return b.n.Readiness() }

func (b backend) Enqueue(ctx context.Context, drafts []chain.Draft) ([]api.Pending, error) {
	out := make([]api.Pending, 0, len(drafts))
	for _, d := range drafts {
		p := newAck(d)
		if p.prepared != nil {
			if err := b.n.outbox.put(ctx, p); err != nil {
				if ctx.Err() != nil {
					err = api.ErrBusy
				}
				return out, err
			}
		}
		out = append(out, p)
	}
	return out, nil
}

func (b backend) Clamp(f chain.Frontier) chain.Frontier { return b.n.archive.Clamp(f) }

func (b backend) Applied(ctx context.Context, f chain.Frontier) error {
	err := b.n.archive.Wait(ctx, f)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", api.ErrBehind, err)
	}
	return err
}

func (b backend) Update(id chain.ID) (*chain.Update, api.UpdateState, error) {
	u, err := b.n.archive.Update(id)
	if err != nil {
		return nil, api.UpdateState{}, err
	}
	applied := b.n.archive.Frontier()
	state := api.UpdateState{Applied: applied.Has(id), Authority: b.n.archive.Authority(id.Origin)}
	if state.Applied {
		return u, state, nil
	}
	for _, h := range b.n.archive.Summary().Held {
		if h.ID.Origin == id.Origin {
			state.Reason = string(h.Reason)
			state.WaitingFor = h.WaitingFor
			if h.ID != id {
				// It waits behind another of its chain.
				state.Reason, state.WaitingFor = string(chain.HeldDependency), []chain.ID{{Origin: id.Origin, Seq: id.Seq - 1}}
			}
		}
	}
	return u, state, nil
}

func (b backend) View(subject string) (*chain.State, error) {
	ctx, cancel := context.WithTimeout(context.Background(), publishGrace)
	defer cancel()
	return b.n.archive.View(ctx, subject)
}

func (b backend) SubjectVersion(subject string) uint64 { return b.n.archive.SubjectVersion(subject) }

func (b backend) Watch(subject string) api.Watch { return b.n.archive.WatchSubject(subject) }

func (b backend) ViewAt(ctx context.Context, subject string, at chain.Frontier) (*chain.State, error) {
	return b.n.archive.ViewAt(ctx, subject, at)
}

// publishGrace bounds how long a read waits for a commit under way.
const publishGrace = 10 * time.Second

func (b backend) Subjects(p chain.Prefix, from string) iter.Seq2[*chain.State, error] {
	return func(yield func(*chain.State, error) bool) {
		ctx, cancel := context.WithTimeout(context.Background(), publishGrace)
		defer cancel()
		for s, err := range b.n.archive.Subjects(ctx, p, from) {
			if !yield(s, err) {
				return
			}
		}
	}
}

func (b backend) History(subject string) iter.Seq2[*chain.Update, error] {
	return b.n.archive.History(subject)
}

func (b backend) Chain(origin chain.Origin, from chain.Seq, limit int) (*api.ChainPage, error) {
	info, updates, seals, err := b.n.archive.Page(origin, from, limit)
	if err != nil {
		return nil, err
	}
	page := &api.ChainPage{
		Origin: origin, Authority: info.Genesis.Authority, Node: info.Genesis.Node, PublicKey: info.Genesis.Key,
		Head: info.Received.Seq, Updates: updates, Seals: seals, Frozen: info.Frozen,
	}
	if from+chain.Seq(len(updates)) > page.Head {
		page.Cover, err = b.n.archive.Cover(info)
	}
	return page, err
}

func (b backend) Authority(o chain.Origin) string { return b.n.archive.Authority(o) }

// feedPatience is how long a page may look for updates, and have those visited that it
// finds, before it ends with few or none.
const feedPatience = 50 * time.Millisecond

func (b backend) Changes(since chain.Cursor, filter chain.Filter, limit int, visit func(*chain.Update)) (*api.Changes, error) {
	if since.Filter != filter.Hash() {
		return nil, fmt.Errorf("%w: it was made with another filter", chain.ErrCursor)
	}
	began := b.n.now()
	stop := func() bool { return b.n.now().Sub(began) > feedPatience }
	var page *chain.Feed
	var err error
	if visit == nil {
		page, err = b.n.archive.Feed(since, filter, limit, stop)
	} else {
		page, err = b.n.archive.EachOfFeed(since, filter, limit, stop, visit)
	}
	if err != nil {
		return nil, err
	}
	return &api.Changes{
		Updates: page.Updates, Cursor: page.Cursor, UpToDate: page.UpToDate, Behind: page.Behind, Retracted: page.Retracted,
	}, nil
}

func (b backend) Follow(since chain.Cursor, filter chain.Filter) api.FeedWatch {
	return b.n.archive.WatchFeed(since, filter)
}

func (b backend) Version() uint64 { return b.n.archive.Version() }

func (b backend) Now(filter chain.Filter) chain.Cursor {
	return b.n.archive.Now(filter)
}

func (b backend) Mesh() *api.Mesh {
	n := b.n
	now := n.clock()
	sum := n.archive.Summary()
	m := &api.Mesh{
		Node: n.info.Node, Authority: n.info.Authority, Origin: n.info.Origin, Version: n.info.Version,
		Converged: n.Converged(), Root: sum.Root, Members: n.members(), Chains: []api.Chain{}, Held: []api.Held{},
		Store: api.StoreStats{Bytes: n.store.Bytes(), Updates: sum.Updates, Subjects: sum.Subjects},
	}
	if err := cmp.Or(n.archive.Failed(), n.damage()); err != nil {
		m.Store.Failed = err.Error()
	}
	for _, c := range n.archive.Chains() {
		m.Chains = append(m.Chains, n.chain(c, now))
	}
	slices.SortFunc(m.Chains, func(x, y api.Chain) int {
		return cmp.Or(cmp.Compare(x.Authority, y.Authority), cmp.Compare(x.Node, y.Node), x.Origin.Compare(y.Origin))
	})
	for _, f := range n.archive.Freezes() {
		m.Freezes = append(m.Freezes, api.Freeze{
			Origin: f.Origin, Authority: n.archive.Authority(f.Origin), After: f.After, Reason: f.Reason.String(), Detail: f.Detail,
		})
	}
	for _, h := range sum.Held {
		waiting := h.WaitingFor
		if waiting == nil {
			waiting = []chain.ID{}
		}
		m.Held = append(m.Held, api.Held{ID: h.ID, Reason: string(h.Reason), WaitingFor: waiting, AgeMs: now.Sub(h.Since).Milliseconds()})
	}
	return m
}

func (n *Node) chain(c chain.ChainInfo, now time.Time) api.Chain {
	o := c.Received.Origin
	out := api.Chain{
		Origin: o, Authority: c.Genesis.Authority, Node: c.Genesis.Node, Head: c.Received.Seq, Applied: c.Applied.Seq,
		Known: max(c.Received.Seq, n.knownHead(o)), Held: uint64(c.Received.Seq - c.Applied.Seq),
	}
	if u, err := n.archive.Update(chain.ID{Origin: o, Seq: c.Applied.Seq}); err == nil {
		out.AgeMs = max(0, now.UnixMilli()-u.HLC.Millis())
	}
	if c.Frozen != nil {
		out.Frozen = c.Frozen.String()
	}
	return out
}

func (b backend) Acks(ctx context.Context, id chain.ID, want int) int { return b.n.acks(ctx, id, want) }

func (b backend) Heard(authorities []string) time.Duration { return b.n.heardFrom(authorities) }

func (b backend) Forget(ctx context.Context, name string) error { return b.n.Forget(ctx, name) }
