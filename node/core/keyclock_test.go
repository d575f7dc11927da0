package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Keys grow old by the wall clock, which may be wrong for a while without
// making them older than they are.
func TestKeyClock(t *testing.T) {
	const start, hour = int64(1_700_000_000_000), time.Hour
	year := 365 * 24 * hour
	at := func(d time.Duration) int64 { return start + d.Milliseconds() }
	var c keyClock
	for _, s := range []struct {
		name       string
		gone, step time.Duration // since the start, and what the wall clock is off
		want       time.Duration
	}{
		{"it begins", 0, 0, 0},
		{"time goes by", hour, 0, hour},
		{"a year ahead for a moment", 2 * hour, year, 2 * hour},
		{"and back", 3 * hour, 0, 3 * hour},
		{"ahead after a long rest", 100 * hour, year, 100 * hour},
		{"still ahead a day later", 123 * hour, year, 123 * hour},
		{"after a day it counts", 124 * hour, year, 124*hour + year},
		{"and goes on", 130 * hour, year, 130*hour + year},
		{"what is set back counts at once", 131 * hour, 0, 131 * hour},
		{"a year behind", 132 * hour, -year, 132*hour - year},
		{"it is behind for a while after it was set right", 140 * hour, 0, 140*hour - year},
		{"and right again in two days", 180 * hour, 0, 180*hour - year},
		{"as said", 204 * hour, 0, 204 * hour},
	} {
		require.Equal(t, at(s.want), c.read(s.gone, at(s.gone+s.step)), s.name)
	}
}
