package client

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func order(p *pool) (names string) {
	for _, e := range p.order() {
		names += e.url
	}
	return names
}

func TestPoolStaysWithWhoAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool([]string{"a", "b", "c"}, true)
		a, b, c := p.all[0], p.all[1], p.all[2]
		require.Equal(t, "abc", order(p))
		_, first := p.failed(a, 0)
		require.True(t, first)
		require.Equal(t, "bca", order(p))
		require.False(t, p.answered(b))
		require.Equal(t, "bca", order(p))

		// The first one's time is over: nothing moves back, but it counts again.
		time.Sleep(time.Second)
		require.Equal(t, "bca", order(p))
		p.failed(b, 0)
		require.Equal(t, "cab", order(p))
		require.True(t, p.answered(a), "it had failed")
		require.Equal(t, "acb", order(p))

		// While all are put aside, the one that is due first comes first.
		p.failed(a, 3*time.Second)
		p.failed(c, time.Second)
		p.failed(b, 2*time.Second)
		require.Equal(t, "cba", order(p))
		require.Equal(t, time.Second, p.quiet())
		p.answered(b)
		require.Zero(t, p.quiet())
	})
}

// Pauses grow, differ, and are bounded.
func TestPoolPutsAsideForLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lengths := map[time.Duration]bool{}
		for range 20 {
			p := newPool([]string{"a"}, true)
			var pause, total time.Duration
			for i := range 12 {
				pause, _ = p.failed(p.all[0], 0)
				require.GreaterOrEqual(t, pause, asideFirst/2)
				require.LessOrEqual(t, pause, asideLast*3/2)
				require.LessOrEqual(t, pause, asideFirst<<i*3/2)
				total += pause
			}
			require.Greater(t, total, time.Minute)
			lengths[pause] = true
			p.answered(p.all[0])
			again, first := p.failed(p.all[0], 0)
			require.True(t, first)
			require.LessOrEqual(t, again, asideFirst*3/2)
		}
		require.Greater(t, len(lengths), 15)
	})
}

// Clients with one list begin, and go on, at different endpoints.
func TestPoolsSpread(t *testing.T) {
	first, second := map[string]int{}, map[string]int{}
	for range 300 {
		p := newPool([]string{"a", "b", "c"}, false)
		first[p.order()[0].url]++
		if e := p.order()[0]; e.url == "a" {
			p.failed(e, 0)
			second[p.order()[0].url]++
		}
	}
	require.Len(t, first, 3)
	require.Len(t, second, 2)
	for _, n := range first {
		require.Greater(t, n, 50)
	}
}

// A node whose feed stays behind is left for a while, and not for a moment's lag;
// where both are, neither is left all the time.
func TestPoolLeavesWhoLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool([]string{"a", "b"}, true)
		a, b := p.all[0], p.all[1]
		leave := func(e *endpoint, behind time.Duration, wantLeft, wantWatch bool) {
			t.Helper()
			pause, _, watch := p.leave(e, &feed{}, time.Now().Add(-behind))
			require.Equal(t, []bool{wantLeft, wantWatch}, []bool{pause > 0, watch})
		}
		leave(a, 4*time.Second, false, true)
		require.Equal(t, "ab", order(p))
		leave(a, lagPatience, true, false)
		require.Equal(t, "ba", order(p))
		leave(a, time.Minute, false, false)
		p.answered(b)
		leave(b, lagPatience, true, false)
		require.Equal(t, "ba", order(p))
		time.Sleep(2 * lagAside)
		require.Equal(t, "ba", order(p))
		// One that fails is worse than one that lags.
		leave(a, lagPatience, true, false)
		p.failed(b, time.Minute)
		require.Equal(t, "ab", order(p))

		alone := newPool([]string{"a"}, true)
		pause, _, watch := alone.leave(alone.all[0], &feed{}, time.Time{})
		require.Zero(t, pause)
		require.False(t, watch)
	})
}
