package node

import (
	"bytes"
	"encoding/json"
	"log/slog"
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

// A freeze of an origin that the node has left comes while it runs under another.
// What it takes back is published again there and then, and nobody is told to
// restart anything.
func TestLateFreezeOfAFormerOrigin(t *testing.T) {
	log := &bytes.Buffer{}
	hub := gossip.NewHub()
	peer, err := Open(t.Context(), Config{Name: "peer", Hub: hub, Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	cfg := Config{Name: "c", DataDir: filepath.Join(t.TempDir(), "c"), Hub: hub, RecoverWait: 5 * time.Second}
	n, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	var was []chain.ID
	for _, delta := range []string{`{"a":1}`, `{"a":2}`, `{"a":3}`} {
		id, err := n.Publish(t.Context(), chain.Draft{Subject: "s", Delta: json.RawMessage(delta)})
		require.NoError(t, err)
		was = append(was, id)
	}
	good, err := n.archive.Update(was[0])
	require.NoError(t, err)
	seal := chain.SignSeal(n.key, chain.Head{Origin: was[0].Origin, Seq: was[0].Seq, Hash: good.Hash})
	require.NoError(t, n.Close())

	said := &bytes.Buffer{}
	cfg.Logger = slog.New(slog.NewTextHandler(said, nil))
	require.NoError(t, rekey(cfg, errNewOrigin))
	n, err = Open(t.Context(), cfg)
	require.NoError(t, err)
	id, err := n.Publish(t.Context(), chain.Draft{Subject: "t", Delta: json.RawMessage(`{"b":1}`)})
	require.NoError(t, err)
	require.NotEqual(t, was[0].Origin, id.Origin)
	require.Eventually(t, func() bool { return peer.archive.Frontier().Has(id) }, 20*time.Second, time.Millisecond)
	require.Equal(t, chain.Seq(2), n.archive.Head(n.Origin()).Seq)

	sealed := make(chan error, 1)
	books{n}.AcceptFreeze(id.Origin, seal, func(_ []chain.Outcome, err error) { sealed <- err })
	require.NoError(t, <-sealed)
	last := chain.ID{Origin: n.Origin(), Seq: 4}
	require.Eventually(t, func() bool { return peer.archive.Frontier().Has(last) && peer.archive.Frozen(was[0].Origin) != nil }, 20*time.Second, time.Millisecond)
	again, err := n.republisher().Next()
	require.NoError(t, err)
	require.Nil(t, again, "it is done once, however often it is looked at")
	for i, delta := range []string{`{"a":2}`, `{"a":3}`} {
		u, err := peer.archive.Update(chain.ID{Origin: n.Origin(), Seq: chain.Seq(3 + i)})
		require.NoError(t, err)
		require.Equal(t, "s", u.Subject)
		require.JSONEq(t, delta, string(u.Delta))
	}
	require.Equal(t, last.Seq, n.archive.Head(n.Origin()).Seq)
	require.NoError(t, n.Close())
	require.NoError(t, peer.Close())
	require.Contains(t, said.String(), "it is one that this node has left for a new origin")
	require.Contains(t, log.String(), "its node goes on under a new origin already")
	require.NotContains(t, said.String()+log.String(), "restart")
}
