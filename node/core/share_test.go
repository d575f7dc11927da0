package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The share grows and shrinks with the time that a batch takes, within bounds.
func TestShareFollowsTheTime(t *testing.T) {
	var s share
	require.Equal(t, shareBegin, s.limit())
	after := func(perByte float64) int {
		for range 100 {
			cost := s.limit()
			s.measure(cost, time.Duration(perByte*float64(cost)))
		}
		return s.limit()
	}
	require.InEpsilon(t, 300_000, after(10), 0.01, "3 ms at 10 ns")
	require.InEpsilon(t, 100_000, after(30), 0.01, "a machine that is busier")
	require.Equal(t, shareLeast, after(1000), "a batch is not mostly what any batch takes")
	require.Equal(t, shareMost, after(0.1))
	before := s
	s.measure(100, time.Second)
	s.measure(shareMost, 0)
	require.Equal(t, before, s, "what says nothing is not measured")
}
