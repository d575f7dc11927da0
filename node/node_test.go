package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, c node.Config) *node.Node {
	t.Helper()
	if c.Name == "" && c.DataDir == "" {
		c.Name = "wh-1"
	}
	n, err := node.Open(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

func draft(subject, delta string) node.Draft {
	return node.Draft{Subject: subject, Delta: json.RawMessage(delta)}
}

func publish(t *testing.T, n *node.Node, subject, delta string) chain.ID {
	t.Helper()
	id, err := n.Publish(t.Context(), draft(subject, delta))
	require.NoError(t, err)
	return id
}

func view(t *testing.T, n *node.Node, subject string) string {
	t.Helper()
	s, err := n.View(t.Context(), subject)
	require.NoError(t, err)
	return s.Status().String()
}

func TestPublishAndRead(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		n := open(t, node.Config{Name: "wh-1", Authority: "warehouse", DataDir: dir})
		select {
		case <-n.Ready():
		case <-time.After(10 * time.Second):
			t.Fatal("not ready")
		}
		a := publish(t, n, "order/42", `{"picked":true, "n":1}`)
		require.Equal(t, chain.ID{Origin: n.Origin(), Seq: 2}, a)
		b := publish(t, n, "order/42", `{"n":2}`)
		require.Equal(t, `{"n":2,"picked":true}`, view(t, n, "order/42"))
		require.NoError(t, n.Wait(t.Context(), a, b))

		// A draft that changes nothing is no update.
		require.Equal(t, b, publish(t, n, "order/42", `{"n":2}`))
		require.EqualValues(t, 2, n.Mesh().Store.Updates)

		var ids []chain.ID
		for u, err := range n.History(t.Context(), "order/42") {
			require.NoError(t, err)
			ids = append(ids, u.ID)
		}
		require.Equal(t, []chain.ID{a, b}, ids)
		_, err := n.View(t.Context(), "order/43")
		require.ErrorIs(t, err, chain.ErrNotFound)
		require.NoError(t, n.Close())
	}
}

func TestBadDraftsAreRefused(t *testing.T) {
	n := open(t, node.Config{})
	for _, c := range []struct {
		d     node.Draft
		field string
		is    error
	}{
		{draft("", `{}`), "subject", chain.ErrSubject},
		{draft("a//b", `{}`), "subject", chain.ErrSubject},
		{draft("a", `[]`), "delta", chain.ErrDelta},
		{draft("a", `{"x":1,"x":2}`), "delta", chain.ErrDelta},
		{node.Draft{Subject: "a", Delta: []byte(`{"x":1}`), Deps: []chain.ID{{Origin: chain.Origin{1}, Seq: 2}}}, "deps", nil},
		{node.Draft{Subject: "a", Delta: []byte(`{"x":1}`), Hook: "h"}, "hook", chain.ErrDraft},
	} {
		_, err := n.Publish(t.Context(), c.d)
		var bad *chain.DraftError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, c.field, bad.Field)
		if c.is != nil {
			require.ErrorIs(t, err, c.is)
		}
	}
	require.EqualValues(t, 0, n.Mesh().Store.Updates)
}

func TestKeysMakeRetriesSafe(t *testing.T) {
	dir := t.TempDir()
	c := node.Config{Name: "wh-1", DataDir: dir}
	n := open(t, c)
	d := draft("order/1", `{"a":1}`)
	d.Key = "k"
	first, err := n.Publish(t.Context(), d)
	require.NoError(t, err)
	require.NoError(t, n.Close())

	n = open(t, c)
	again, err := n.Publish(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, first, again)
	d.Delta = []byte(`{"a":2}`)
	_, err = n.Publish(t.Context(), d)
	require.ErrorIs(t, err, chain.ErrKeyReused)
}

// Every acknowledged update of many callers is there after a restart, in one
// chain without gaps.
func TestConcurrentPublishersAndRestart(t *testing.T) {
	dir := t.TempDir()
	c := node.Config{Name: "wh-1", DataDir: dir}
	n := open(t, c)
	const callers, each = 16, 50
	var wg sync.WaitGroup
	var mu sync.Mutex
	acked := map[chain.ID]string{}
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				subject := fmt.Sprintf("order/%d", (caller+i)%7)
				delta := fmt.Sprintf(`{"c%d":%d}`, caller, i)
				id, err := n.Publish(context.Background(), draft(subject, delta))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[id] = subject + delta
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	root := n.Mesh().Root
	require.NoError(t, n.Close())

	n = open(t, c)
	require.Equal(t, root, n.Mesh().Root)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := map[chain.ID]string{}
	next := chain.Seq(2)
	for batch, err := range n.Changes(ctx, node.Limit(100)) {
		require.NoError(t, err)
		for _, u := range batch.Updates {
			require.Equal(t, next, u.ID.Seq)
			next++
			got[u.ID] = u.Subject + string(u.Delta)
		}
		if len(got) == callers*each {
			cancel()
		}
	}
	require.Equal(t, acked, got)
}

func TestEnqueueSaysWhenTheOutboxIsFull(t *testing.T) {
	n := open(t, node.Config{Outbox: 4})
	var acks []*node.Ack
	full := false
	for i := range 100_000 {
		ack, err := n.Enqueue(t.Context(), draft("s", `{"i":`+strconv.Itoa(i)+`}`))
		if errors.Is(err, node.ErrBusy) {
			full = true
			break
		}
		require.NoError(t, err)
		acks = append(acks, ack)
	}
	require.True(t, full)
	for _, ack := range acks {
		_, err := ack.Wait(t.Context())
		require.NoError(t, err)
	}
}

func TestFeedWaitsAndResumes(t *testing.T) {
	n := open(t, node.Config{})
	publish(t, n, "order/1", `{"a":1}`)
	publish(t, n, "stock/1", `{"a":1}`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var cursor string
	for batch, err := range n.Changes(ctx, node.InPrefix("order")) {
		require.NoError(t, err)
		require.Len(t, batch.Updates, 1)
		cursor = batch.Cursor.String()
		break
	}
	go func() {
		if _, err := n.Publish(context.Background(), draft("order/2", `{"b":1}`)); err != nil {
			t.Error(err)
		}
	}()
	for batch, err := range n.Changes(ctx, node.InPrefix("order"), node.Since(cursor)) {
		require.NoError(t, err)
		require.Len(t, batch.Updates, 1)
		require.Equal(t, "order/2", batch.Updates[0].Subject)
		break
	}
	for _, err := range n.Changes(ctx, node.Since(cursor)) {
		require.ErrorIs(t, err, chain.ErrCursor, "another filter")
		break
	}
	for _, err := range n.Changes(ctx, node.Since("c1.xyz")) {
		require.ErrorIs(t, err, chain.ErrCursor)
		break
	}
}

func TestCloseRefusesWhatComesLater(t *testing.T) {
	n := open(t, node.Config{})
	require.NoError(t, n.Close())
	require.NoError(t, n.Close())
	_, err := n.Publish(t.Context(), draft("a", `{"x":1}`))
	require.ErrorIs(t, err, chain.ErrClosed)
	_, err = n.Enqueue(t.Context(), draft("a", `{"x":1}`))
	require.ErrorIs(t, err, chain.ErrClosed)
}

func TestDataDirectoryIsOneNodesOwn(t *testing.T) {
	dir := t.TempDir()
	n := open(t, node.Config{Name: "wh-1", Authority: "warehouse", DataDir: dir})
	_, err := node.Open(t.Context(), node.Config{DataDir: dir})
	require.ErrorIs(t, err, store.ErrInUse)
	origin := n.Origin()
	require.NoError(t, n.Close())
	_, err = node.Open(t.Context(), node.Config{DataDir: dir, Authority: "fleet"})
	require.ErrorIs(t, err, store.ErrOtherNode)
	n = open(t, node.Config{DataDir: dir})
	require.Equal(t, origin, n.Origin())
	require.Equal(t, "warehouse", n.Authority())
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []node.Config{
		{},
		{Name: "a\n"},
		{Name: "a", Join: []string{"127.0.0.1:1"}},
		{Name: "a", RecoverWait: -1},
		{Name: "a", Network: gossip.NewMemNetwork()},
		{Name: "a", Expect: node.Expectations{{Prefix: "order/"}}},
	} {
		_, err := node.Open(t.Context(), c)
		require.ErrorIs(t, err, node.ErrConfig)
	}
}

func TestExpectationsAreCopied(t *testing.T) {
	authorities := []string{"fleet"}
	expect := node.Expectations{{Authorities: authorities}}
	n := open(t, node.Config{Expect: expect})
	authorities[0], expect[0].Prefix = "nobody", "elsewhere/"
	publish(t, n, "s", `{"a":1}`)
	a, err := n.Attendance(t.Context(), "s")
	require.NoError(t, err)
	require.Equal(t, []string{"fleet"}, a.Missing)
	_, err = n.Attendance(t.Context(), "absent")
	require.ErrorIs(t, err, chain.ErrNotFound)
}
