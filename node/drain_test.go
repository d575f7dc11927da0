package node

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// Peers that fill the inbox as fast as it is emptied do not keep a node from closing:
// it takes what they sent for drainMost, and a batch. Each of them gets an answer.
func TestCloseDuringAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Name: "n"}
		cfg.setDefaults()
		n := newNode(cfg)
		for _, step := range n.steps() {
			require.NoError(t, step(t.Context()))
		}
		// What waits takes ten times drainMost.
		const waits = inboxBytes / inboxTurn
		const each = 10 * drainMost / waits
		var sent, taken, refused atomic.Int64
		for name := range byte(inboxBytes/inboxQueue + 1) {
			go func() {
				for {
					sent.Add(1)
					a := &arrival{from: peer(name), cost: inboxTurn, reply: func(_ []chain.Outcome, err error) {
						if err != nil {
							refused.Add(1)
							return
						}
						taken.Add(1)
						time.Sleep(each) // the writer's time
					}}
					if !n.writer.inbox.put(a) {
						a.reply(nil, chain.ErrClosed)
						return
					}
				}
			}()
		}
		time.Sleep(drainMost)
		synctest.Wait()
		before := taken.Load()
		require.NotZero(t, before)
		require.Greater(t, sent.Load()-before, int64(waits/2), "the inbox is full")
		began := time.Now()
		require.NoError(t, n.Close())
		took := time.Since(began)
		// The batch under way ends, and the last one that is begun.
		batch := time.Duration(n.writer.core.Share()/inboxTurn+1) * each
		require.LessOrEqual(t, took, drainMost+2*batch)
		require.GreaterOrEqual(t, took, drainMost, "what it comes to is taken")
		require.Greater(t, taken.Load(), before)
		synctest.Wait()
		require.Equal(t, sent.Load(), taken.Load()+refused.Load())
	})
}
