package gossip

import (
	"crypto/ed25519"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// All strangers together are worked for a part of the time, and members at once.
// Who becomes a member while it waits goes on, and who goes meanwhile does not wait.
func TestStrangersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := make(ed25519.PublicKey, ed25519.PublicKeySize)
		x := NewExchange(Config{Self: chain.OriginOf(key), Transport: NewHub().Transport(key, Tags{Name: "a"})}, emptyLedger{})
		member, late := chain.Origin{1}, chain.Origin{2}
		x.membersChanged([]Member{{Origin: member, Status: StatusAlive}})
		never := make(chan struct{})
		work := func(peer chain.Origin, pieces int, took time.Duration) time.Duration {
			began := time.Now()
			for range pieces {
				end, ok := x.turn(peer, never)
				require.True(t, ok)
				time.Sleep(took)
				end()
			}
			return time.Since(began)
		}

		var all sync.WaitGroup
		began := time.Now()
		for i := range 3 {
			all.Go(func() { work(chain.Origin{3, byte(i)}, 10, time.Millisecond) })
		}
		require.Equal(t, 10*time.Millisecond, work(member, 10, time.Millisecond), "who is a member does not wait for them")
		all.Wait()
		require.Equal(t, (29*(1+strangersRest)+1)*time.Millisecond, time.Since(began))
		time.Sleep(time.Second)
		require.Equal(t, 2*time.Minute+strangersRestMost, work(chain.Origin{3}, 2, time.Minute), "one rest is bounded")

		// In the rest of another, one that has become a member goes on, and one that went is gone.
		went := make(chan struct{})
		go func() {
			work(late, 1, 0)
			close(went)
		}()
		over, gone := make(chan struct{}), make(chan struct{})
		go func() {
			_, ok := x.turn(chain.Origin{4}, over)
			require.False(t, ok)
			close(gone)
		}()
		synctest.Wait()
		require.False(t, isClosed(went), "it is not its turn")
		require.False(t, isClosed(gone))
		x.membersChanged([]Member{{Origin: member, Status: StatusAlive}, {Origin: late, Status: StatusAlive}})
		close(over)
		synctest.Wait()
		require.True(t, isClosed(went), "it is a member now")
		require.True(t, isClosed(gone))
		require.NoError(t, x.Close())
		time.Sleep(strangersRestMost) // for the timers
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
