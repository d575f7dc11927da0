package chain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// The first update of a subject is that which is first in stitched order, of
// what the state at hand has: neither what came first nor what came since.
func TestFirst(t *testing.T) {
	a, b := newParty(t, "a", "warehouse"), newParty(t, "b", "fleet")
	draft := func(subject string) chain.Draft {
		return chain.Draft{Subject: subject, Delta: []byte(`{"x":1}`)}
	}
	early := b.publish(t, 500, draft("order/1"))
	b.publish(t, 600, draft("order/1-2"))
	a.publish(t, 400, draft("order"))
	own := a.publish(t, 1000, draft("order/1"))
	a.publish(t, 2000, chain.Draft{Subject: "order/1", Delta: []byte(`{"x":2}`)})
	before, err := a.archive.View(t.Context(), "order/1")
	require.NoError(t, err)
	first := func(s *chain.State) chain.ID {
		t.Helper()
		at, err := a.archive.First(s)
		require.NoError(t, err)
		return at.ID
	}
	require.Equal(t, own.ID, first(before))
	for _, r := range b.runs {
		_, err := a.ledger.Accept(r, 3000)
		require.NoError(t, err)
	}
	a.flush(t, 3000)
	after, err := a.archive.View(t.Context(), "order/1")
	require.NoError(t, err)
	require.Equal(t, early.ID, first(after))
	require.Equal(t, own.ID, first(before), "the state that was read before does not hold it")

	_, err = a.archive.First(chain.NewState("order/1"))
	require.ErrorIs(t, err, chain.ErrNotFound)
	_, err = a.archive.First(chain.NewState("nobody"))
	require.ErrorIs(t, err, chain.ErrNotFound)
}
