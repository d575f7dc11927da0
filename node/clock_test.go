package node

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// An update from the future is held by who can compare clocks, also after a
// restart. Once most known members have it applied, and only then, it is.
func TestClockHoldEndsOnceMostHaveApplied(t *testing.T) {
	future := newAuthor(t, 9)
	future.ahead = 24 * time.Hour
	runs := future.publish(chain.Draft{Subject: "s", Delta: json.RawMessage(`{"a":1}`)})
	id := chain.ID{Origin: future.ledger.Origin(), Seq: 2}
	dir := t.TempDir()
	hub := gossip.NewHub()
	start := func(name string, hub *gossip.Hub) *Node {
		n, err := Open(t.Context(), Config{Name: name, DataDir: filepath.Join(dir, name), Hub: hub, RecoverWait: 100 * time.Millisecond})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, n.Close()) })
		return n
	}
	// Who is alone compares nothing, so two of five have it.
	early := func(name string) {
		n := start(name, nil)
		take(t, n, runs)
		require.True(t, n.archive.Frontier().Has(id))
		require.NoError(t, n.Close())
	}
	early("a")
	early("b")
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		start(name, hub)
	}
	f := start("f", hub)
	has := func() bool { return f.archive.Frontier().Has(id) }
	require.Eventually(t, func() bool { return len(f.archive.Summary().Held) == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, chain.HeldClock, f.archive.Summary().Held[0].Reason)
	first := []chain.ID{f.archive.Summary().Held[0].ID} // as the node itself asks
	require.Eventually(t, func() bool { return len(f.mesh.exchange.ClockHeld(first)[id.Origin]) == 2 }, 30*time.Second, 10*time.Millisecond)
	require.False(t, has(), "2 of 6 have applied it")
	require.NoError(t, f.Close())

	f = start("f", hub)
	require.Eventually(t, func() bool { return len(f.archive.Summary().Held) == 1 }, 10*time.Second, time.Millisecond)
	require.False(t, has(), "a restart lets it in")
	for _, name := range []string{"g", "h", "i", "j"} {
		early(name)
		start(name, hub)
	}
	require.Eventually(t, func() bool { return f.knownOthers() == 9 }, 10*time.Second, time.Millisecond)
	require.Eventually(t, has, 20*time.Second, 10*time.Millisecond, "6 of 10 have applied it")
}
