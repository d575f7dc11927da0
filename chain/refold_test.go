package chain

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// However long a subject's history is, to take an update that comes a little late
// folds a little of it anew where it has to be, as where all write below one path, and
// what it comes to is what all of it does.
func TestLateUpdateFoldsLittle(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	n := newModelNode()
	var us modelUpdates
	seqs, times := map[Origin]Seq{}, map[Origin]HLC{}
	folded := 0
	for i := range 3000 {
		o := modelOrigin(i % 3)
		// One origin writes at the time, the others are behind by less and less.
		at := HLC(10 * (i + 1000))
		if o != modelOrigin(0) {
			at -= HLC(10 * rng.IntN(1<<rng.IntN(10)))
		}
		at = max(at, times[o]+1)
		seqs[o]++
		times[o] = at
		u := modelUpdate(ID{o, seqs[o] + 1}, 0, fmt.Sprintf(`{"o":{"f%d":%d}}`, i%1024, i))
		u.HLC = at
		require.NoError(t, n.apply(u))
		us = append(us, u)
		if !n.late {
			continue
		}
		behind := 0
		for _, other := range us {
			if other.Stamp().Compare(u.Stamp()) >= 0 {
				behind++
			}
		}
		_, folds := n.state.LateAfter()
		require.GreaterOrEqual(t, int(folds), behind)
		require.LessOrEqual(t, int(folds), 3*behind+pointGap)
		require.NoError(t, n.refold())
		folded++
		if i%50 != 0 {
			continue
		}
		whole := n.state.Clone()
		whole.stale = true
		require.NoError(t, whole.Refold(nil, us.stitched().each()))
		require.True(t, bytes.Equal(whole.Append(nil), n.state.Append(nil)))
		require.Equal(t, len(whole.points), len(n.state.points))
	}
	require.Greater(t, folded, 1000)
	require.LessOrEqual(t, len(n.state.points), 10, "one for each doubling")
	require.True(t, slices.IsSortedFunc(n.state.points, func(a, b foldPoint) int { return a.last.Compare(b.last) }))
}
