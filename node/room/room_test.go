package room_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/node/room"
)

func TestAllOrNone(t *testing.T) {
	r := room.New(4)
	require.True(t, r.TryTake(3))
	require.False(t, r.TryTake(2))
	ended := make(chan struct{})
	close(ended)
	require.False(t, r.Take(2, ended, nil))
	require.False(t, r.Take(2, nil, ended))
	require.False(t, r.Full())
	require.True(t, r.TryTake(1), "what was not enough was given back")
	require.True(t, r.Full())
	r.Give(4)
	require.True(t, r.Take(100, nil, nil), "more than there are is all of them")
	require.True(t, r.Full())
	r.Give(100)
	require.True(t, r.TryTake(4))
}

func TestALargeOneComesInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room.New(4)
		require.True(t, r.TryTake(1))
		var has atomic.Bool
		go func() { has.Store(r.Take(4, nil, nil)) }()
		synctest.Wait()
		require.False(t, has.Load())
		require.False(t, r.TryTake(1), "passed over")
		r.Give(1)
		synctest.Wait()
		require.True(t, has.Load())
	})
}

func TestManyOfAllSizes(t *testing.T) {
	const places = 8
	r := room.New(places)
	var held atomic.Int64
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for k := range 200 {
				n := r.Clamp(1 + (i*7+k)%(places+2))
				if k%3 == 0 && !r.TryTake(n) || k%3 != 0 && !r.Take(n, nil, nil) {
					continue
				}
				if got := held.Add(int64(n)); got > places {
					t.Errorf("%d of %d places are taken", got, places)
				}
				held.Add(-int64(n))
				r.Give(n)
			}
		})
	}
	all.Wait()
	require.True(t, r.TryTake(places))
}
