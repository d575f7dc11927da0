package node

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// dyingStore is a store whose disk fails at a moment.
type dyingStore struct {
	chain.Store
	dead atomic.Bool
}

var errDisk = errors.New("input/output error")

func (s *dyingStore) Commit(b *chain.Batch, sync bool) error {
	if s.dead.Load() {
		return errDisk
	}
	return s.Store.Commit(b, sync)
}

func (s *dyingStore) Sync() error {
	if s.dead.Load() {
		return errDisk
	}
	return s.Store.Sync()
}

// A node whose disk has failed refuses what is published, says so, shows what it
// has, is no burden to its peers, and closes.
func TestNodeWithADeadStore(t *testing.T) {
	hub := gossip.NewHub()
	peer, err := Open(t.Context(), Config{Name: "peer", Hub: hub})
	require.NoError(t, err)
	defer func() { require.NoError(t, peer.Close()) }()

	cfg := Config{Name: "n", Hub: hub}
	cfg.setDefaults()
	n := newNode(cfg)
	disk := &dyingStore{}
	for i, step := range n.steps() {
		require.NoError(t, step(t.Context()))
		if i == 0 {
			disk.Store = n.store
			n.store = disk
		}
	}
	defer func() { require.NoError(t, n.Close()) }()
	before, err := n.Publish(t.Context(), status(`{"a":1}`))
	require.NoError(t, err)
	require.NoError(t, peer.Wait(t.Context(), before))
	require.Eventually(t, n.Converged, 10*time.Second, time.Millisecond)

	disk.dead.Store(true)
	_, err = n.Publish(t.Context(), status(`{"a":2}`))
	require.ErrorIs(t, err, chain.ErrStoreFailed)
	require.ErrorIs(t, err, errDisk)
	disk.dead.Store(false)
	_, err = n.Publish(t.Context(), status(`{"a":3}`))
	require.ErrorIs(t, err, chain.ErrStoreFailed, "it is not retried into health")
	require.False(t, n.Readiness().Ready)
	require.Contains(t, n.Readiness().Reason, errDisk.Error())
	require.Eventually(t, func() bool { return !n.Converged() }, 10*time.Second, 5*time.Millisecond, "it applies nothing any more")
	view, err := n.View(t.Context(), "order/1")
	require.NoError(t, err)
	require.Equal(t, `{"a":1}`, view.Status().String())

	for i := range 100 {
		_, err := peer.Publish(t.Context(), Draft{Subject: "order/2", Delta: fmt.Appendf(nil, `{"n":%d}`, i)})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return !n.Converged() }, 10*time.Second, 5*time.Millisecond)
	require.Less(t, n.mesh.exchange.Stats().Pulls, uint64(20))
}

// Nobody may be waiting for what was enqueued when the store died: Close tells.
func TestEnqueuedWhenTheStoreDied(t *testing.T) {
	cfg := Config{Name: "n", Linger: time.Hour}
	cfg.setDefaults()
	n := newNode(cfg)
	disk := &dyingStore{}
	for i, step := range n.steps() {
		require.NoError(t, step(t.Context()))
		if i == 0 {
			disk.Store = n.store
			n.store = disk
		}
	}
	_, err := n.Enqueue(t.Context(), status(`{"a":1}`))
	require.NoError(t, err)
	_, err = n.Publish(t.Context(), status(`{"a":2}`))
	require.NoError(t, err)
	ack, err := n.Enqueue(t.Context(), status(`{"a":3}`))
	require.NoError(t, err)
	disk.dead.Store(true)
	_, err = n.Publish(t.Context(), status(`{"a":4}`))
	require.ErrorIs(t, err, chain.ErrStoreFailed)
	_, err = ack.Result()
	require.ErrorIs(t, err, chain.ErrStoreFailed)
	_, err = n.Enqueue(t.Context(), status(`{"a":5}`))
	require.ErrorIs(t, err, chain.ErrStoreFailed, "what could not be committed is not taken")
	require.ErrorIs(t, TrackOf[map[string]int](n, "order/1").Set(t.Context(), map[string]int{"a": 2}), chain.ErrStoreFailed)
	var undelivered *UndeliveredError
	require.ErrorAs(t, n.Close(), &undelivered)
	require.ErrorIs(t, undelivered, errDisk)
	require.Equal(t, []Draft{status(`{"a":3}`)}, undelivered.Drafts)
	require.EqualValues(t, 1, n.outbox.failed.Load())
}
