package gossip

import (
	"crypto/ed25519"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// What is posted together is taken together, and the loop does not turn again for it.
func TestLoopTurnsForSomethingOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := make(ed25519.PublicKey, ed25519.PublicKeySize)
		var turns atomic.Int64
		clock := func() time.Time { // is asked once for each turn
			turns.Add(1)
			return time.Now()
		}
		x := NewExchange(Config{Self: chain.OriginOf(key), Transport: NewHub().Transport(key, Tags{Name: "a"}), Clock: clock}, emptyLedger{})
		defer x.Close()
		before, brought := turns.Load(), map[int64]bool{}
		for range 1000 {
			for range 3 {
				x.post(func(At) { brought[turns.Load()] = true })
			}
			synctest.Wait()
		}
		require.Equal(t, len(brought), int(turns.Load()-before))
	})
}
