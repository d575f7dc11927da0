package node

import (
	"encoding/json"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// What a freeze took back is published again once the clock is right, not before:
// everybody else would hold it, and all that follows on it.
func TestRepublishWaitsForTheClock(t *testing.T) {
	hub, dir := gossip.NewHub(), filepath.Join(t.TempDir(), "c")
	for _, name := range []string{"a", "b"} {
		n, err := Open(t.Context(), Config{Name: name, Hub: hub})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, n.Close()) })
	}
	var ahead atomic.Int64
	start := func() *Node {
		n, err := Open(t.Context(), Config{
			Name: "c", DataDir: dir, Hub: hub, RecoverWait: 5 * time.Second,
			Clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		})
		require.NoError(t, err)
		return n
	}
	n := start()
	<-n.Ready()
	id, err := n.Publish(t.Context(), chain.Draft{Subject: "s", Delta: json.RawMessage(`{"a":1}`)})
	require.NoError(t, err)
	genesis, err := n.archive.Update(chain.ID{Origin: id.Origin, Seq: 1})
	require.NoError(t, err)
	sealed := make(chan error, 1)
	books{n}.AcceptFreeze(id.Origin, chain.SignSeal(n.key, chain.Head{Origin: id.Origin, Seq: 1, Hash: genesis.Hash}),
		func(_ []chain.Outcome, err error) { sealed <- err })
	require.NoError(t, <-sealed)
	require.NoError(t, n.Close())

	ahead.Store(int64(24 * time.Hour))
	n = start()
	defer func() { require.NoError(t, n.Close()) }()
	require.NotEqual(t, id.Origin, n.Origin())
	require.Eventually(t, func() bool {
		_, clocks, _, _ := n.state.state()
		return clocks && n.clockMayPublish() != nil
	}, 20*time.Second, time.Millisecond)
	require.Zero(t, n.archive.Head(n.Origin()).Seq)
	ahead.Store(0)
	require.Eventually(t, func() bool { return n.archive.Frontier().Has(chain.ID{Origin: n.Origin(), Seq: 2}) }, 20*time.Second, time.Millisecond)
	again, err := n.archive.Update(chain.ID{Origin: n.Origin(), Seq: 2})
	require.NoError(t, err)
	require.JSONEq(t, `{"a":1}`, string(again.Delta))
	require.Less(t, again.HLC.Millis(), time.Now().Add(time.Hour).UnixMilli())
}
