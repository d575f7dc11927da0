package chain

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// lateDelta is a delta of few paths, so that deltas of several meet: values that
// replace, remove, and make room, at a path, above it and below it.
func lateDelta(rng *rand.Rand, levels int) string {
	var members []string
	for _, key := range []string{"a", "b"} {
		switch n := rng.IntN(10); {
		case n < 4:
		case n < 7 && levels > 1:
			members = append(members, fmt.Sprintf("%q:%s", key, lateDelta(rng, levels-1)))
		default:
			members = append(members, fmt.Sprintf("%q:%s", key, []string{"1", "2", "null", "{}", "[]"}[rng.IntN(5)]))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// lateHistory is what four nodes of three authorities publish of one subject, which
// see little of each other, by clocks that differ.
func lateHistory(t *testing.T, rng *rand.Rand, updates int) (all modelUpdates) {
	nodes := []*modelNode{newModelNode(), newModelNode(), newModelNode(), newModelNode()}
	for i := range updates {
		at := rng.IntN(len(nodes))
		n := nodes[at]
		if rng.IntN(4) == 0 {
			for _, u := range all {
				if n.ready(u) && rng.IntN(3) > 0 {
					require.NoError(t, n.apply(u))
				}
			}
		}
		o := modelOrigin(at)
		u := modelUpdate(ID{o, n.head[o] + 2}, 0, lateDelta(rng, 3), n.state.Attach(o, nil, MaxDeps)...)
		u.HLC, _ = n.clock.Next(int64(i + 10*at))
		require.NoError(t, n.apply(u))
		all = append(all, u)
	}
	return all
}

// Whether a late update was folded in place or its subject anew, a state is what the fold
// of all its updates makes, after each of them, and its points of those up to them.
func TestLateIsTheFoldOfAll(t *testing.T) {
	inPlace, anew, points := 0, 0, 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		n := newModelNode()
		for left := lateHistory(t, rng, 70); len(left) > 0; {
			// Mostly those that were published first.
			i := rng.IntN(1 + rng.IntN(len(left)))
			u := left[i]
			if !n.ready(u) {
				continue
			}
			left = slices.Delete(left, i, i+1)
			late := u.Stamp().Compare(n.state.Last()) < 0
			copied := n.state.Clone()
			before := fmt.Sprint(copied.points)
			require.NoError(t, n.apply(u))
			require.Equal(t, before, fmt.Sprint(copied.points), "seed %d: of a copy", seed)
			switch {
			case n.late:
				anew++
				require.True(t, late)
				require.NoError(t, n.refold(), "seed %d", seed)
			case late:
				inPlace++
			}
			whole := n.state.Clone()
			require.NoError(t, whole.Refold(nil, n.updates().stitched().each()))
			require.Equal(t, string(whole.AppendView(nil)), string(n.state.AppendView(nil)), "seed %d", seed)
			require.Equal(t, whole.Append(nil), n.state.Append(nil), "seed %d", seed)
			points += len(n.state.points)
			for _, p := range n.state.points {
				us := slices.DeleteFunc(n.updates().stitched(), func(u *Update) bool { return u.Stamp().Compare(p.last) > 0 })
				require.Len(t, us, int(p.updates), "seed %d", seed)
				then := State{subject: modelSubject, updates: p.updates}
				require.NoError(t, then.Refold(nil, us.each()))
				require.True(t, stateSame(then.status, p.status), "seed %d: %s at %s, want %s", seed, p.status, p.last, then.status)
				require.Len(t, p.authorities, len(then.authorities), "seed %d", seed)
				for i, a := range then.authorities {
					require.True(t, a.name == p.authorities[i].name && stateSame(a.status, p.authorities[i].status), "seed %d: %s at %s", seed, a.name, p.last)
				}
			}
		}
	}
	t.Logf("%d folded in place, %d folds anew, %d points looked at", inPlace, anew, points)
	require.Greater(t, inPlace, 1000)
	require.Greater(t, anew, 1000)
	require.Greater(t, points, 1000)
}
