package chain_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

func answer(hook string, cause chain.ID, delta string) chain.Draft {
	return chain.Draft{Subject: "order/1", Delta: []byte(delta), Hook: hook, Cause: cause}
}

// An answer is found by hook and cause as soon as it is applied, in its own batch
// and after a restart, and only under its own authority.
func TestAnswersAreFound(t *testing.T) {
	p, q := newParty(t, "wh", "warehouse"), newParty(t, "fl", "fleet")
	cause := q.publish(t, 1000, chain.Draft{Subject: "order/1", Delta: []byte(`{"van":1}`)}).ID
	p.accept(t, q.runs[0], 1000)
	none, err := p.ledger.Answered("warehouse", "refund", cause)
	require.NoError(t, err)
	require.Zero(t, none)

	prepared, err := chain.Prepare(answer("refund", cause, `{"refund":1}`))
	require.NoError(t, err)
	r, err := p.ledger.Append(prepared, 1001)
	require.NoError(t, err)
	by, err := p.ledger.Answered("warehouse", "refund", cause)
	require.NoError(t, err)
	require.Equal(t, r.ID, by, "the batch under way counts")
	by, err = p.archive.Answered("warehouse", "refund", cause)
	require.NoError(t, err)
	require.Zero(t, by, "nobody sees it before its commit")
	p.flush(t, 1001)
	p.open(t)

	for _, c := range []struct {
		authority, hook string
		cause           chain.ID
		want            chain.ID
	}{
		{"warehouse", "refund", cause, r.ID},
		{"fleet", "refund", cause, chain.ID{}},
		{"warehouse", "refun", cause, chain.ID{}},
		{"warehouse", "refund2", cause, chain.ID{}},
		{"warehouse", "refund", chain.ID{Origin: cause.Origin, Seq: cause.Seq + 1}, chain.ID{}},
	} {
		by, err := p.archive.Answered(c.authority, c.hook, c.cause)
		require.NoError(t, err)
		require.Equal(t, c.want, by, c)
		by, err = p.ledger.Answered(c.authority, c.hook, c.cause)
		require.NoError(t, err)
		require.Equal(t, c.want, by, c)
	}
	first, newest, err := p.archive.Causes(t.Context(), "warehouse", "refund")
	require.NoError(t, err)
	require.Equal(t, cause, first.ID)
	require.Equal(t, chain.Frontier{cause.Origin: cause.Seq}, newest)
	first, newest, err = p.archive.Causes(t.Context(), "fleet", "refund")
	require.NoError(t, err)
	require.Zero(t, first)
	require.Empty(t, newest)
}

// The 17th of a chain of reactions is refused, and the refusal names all of it.
func TestChainOfReactionsIsNamed(t *testing.T) {
	parties := []*party{newParty(t, "wh", "warehouse"), newParty(t, "fl", "fleet")}
	cause := parties[0].publish(t, 1000, chain.Draft{Subject: "order/1", Delta: []byte(`{"n":0}`)}).ID
	ids := []chain.ID{cause}
	for i := 1; ; i++ {
		was, p := parties[(i+1)%2], parties[i%2]
		p.accept(t, was.runs[len(was.runs)-1], int64(1000+i))
		r, err := p.try(t, int64(1000+i), answer(fmt.Sprintf("echo-%d", i%2), cause, fmt.Sprintf(`{"n":%d}`, i)))
		if i <= chain.MaxReactions {
			require.NoError(t, err)
			u, err := p.archive.Update(r.ID)
			require.NoError(t, err)
			require.EqualValues(t, i, u.Depth)
			cause, ids = r.ID, append(ids, r.ID)
			continue
		}
		require.ErrorIs(t, err, chain.ErrReactions)
		var all *chain.ReactionsError
		require.True(t, errors.As(err, &all))
		require.Len(t, all.Links, chain.MaxReactions+1)
		for j, l := range all.Links {
			require.Equal(t, chain.ReactionLink{
				ID: ids[j], Authority: []string{"warehouse", "fleet"}[j%2], Hook: map[bool]string{true: "", false: fmt.Sprintf("echo-%d", j%2)}[j == 0],
			}, l)
			require.Contains(t, err.Error(), l.ID.String())
		}
		require.Contains(t, err.Error(), `by "fleet" (hook "echo-1")`)
		return
	}
}
