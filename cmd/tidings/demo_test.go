package main

import (
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/client"
)

// The history that the program carries folds to the statuses that it says,
// line by line in its order: the conflict is settled by a later line.
func TestDemoHistory(t *testing.T) {
	lines, statuses, err := readDemo()
	require.NoError(t, err)
	f, named := newFolder(), map[string]bool{}
	for i, l := range lines {
		require.Contains(t, []string{"apart", "settled", "together", "without fleet", "back"}, l.Part)
		require.Contains(t, []string{"warehouse", "fleet", "payments"}, l.Authority)
		if l.Part == "apart" {
			require.NotEqual(t, "payments", l.Authority, "it is not there yet")
		}
		if l.Part == "without fleet" {
			require.NotEqual(t, "fleet", l.Authority)
		}
		require.NoError(t, chain.CheckSubject(l.Subject))
		_, err := chain.CompactDelta(l.Delta)
		require.NoError(t, err)
		for _, dep := range l.Deps {
			require.True(t, named[dep], "line %d depends on %q", i+1, dep)
		}
		named[l.As] = true
	}
	for _, part := range []string{"apart", "settled", "together", "without fleet", "back"} {
		for _, l := range lines {
			if l.Part == part {
				f.add(&replayLine{subject: l.Subject, delta: l.Delta})
			}
		}
	}
	require.Len(t, statuses, len(f.statuses))
	for subject, want := range f.statuses {
		require.True(t, sameStatus(statuses[subject], want), "%s: %v", subject, want)
	}
}

// What a poll does wrong, the consumer finds.
func TestDemoConsumerFindsFaults(t *testing.T) {
	a, b, c := testID("a"), testID("b"), testID("c")
	update := func(id chain.ID, deps ...chain.ID) client.Update { return client.Update{ID: id, Deps: deps} }
	for name, p := range map[string]struct {
		updates []client.Update
		wrong   bool
	}{
		"right":        {[]client.Update{update(a), update(b, a)}, false},
		"repeated":     {[]client.Update{update(a), update(a), update(b, a)}, true},
		"out of order": {[]client.Update{update(b, a), update(a)}, true},
		"lost":         {[]client.Update{update(a)}, true},
		"made up":      {[]client.Update{update(a), update(b, a), update(c)}, true},
	} {
		d := &demo{out: io.Discard, mesh: &demoMesh{}, sent: []string{a.String(), b.String()}}
		consumer := &demoConsumer{d: d, seen: map[string]bool{}}
		require.Len(t, consumer.take(slices.Clone(p.updates)), len(p.updates))
		consumer.whole()
		require.Equal(t, p.wrong, len(d.wrong) > 0, "%s: %v", name, d.wrong)
	}
}

// testID is the first status change of a chain that is named by one letter.
func testID(name string) chain.ID {
	var id chain.ID
	copy(id.Origin[:], name)
	id.Seq = 2
	return id
}
