package chain

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// latelyRig adds updates of two of so many origins, each of which has seen all, and is of
// a subject so long.
type latelyRig struct {
	lately
	seen    Context
	subject string
	n       Seq // were added
}

func newLatelyRig(origins, subject int) *latelyRig {
	r := &latelyRig{seen: make(Context, origins), subject: strings.Repeat("s", subject)}
	for i := range r.seen {
		r.seen[i] = ID{Origin{14: byte(i >> 8), 15: byte(i)}, 1}
	}
	return r
}

func (r *latelyRig) id(n Seq) ID { return ID{r.seen[n%2].Origin, n} }

// perGeneration is how many fit.
func (r *latelyRig) perGeneration(doubled int) Seq {
	return Seq(latelyBytes << doubled / (latelyOverhead + contextOverhead*len(r.seen) + len(r.subject)))
}

func (r *latelyRig) add() {
	r.n++
	id := r.id(r.n)
	r.lately.add(id, appliedLately{HLC(r.n), r.seen.With(id), strings.Clone(r.subject)})
}

func (r *latelyRig) find(t *testing.T, n Seq) {
	t.Helper()
	a, ok := r.get(r.id(n))
	require.True(t, ok, "%d after %d", n, r.n)
	require.Equal(t, HLC(n), a.hlc)
	require.True(t, a.context.Covers(r.id(n)))
}

// look is a look for the context of one that was added, and maybe forgotten.
func (r *latelyRig) look(n Seq) {
	if _, _, ok := r.contextOn(r.subject, r.id(n)); !ok {
		r.lookFar()
	}
}

// kept is how many of those that were added are there.
func (r *latelyRig) kept() (kept Seq) {
	for n := range r.n {
		if _, ok := r.get(r.id(n + 1)); ok {
			kept++
		}
	}
	return kept
}

// What was applied lately is bounded in bytes, and what was applied last is there, of
// however many chains, and however much each had seen.
func TestLatelyIsBounded(t *testing.T) {
	for _, origins := range []int{2, 500} {
		for _, far := range []bool{false, true} {
			r := newLatelyRig(origins, 10+origins)
			least, most := r.perGeneration(0), r.perGeneration(0)
			if far {
				most = r.perGeneration(latelyDoubled)
			}
			before := heapInUse()
			for range 3*most + 7 {
				r.add()
				require.LessOrEqual(t, r.size, r.bound())
				r.find(t, r.n)
				if r.find(t, 1+max(r.n, least/2)-least/2); far {
					r.look(1)
					r.find(t, 1+max(r.n, most)-most)
				}
			}
			require.Less(t, heapInUse()-before, 2*r.bound())
			require.GreaterOrEqual(t, r.kept(), most)
			require.LessOrEqual(t, r.kept(), 2*most)
			r.clear()
			require.Zero(t, r.kept())
			require.True(t, r.empty())
		}
	}
}

// They are more where much is looked for that came long before, and at once, but not for
// what is looked for now and then.
func TestLatelyGrows(t *testing.T) {
	r := newLatelyRig(16, 10)
	n := r.perGeneration(0)
	for range 10 * n {
		if r.add(); r.n%latelyFar == 0 {
			r.look(1)
		}
		r.look(max(r.n, n/2) - n/2 + 1)
		r.get(ID{Seq: 1}) // when it was made, which its chain's tip may tell
		_, same, ok := r.contextOn("another", r.id(max(r.n, n)-n+1))
		require.True(t, ok && !same)
	}
	require.Zero(t, r.doubled)
	for range 10 * n {
		r.add()
		r.look(r.n - n + n/8)
	}
	require.Equal(t, 1, r.doubled)
	for range 6 * n {
		r.add()
		r.look(r.n - 4*n)
	}
	require.Equal(t, latelyDoubled, r.doubled)
}

// Who has nothing to do keeps none, and who has keeps what came last.
func TestLatelyIsSwept(t *testing.T) {
	r := newLatelyRig(16, 10)
	most := r.perGeneration(latelyDoubled)
	for range 3 * most {
		r.add()
		r.look(1)
	}
	require.Equal(t, latelyDoubled, r.doubled)
	for range 5 { // a generation passes between two sweeps: much is under way
		for range most {
			r.add()
			r.look(1)
		}
		r.sweep()
		require.Equal(t, latelyDoubled, r.doubled)
		require.GreaterOrEqual(t, r.kept(), most)
	}
	for range 10 {
		r.sweep()
		r.find(t, r.n)
		require.False(t, r.empty())
		r.add()
		r.find(t, r.n-1)
	}
	require.Zero(t, r.doubled)
	require.EqualValues(t, 2, r.kept())
	r.sweep()
	require.EqualValues(t, 1, r.kept())
	r.sweep()
	require.Zero(t, r.kept())
	require.True(t, r.empty())
}
