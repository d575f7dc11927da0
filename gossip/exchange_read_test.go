package gossip

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// Pushes that wait together are taken as one; other frames keep their places.
func TestInQueueJoinsPushes(t *testing.T) {
	q := newInQueue()
	push := func(from chain.Seq, ack bool) *Push {
		return &Push{AckWanted: ack, Runs: []Run{{First: from, Last: from}}}
	}
	covered := &Push{Cover: Cover{From: chain.Origin{1}, To: chain.Origin{2}}, Runs: []Run{{First: 9, Last: 9}}}
	for _, f := range []Frame{push(1, false), push(2, true), &Ping{Yours: 1}, push(3, false), covered, push(4, false)} {
		require.True(t, q.put(f, 10))
	}
	bad := errors.New("bad")
	q.end(bad)
	var got []Frame
	for {
		if err := q.wait(); err != nil {
			require.ErrorIs(t, err, bad, "after all that came before it")
			break
		}
		f, _ := q.take()
		got = append(got, f)
	}
	require.Equal(t, []Frame{
		&Push{AckWanted: true, Runs: []Run{{First: 1, Last: 1}, {First: 2, Last: 2}}}, &Ping{Yours: 1}, push(3, false), covered, push(4, false),
	}, got)
	require.Zero(t, q.bytes)
}

// A full queue holds up its stream until something is taken or it is closed, and
// always has room for one frame.
func TestInQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newInQueue()
		require.True(t, q.put(&Ping{}, 2*inQueueBytes))
		more := make(chan bool, 1)
		go func() { more <- q.put(&Ping{}, 1) }()
		synctest.Wait()
		require.Empty(t, more)
		require.NoError(t, q.wait())
		q.take()
		require.True(t, <-more)
		go func() { more <- q.put(&Ping{}, inQueueBytes) }()
		synctest.Wait()
		require.Empty(t, more)
		q.close()
		require.False(t, <-more)
	})
}
