package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What the fault forks is for comes about: a chain is frozen on every node, a
// consumer is told of it, and the node goes on under a new origin with what it
// had acknowledged. A disk that was set back may have had nothing to take back.
func TestForksComeAbout(t *testing.T) {
	const seeds = 20
	whole := 0
	for seed := uint64(1); seed <= seeds; seed++ {
		r := Run(seed, Options{Nodes: 3, Drafts: 30, Duration: 2 * time.Second, Faults: Forks})
		require.Empty(t, fault(r), "seed %d", seed)
		froze, told, again := map[int]bool{}, false, false
		drafts := map[int]bool{} // that a freeze took back
		j := newJudge(&r.History)
		for _, e := range r.History.Events {
			switch e := e.(type) {
			case Froze:
				froze[e.Node] = true
			case Polled:
				told = told || len(e.Retracted) > 0
			case Took:
				drafts[e.Update.Draft] = drafts[e.Update.Draft] || above(j.frozen, e.Update.ID)
				again = again || drafts[e.Update.Draft] && !above(j.frozen, e.Update.ID)
			}
		}
		if len(froze) == 3 && told && again {
			whole++
		}
	}
	t.Logf("%d of %d seeds", whole, seeds)
	require.Greater(t, whole, seeds/2)
}
