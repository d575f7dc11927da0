package node

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

func peer(name byte) chain.Origin { return chain.Origin{name} }

// A peer's arrivals stay in order, and one that fills its queue leaves the others
// their turns, by cost and not by count.
func TestInboxServesPeersInTurns(t *testing.T) {
	i := newInbox()
	large := inboxTurn / 2
	for range 8 {
		require.True(t, i.put(&arrival{from: peer('a'), cost: large}))
	}
	for n := range 40 {
		require.True(t, i.put(&arrival{from: peer('b'), cost: large / 10, urgent: n%2 == 0}))
	}
	require.True(t, i.put(&arrival{from: peer('c'), cost: 10}))
	taken, last, count := map[chain.Origin]int{}, map[chain.Origin]int{}, map[chain.Origin]int{}
	for n := 0; n < 49; n++ {
		a := i.take()
		require.NotNil(t, a)
		taken[a.from] += a.cost
		last[a.from] = n
		if a.from == peer('b') {
			require.Equal(t, count[a.from]%2 == 0, a.urgent, "first in, first out")
		}
		count[a.from]++
		if last[peer('a')] < n && last[peer('b')] < n {
			continue
		}
		if taken[peer('a')] < 8*large && taken[peer('b')] < 4*large {
			require.InDelta(t, taken[peer('a')], taken[peer('b')], 2*inboxTurn)
		}
	}
	require.Less(t, last[peer('c')], 25, "one small arrival does not wait for all that others sent")
	require.Nil(t, i.take())
	require.Empty(t, i.queues, "nothing is kept of peers of which nothing waits")
}

// One arrival that costs more than many turns is served, in its time.
func TestInboxServesTheLarge(t *testing.T) {
	i := newInbox()
	require.True(t, i.put(&arrival{from: peer('a'), cost: 50 * inboxTurn}))
	for range 100 {
		require.True(t, i.put(&arrival{from: peer('b'), cost: inboxTurn}))
		if a := i.take(); a.from == peer('a') {
			return
		}
	}
	t.Fatal("it was never served")
}

// Who sends more than is taken waits, alone, until some of it was taken or the
// inbox is closed; what waits then is still taken.
func TestInboxHoldsBackWhoFillsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInbox()
		require.True(t, i.put(&arrival{from: peer('a'), cost: 2 * inboxQueue}), "one is let in whatever it costs")
		var mu sync.Mutex
		var in []bool
		put := func() {
			ok := i.put(&arrival{from: peer('a'), cost: inboxQueue})
			mu.Lock()
			defer mu.Unlock()
			in = append(in, ok)
		}
		go put()
		go put()
		go put()
		time.Sleep(time.Second)
		require.Empty(t, in)
		require.True(t, i.put(&arrival{from: peer('b'), cost: inboxQueue}), "others have room")
		require.Equal(t, peer('b'), i.take().from)
		require.Equal(t, peer('a'), i.take().from)
		synctest.Wait()
		require.Equal(t, []bool{true}, in)
		i.close()
		synctest.Wait()
		require.Equal(t, []bool{true, false, false}, in)
		require.False(t, i.put(&arrival{from: peer('b')}))
		require.NotNil(t, i.take())
		require.Nil(t, i.take())
	})
}

// Who waits for the writer to come to a peer's arrivals waits until all are taken, or
// the inbox is closed, and for no others'.
func TestInboxIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInbox()
		i.await(peer('a')) // nothing waits
		require.True(t, i.put(&arrival{from: peer('a'), cost: 1}))
		require.True(t, i.put(&arrival{from: peer('a'), cost: 1}))
		i.await(peer('b'))
		came := make(chan struct{})
		go func() {
			i.await(peer('a'))
			close(came)
		}()
		synctest.Wait()
		require.NotNil(t, i.take())
		synctest.Wait()
		select {
		case <-came:
			t.Fatal("one still waits")
		default:
		}
		require.NotNil(t, i.take())
		<-came
		require.True(t, i.put(&arrival{from: peer('a'), cost: 1}))
		began := time.Now()
		i.await(peer('a'))
		require.Equal(t, awaitMost, time.Since(began), "a writer that stands still holds up nobody's pings")
		i.close()
		i.await(peer('a'))
		require.Equal(t, awaitMost, time.Since(began))
	})
}

// However many peers there are, what waits of all is bounded.
func TestInboxIsBounded(t *testing.T) {
	i := newInbox()
	waits := 0
	for n := range 64 {
		p := chain.Origin{1, byte(n)}
		for range 8 {
			wait, ok := i.offer(&arrival{from: p, cost: inboxQueue / 8})
			require.True(t, ok)
			if wait != nil {
				waits++
			}
		}
	}
	total := 0
	for _, q := range i.queues {
		total += q.cost
		require.NotZero(t, q.cost, "each has something")
	}
	require.LessOrEqual(t, total, inboxBytes+64*inboxQueue/8)
	require.NotZero(t, waits)
}

// A hurry wakes the writer, and is told once, whatever waits besides.
func TestInboxHurries(t *testing.T) {
	i := newInbox()
	require.False(t, i.hurries())
	i.hurry()
	<-i.some
	require.True(t, i.put(&arrival{from: peer('a'), cost: 1}))
	require.True(t, i.hurries())
	require.False(t, i.hurries())
}
