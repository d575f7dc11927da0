package node_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

// inTime fails the test if f does not return soon.
func inTime(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s does not return", what)
	}
}

// recovering opens a node that has published in a mesh, and now waits for it:
// nothing can be appended to its chain. The caller closes it.
func recovering(t *testing.T, c node.Config) *node.Node {
	t.Helper()
	hub := gossip.NewHub()
	peer := open(t, node.Config{Name: "peer", Hub: hub})
	c.Name, c.DataDir, c.Hub = "wh-1", filepath.Join(t.TempDir(), "data"), hub
	n := open(t, c)
	publish(t, n, "order/1", `{"a":1}`)
	require.NoError(t, n.Close())
	require.NoError(t, peer.Close())

	c.Hub, c.RecoverWait = gossip.NewHub(), time.Hour
	n, err := node.Open(t.Context(), c)
	require.NoError(t, err)
	require.Contains(t, n.Readiness().Reason, "recovering")
	return n
}

// What waits is bounded in bytes, too: a large draft takes the room of several.
func TestLargeDraftsTakeMoreRoom(t *testing.T) {
	n := recovering(t, node.Config{Outbox: 32})
	large := `{"a":"` + strings.Repeat("x", 60_000) + `"}`
	for want := range 2 {
		require.Equal(t, want, n.OutboxDepth())
		_, err := n.Enqueue(t.Context(), draft("order/1", large))
		require.NoError(t, err)
	}
	_, err := n.Enqueue(t.Context(), draft("order/1", large))
	require.ErrorIs(t, err, node.ErrBusy)
	_, err = n.Enqueue(t.Context(), draft("order/1", `{"a":1}`))
	require.NoError(t, err, "a small one has room")
	require.Equal(t, 3, n.OutboxDepth())
	var undelivered *node.UndeliveredError
	require.ErrorAs(t, n.Close(), &undelivered)
	require.Len(t, undelivered.Drafts, 3)
	require.Zero(t, n.OutboxDepth())
}

// Whoever waits for room in the outbox, which nobody empties, does not keep the
// node from closing.
func TestCloseWhileDraftsWaitForRoom(t *testing.T) {
	n := recovering(t, node.Config{Outbox: 1})
	ack, err := n.Enqueue(t.Context(), draft("order/1", `{"a":2}`))
	require.NoError(t, err)
	published := make(chan error, 1)
	go func() {
		_, err := n.Publish(context.Background(), draft("order/1", `{"a":3}`))
		published <- err
	}()
	eventually(t, "the outbox is full", func() bool {
		none, err := n.Enqueue(t.Context(), draft("order/1", `{"a":4}`))
		return none == nil && err != nil
	})
	require.Equal(t, 1, n.OutboxDepth())
	inTime(t, "Close", func() {
		var undelivered *node.UndeliveredError
		require.ErrorAs(t, n.Close(), &undelivered)
		require.Equal(t, []node.Draft{draft("order/1", `{"a":2}`)}, undelivered.Drafts, "whoever called Publish knows by its error")
		require.ErrorIs(t, undelivered, chain.ErrClosed)
	})
	require.Zero(t, n.OutboxDepth())
	require.ErrorIs(t, <-published, chain.ErrClosed)
	_, err = ack.Wait(t.Context())
	require.ErrorIs(t, err, chain.ErrClosed)
}

// A start that fails after the mesh was joined leaves nothing behind, though
// peers are sending all that they have.
func TestFailedStartInABusyMesh(t *testing.T) {
	hub := gossip.NewHub()
	first := open(t, node.Config{Name: "first", Hub: hub})
	taken := prometheus.NewRegistry()
	require.NoError(t, taken.Register(prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tidings_ready", Help: "another's",
	}, nil)))
	publish(t, first, "order/1", `{"a":1}`)
	inTime(t, "Open", func() {
		_, err := node.Open(context.Background(), node.Config{Name: "second", Hub: hub, Metrics: taken})
		require.ErrorContains(t, err, "register metrics")
	})
	require.EqualValues(t, 2, publish(t, first, "order/1", `{"a":2}`).Seq-1)
}
