package chain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever comes in: where a view is not what it was, nor is
// the version.
func TestAViewThatDiffersHasAnotherVersion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		authors := []*party{newParty(t, "wh-1", "warehouse"), newParty(t, "fl-1", "fleet")}
		write(t, authors, 8)
		n := newParty(t, "n", "n")
		shown := func() map[string]string {
			out := map[string]string{}
			for _, s := range testSubjects {
				out[s] = n.everything(t, []string{s})
			}
			return out
		}
		before, versions := shown(), map[string]uint64{}
		for _, s := range testSubjects {
			versions[s] = n.archive.SubjectVersion(s)
		}
		for i := range 8 {
			from := authors[rapid.IntRange(0, 1).Draw(t, "from")]
			if len(from.runs) == 0 {
				continue
			}
			n.accept(t, rapid.SampledFrom(from.runs).Draw(t, "run"), int64(2_000_000+i))
			after := shown()
			for _, s := range testSubjects {
				if now := n.archive.SubjectVersion(s); now == versions[s] {
					require.Equal(t, views(before[s]), views(after[s]), "version %d", now)
				} else {
					versions[s] = now
				}
			}
			before = after
		}
	})
}

// What is taken back is news too.
func TestAFreezeIsAnotherVersion(t *testing.T) {
	trunk, one, other, _, _ := forked()
	p := newParty(t, "honest", "reader")
	p.mustTake(t, trunk)
	p.mustTake(t, one)
	versions := []uint64{p.archive.SubjectVersion("order/1"), p.archive.SubjectVersion("order/2")}
	_, err := p.take(t, other.Append(nil), 5000)
	require.NoError(t, err)
	require.NotEqual(t, versions[0], p.archive.SubjectVersion("order/1"))
	require.NotEqual(t, versions[1], p.archive.SubjectVersion("order/2"))
}

// views are all lines of everything but the first, which has the roots.
func views(everything string) string {
	_, rest, _ := strings.Cut(everything, "\n")
	return rest
}
