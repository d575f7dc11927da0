package node

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// A consumer that is up to date does not look again before there is something new, and
// then at once; what its filter leaves out does not end its wait.
func TestFollowerLooksWhereThereIsNews(t *testing.T) {
	ctx := t.Context()
	n, err := Open(ctx, Config{Name: "solo", Authority: "warehouse"})
	require.NoError(t, err)
	defer n.Close()
	published := 0
	publish := func(subject string) chain.ID {
		published++
		id, err := n.Publish(ctx, Draft{Subject: subject, Delta: fmt.Appendf(nil, `{"n":%d}`, published)})
		require.NoError(t, err)
		return id
	}
	f := follower{n: n, filter: chain.Filter{Prefix: "order"}, limit: 10}
	since := chain.Cursor{Filter: f.filter.Hash()}
	for range 3 {
		id := publish("order/1")
		batch, err := f.next(ctx, since)
		require.NoError(t, err)
		require.Equal(t, id, batch.Updates[0].ID)
		require.True(t, f.upToDate)
		require.Equal(t, n.archive.Version(), f.seen, "it knows that there is no more")
		since = batch.Cursor
	}
	waiting, cancel := context.WithCancel(ctx)
	got := make(chan *Batch, 1)
	go func() {
		batch, _ := f.next(waiting, since)
		got <- batch
	}()
	publish("invoice/1")
	id := publish("order/2")
	batch := <-got
	require.Equal(t, id, batch.Updates[0].ID)
	cancel()
	batch, err = f.next(waiting, batch.Cursor)
	require.NoError(t, err)
	require.Nil(t, batch)
}
