package gossip

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a node thinks of a peer's clock once its own was set, or its machine has
// slept, which looks the same to it at first.
func TestPeerClockAfterAStep(t *testing.T) {
	const hour, second = time.Hour, time.Second
	wall := func(d time.Duration) int64 { return 1_700_000_000_000 + d.Milliseconds() }
	for _, c := range []struct {
		name        string
		step, slept time.Duration // of the own clock: set by, behind after a sleep
		first, then time.Duration // the peer's clock less the own: at once, and after a reading
	}{
		{"nothing", 0, 0, 0, 0},
		{"set ahead", hour, 0, -hour, -hour},
		{"set behind", -hour, 0, hour, hour},
		{"slewed", 300 * time.Millisecond, 0, -300 * time.Millisecond, -300 * time.Millisecond},
		{"slept", 0, hour, -hour, 0},
	} {
		var clock peerClock
		for i := range 5 {
			d := time.Duration(i) * second
			// The first one has the shortest trip, and counts.
			clock.measured(time.Duration(2+2*i)*time.Millisecond, uint64(wall(d)-int64(1+i)), At{Mono: d, Wall: wall(d)})
		}
		offset, ok := clock.offset(At{Mono: 4 * second, Wall: wall(4 * second)})
		require.True(t, ok)
		require.Zero(t, offset, c.name)

		now := 5 * second
		own := At{Mono: now, Wall: wall(now + c.step + c.slept)}
		offset, _ = clock.offset(own)
		require.Equal(t, c.first, offset, c.name)
		clock.measured(20*time.Millisecond, uint64(wall(now+c.slept)-10), own)
		offset, _ = clock.offset(own)
		require.Equal(t, c.then, offset, c.name)
	}
}
