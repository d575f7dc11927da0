package chain

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What was applied lately is bounded by number and bytes, and the newest of a chain is
// there.
func TestLatelyIsBounded(t *testing.T) {
	for _, origins := range []int{2, 500} {
		seen := make(Context, origins)
		for i := range seen {
			seen[i] = ID{Origin{14: byte(i >> 8), 15: byte(i)}, 1}
		}
		var all []lately
		before := heapInUse()
		for range 4 {
			var l lately
			for seq := range Seq(3 * latelyPlaces) {
				id := ID{seen[0].Origin, seq + 1}
				_, ok := l.get(id)
				require.False(t, ok)
				l.add(appliedLately{tip{id, HLC(seq), seen.With(id)}, modelSubject})
				require.LessOrEqual(t, l.size, latelyBytes)
				a, ok := l.get(id)
				require.True(t, ok && a.hlc == HLC(seq) && a.context.Covers(id))
			}
			all = append(all, l)
		}
		require.Less(t, (heapInUse()-before)/4, latelyBytes+latelyPlaces*128)
		l := &all[0]
		kept := 0
		for seq := Seq(1); seq <= 3*latelyPlaces; seq++ {
			if a, ok := l.get(ID{seen[0].Origin, seq}); ok {
				kept++
				require.Equal(t, HLC(seq-1), a.hlc)
			}
		}
		if origins == 2 {
			require.Equal(t, latelyPlaces, kept)
		}
		require.Positive(t, kept)
		l.clear()
		_, ok := l.get(ID{seen[0].Origin, 3 * latelyPlaces})
		require.False(t, ok)
		require.Zero(t, l.size)
	}
}
