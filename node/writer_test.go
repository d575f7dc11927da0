package node

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/gossip"
)

// author is a ledger in memory, for runs as a peer would send them.
type author struct {
	t      *testing.T
	store  chain.Store
	ledger *chain.Ledger
	ahead  time.Duration // of its clock
}

func newAuthor(t *testing.T, seed byte) *author {
	t.Helper()
	key := ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), seed))
	s := store.Memory()
	l, err := chain.NewLedger(s, chain.Config{Key: key, Node: fmt.Sprint("n", seed), Authority: fmt.Sprint("a", seed)}, time.Now().UnixMilli())
	require.NoError(t, err)
	return &author{t: t, store: s, ledger: l}
}

func (a *author) publish(drafts ...chain.Draft) []*chain.Run {
	now := time.Now().Add(a.ahead).UnixMilli()
	for _, d := range drafts {
		p, err := chain.Prepare(d)
		require.NoError(a.t, err)
		_, err = a.ledger.Append(p, now)
		require.NoError(a.t, err)
	}
	return a.flush()
}

func (a *author) accept(runs []*chain.Run) {
	for _, r := range runs {
		_, err := a.ledger.Accept(r, time.Now().UnixMilli())
		require.NoError(a.t, err)
	}
	a.flush()
}

func (a *author) flush() []*chain.Run {
	b, e, err := a.ledger.Flush(time.Now().UnixMilli())
	require.NoError(a.t, err)
	require.NoError(a.t, a.store.Commit(b, true))
	return e.Own
}

// take hands runs to a node and waits until they are committed.
func take(t *testing.T, n *Node, runs []*chain.Run) {
	t.Helper()
	for _, r := range runs {
		taken := make(chan error, 1)
		books{n}.Accept(r.Origin, []*chain.Run{r}, false, func(_ []chain.Outcome, err error) { taken <- err })
		require.NoError(t, <-taken)
	}
}

// One update may be what more waited for than a batch applies. The rest is
// applied without anything else coming in, and meanwhile nobody is told that
// the node is converged.
func TestWhatABatchLeavesOverIsApplied(t *testing.T) {
	first, second := newAuthor(t, 1), newAuthor(t, 2)
	cause := first.publish(chain.Draft{Subject: "s", Delta: json.RawMessage(`{"a":1}`)})
	second.accept(cause)
	dep := chain.ID{Origin: first.ledger.Origin(), Seq: 2}
	var held []*chain.Run
	const count, batch = 40_000, 4_000
	for i := 0; i < count; i += batch {
		drafts := make([]chain.Draft, batch)
		for k := range drafts {
			drafts[k] = chain.Draft{Subject: "t", Delta: json.RawMessage(fmt.Sprintf(`{"b":%d}`, i+k))}
		}
		if i == 0 {
			drafts[0].Deps = []chain.ID{dep}
		}
		held = append(held, second.publish(drafts...)...)
	}

	cfg := Config{Name: "n"}
	cfg.setDefaults()
	n := newNode(cfg)
	for i, step := range n.steps() {
		require.NoError(t, step(t.Context()))
		if i == 0 {
			// What the last commit left is published when the next one comes.
			n.store = watchedStore{n.store, func() {
				if n.archive == nil {
					return
				}
				for _, c := range n.archive.Chains() {
					if c.Applied != c.Received && n.Converged() {
						t.Errorf("converged with %+v", c)
					}
				}
			}}
		}
	}
	defer func() { require.NoError(t, n.Close()) }()
	take(t, n, held)
	require.Len(t, n.archive.Summary().Held, 1)
	take(t, n, cause)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, n.archive.Wait(ctx, chain.Frontier{second.ledger.Origin(): count + 1}))
}

// watchedStore calls a function before each commit.
type watchedStore struct {
	chain.Store
	before func()
}

func (s watchedStore) Commit(b *chain.Batch, sync bool) error {
	s.before()
	return s.Store.Commit(b, sync)
}

// Nobody stays waiting for a writer whose node did not come to join.
func TestIntakeOfAFailedStart(t *testing.T) {
	cfg := Config{Name: "n", Hub: gossip.NewHub()}
	cfg.setDefaults()
	n := newNode(cfg)
	for _, step := range n.steps()[:6] {
		require.NoError(t, step(t.Context()))
	}
	taken := make(chan error, 1)
	books{n}.Accept(chain.Origin{}, nil, false, func(_ []chain.Outcome, err error) { taken <- err })
	require.NoError(t, <-taken, "the writer runs before anybody is met")
	require.NoError(t, n.Close())
	for range 3 {
		books{n}.Accept(chain.Origin{}, nil, false, func(_ []chain.Outcome, err error) { taken <- err })
		require.ErrorIs(t, <-taken, chain.ErrClosed)
	}
}
