package main

import (
	"encoding/json"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
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
	update := func(id string, deps ...string) json.RawMessage {
		b, err := json.Marshal(map[string]any{"id": id, "deps": deps})
		require.NoError(t, err)
		return b
	}
	for name, c := range map[string]struct {
		updates []json.RawMessage
		wrong   bool
	}{
		"right":        {[]json.RawMessage{update("a.2"), update("b.2", "a.2")}, false},
		"repeated":     {[]json.RawMessage{update("a.2"), update("a.2"), update("b.2", "a.2")}, true},
		"out of order": {[]json.RawMessage{update("b.2", "a.2"), update("a.2")}, true},
		"lost":         {[]json.RawMessage{update("a.2")}, true},
		"made up":      {[]json.RawMessage{update("a.2"), update("b.2", "a.2"), update("c.2")}, true},
	} {
		d := &demo{out: io.Discard, mesh: &demoMesh{}, sent: []string{"a.2", "b.2"}}
		consumer := &demoConsumer{d: d, seen: map[string]bool{}}
		got, err := consumer.take(slices.Clone(c.updates))
		require.NoError(t, err)
		require.Len(t, got, len(c.updates))
		consumer.whole()
		require.Equal(t, c.wrong, len(d.wrong) > 0, "%s: %v", name, d.wrong)
	}
}
