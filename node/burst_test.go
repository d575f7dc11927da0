package node

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBurstIsBounded(t *testing.T) {
	var b burst
	now := time.Unix(1000, 0)
	logged := 0
	for range 1000 {
		if ok, _ := b.allow(now); ok {
			logged++
		}
		now = now.Add(time.Millisecond)
	}
	require.Equal(t, burstLines, logged)
	ok, over := b.allow(now.Add(burstEvery))
	require.True(t, ok)
	require.Equal(t, 1000-burstLines, over, "what was not logged is told")
	_, over = b.allow(now.Add(burstEvery))
	require.Zero(t, over)
}
