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
// Who becomes a member while it waits goes on, and nobody rests once the exchange ends.
func TestStrangersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := make(ed25519.PublicKey, ed25519.PublicKeySize)
		x := NewExchange(Config{Self: chain.OriginOf(key), Transport: NewHub().Transport(key, Tags{Name: "a"})}, emptyLedger{})
		member, late := chain.Origin{1}, chain.Origin{2}
		x.membersChanged([]Member{{Origin: member, Status: StatusAlive}})
		work := func(peer chain.Origin, pieces int, took time.Duration) time.Duration {
			began := time.Now()
			for range pieces {
				end := x.turn(peer)
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
		require.Equal(t, 30*(1+strangersRest)*time.Millisecond, time.Since(began))
		require.Equal(t, time.Minute+strangersRestMost, work(chain.Origin{3}, 1, time.Minute), "one rest is bounded")

		end := x.turn(chain.Origin{3})
		went := make(chan struct{})
		go func() {
			work(late, 1, 0)
			close(went)
		}()
		synctest.Wait()
		require.False(t, isClosed(went), "it is not its turn")
		x.membersChanged([]Member{{Origin: member, Status: StatusAlive}, {Origin: late, Status: StatusAlive}})
		synctest.Wait()
		require.True(t, isClosed(went), "it is a member now")
		require.NoError(t, x.Close())
		began = time.Now()
		end()
		require.Equal(t, 100*time.Second, work(chain.Origin{3}, 100, time.Second))
		require.Equal(t, 100*time.Second, time.Since(began))
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
