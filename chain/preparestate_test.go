package chain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

func (p *party) set(t require.TestingT, now int64, subject, state string) (chain.Receipt, error) {
	v, err := chain.ParseValue([]byte(state))
	require.NoError(t, err)
	prepared, err := chain.PrepareState(subject, v)
	if err != nil {
		return chain.Receipt{}, err
	}
	r, err := p.ledger.Append(prepared, now)
	p.flush(t, now)
	return r, err
}

// Two nodes of one authority and one of another, who hear of each other now and
// then and late: what was set last is what the authority says, and no update
// says more than what changed.
func TestAWholeStateIsWhatItsAuthoritySays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const steps = 10
		nodes := []*party{newParty(t, "wh-1", "warehouse"), newParty(t, "wh-2", "warehouse"), newParty(t, "fl-1", "fleet")}
		told := map[[2]int]int{}
		state := rapid.SampledFrom([]string{`{}`, `{"a":1}`, `{"a":1.0,"b":{"c":2}}`, `{"b":{}}`, `{"a":[null],"b":3}`, `{"a":null,"b":{"c":2,"d":null}}`})
		for now := int64(1); now <= steps; now++ {
			i := rapid.IntRange(0, 2).Draw(t, "node")
			n := nodes[i]
			if from := rapid.IntRange(0, 2).Draw(t, "from"); from != i && rapid.Bool().Draw(t, "hears") {
				for _, r := range nodes[from].runs[told[[2]int{from, i}]:] {
					n.accept(t, r, now)
				}
				told[[2]int{from, i}] = len(nodes[from].runs)
				continue
			}
			before := n.ledger.Head(n.ledger.Origin()).Seq
			text := state.Draw(t, "state")
			want, err := chain.ParseValue([]byte(text))
			require.NoError(t, err)
			was := chain.NewState("s").Status()
			if s, err := n.archive.View(t.Context(), "s"); err == nil {
				was = partOf(s, n.config.Authority)
			}
			r, err := n.set(t, now, "s", text)
			require.NoError(t, err)
			if delta := chain.Diff(was, want); delta.IsEmpty() {
				require.True(t, r.Unchanged)
				require.Equal(t, before, n.ledger.Head(n.ledger.Origin()).Seq)
				continue
			}
			s, err := n.archive.View(t.Context(), "s")
			require.NoError(t, err)
			require.True(t, chain.Diff(partOf(s, n.config.Authority), want).IsEmpty(), "%s of %s", partOf(s, n.config.Authority), want)
			u, err := n.archive.Update(r.ID)
			require.NoError(t, err)
			require.Equal(t, chain.Diff(was, want).String(), string(u.Delta))
		}
	})
}

func TestStatesThatAreRefused(t *testing.T) {
	p := newParty(t, "wh-1", "warehouse")
	for _, c := range []struct {
		subject, state, field string
		is                    error
	}{
		{"", `{}`, "subject", chain.ErrSubject},
		{"s", `[1]`, "state", chain.ErrDelta},
		{"s", `null`, "state", chain.ErrDelta},
		{"s", `"x"`, "state", chain.ErrDelta},
		{"s", `{"a":"` + strings.Repeat("x", chain.MaxDelta) + `"}`, "state", chain.ErrTooLarge},
	} {
		_, err := p.set(t, 1, c.subject, c.state)
		var bad *chain.DraftError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, c.field, bad.Field)
		require.ErrorIs(t, err, c.is)
	}
	require.Zero(t, p.ledger.Head(p.ledger.Origin()).Seq)

	// It is what changed that is bounded.
	half := strings.Repeat("x", chain.MaxDelta/2)
	for _, state := range []string{`{"a":"` + half + `"}`, `{"a":"` + half + `","b":"` + half + `"}`, `{"a":"` + half + `","b":"` + half + `","c":1}`} {
		_, err := p.set(t, 2, "s", state)
		require.NoError(t, err)
	}
}

func partOf(s *chain.State, authority string) chain.Value {
	v, _ := s.StatusOf(authority)
	return v
}
