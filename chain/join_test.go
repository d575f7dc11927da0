package chain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// Runs that follow each other are one under the last signature, and are worth
// the same to a ledger. What does not follow is left for the next.
func TestJoin(t *testing.T) {
	f := newForger("a").genesis()
	runs := []*chain.Run{f.run()}
	for range 4 {
		runs = append(runs, f.status(1, "order/1", `{"a":1}`).run())
	}
	other := newForger("b").genesis().run()

	joined, rest := chain.Join([]*chain.Run{runs[0], runs[1], runs[2], runs[4], other})
	require.Equal(t, []*chain.Run{runs[4], other}, rest)
	require.NoError(t, joined.Verify(nil))
	require.Equal(t, runs[2].Head(), joined.Head())
	alone, rest := chain.Join(rest)
	require.Same(t, runs[4], alone)
	require.Equal(t, []*chain.Run{other}, rest)

	byOne, byRun := newParty(t, "x", "x"), newParty(t, "y", "y")
	byOne.mustTake(t, joined)
	for _, r := range runs[:3] {
		byRun.mustTake(t, r)
	}
	require.Equal(t, byRun.ledger.SyncRoot(), byOne.ledger.SyncRoot())
	require.Equal(t, byRun.ledger.Root(), byOne.ledger.Root())
	served, err := byOne.archive.Runs(f.origin, 2, 1<<20)
	require.NoError(t, err)
	require.Len(t, served, 1)
	r, err := chain.DecodeRun(served[0])
	require.NoError(t, err)
	require.NoError(t, r.Verify(public(f.key)), "it is served under a seal that holds")
}

// Who does not follow the one before has no good signature when joined.
func TestJoinOfAFork(t *testing.T) {
	f := newForger("a").genesis()
	first := f.run()
	fork := f.copy()
	mine := f.status(1, "order/1", `{"a":1}`).run()
	fork.status(1, "order/1", `{"a":2}`).run()
	theirs := fork.status(1, "order/1", `{"a":3}`).run()
	joined, rest := chain.Join([]*chain.Run{first, mine, theirs})
	require.Empty(t, rest)
	require.ErrorIs(t, joined.Verify(nil), chain.ErrSignature)
	require.NoError(t, theirs.Verify(public(f.key)), "alone it is good")
}

// What is joined still fits into a run.
func TestJoinIsBounded(t *testing.T) {
	f := newForger("a").genesis()
	runs := []*chain.Run{f.run()}
	for range 20 {
		runs = append(runs, f.status(1, "order/1", `{"a":"`+strings.Repeat("x", 60_000)+`"}`).run())
	}
	count := 0
	for rest := runs; len(rest) > 0; count++ {
		var joined *chain.Run
		joined, rest = chain.Join(rest)
		require.LessOrEqual(t, len(joined.Append(nil)), chain.MaxRun)
		require.NoError(t, joined.Verify(public(f.key)))
	}
	require.Equal(t, 3, count)
}
