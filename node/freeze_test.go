package node_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/node/api"
)

func changes(t *testing.T, n *node.Node, query string) (c struct {
	Updates   []struct{ ID string }
	Cursor    string
	Behind    []string
	Retracted []struct {
		Origin string
		After  uint64
	}
},
) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(body(t, n, "/v1/changes?"+query)), &c))
	return c
}

// A disk that was set back while those who knew better were away forks the
// chain. Once they are back the fork is proved everywhere, what came after it
// is taken back, consumers are told, and after its next start the node says again
// what it had acknowledged, under a new origin, each once.
func TestForkIsFrozenAndRepublished(t *testing.T) {
	hub := gossip.NewHub()
	dir, backup := filepath.Join(t.TempDir(), "data"), t.TempDir()
	cfg := node.Config{Name: "wh-1", Authority: "warehouse", DataDir: dir, RecoverWait: 200 * time.Millisecond}
	life := func() *node.Node {
		c := cfg
		c.Hub = hub
		n, err := node.Open(t.Context(), c)
		require.NoError(t, err)
		return n
	}
	dirs := []string{filepath.Join(t.TempDir(), "holder"), filepath.Join(t.TempDir(), "third")}
	others := func() (holder, third *node.Node) {
		return open(t, node.Config{Name: "holder", Authority: "fleet", DataDir: dirs[0], Hub: hub}),
			open(t, node.Config{Name: "third", DataDir: dirs[1], Hub: hub})
	}
	holder, third := others()
	n := life()
	publish(t, n, "order/1", `{"a":1}`)
	same(t, n, holder, third)
	require.NoError(t, n.Close())
	require.NoError(t, os.CopyFS(backup, os.DirFS(dir)))

	n = life()
	lost := publish(t, n, "order/1", `{"a":2}`)
	publish(t, n, "order/2", `{"only":"on the lost branch"}`)
	same(t, n, holder, third)
	seen := changes(t, holder, "").Cursor
	require.NoError(t, n.Close())
	require.NoError(t, holder.Close())
	require.NoError(t, third.Close())
	node.SetBack(t, dir, backup)

	n = life() // nobody answers
	defer func() { require.NoError(t, n.Close()) }()
	for i := range 3 {
		_, err := n.Publish(t.Context(), node.Draft{Subject: fmt.Sprintf("order/%d", 3+i), Delta: json.RawMessage(`{"b":1}`), Key: fmt.Sprint("k", i)})
		require.NoError(t, err)
	}
	old := n.Origin()
	require.Equal(t, lost.Origin, old)

	holder, third = others()
	all := []*node.Node{n, holder, third}
	for _, at := range all {
		eventually(t, "the fork is frozen on "+at.Name(), func() bool { return len(at.Mesh().Freezes) == 1 })
	}
	same(t, all...)
	for _, at := range all {
		f := at.Mesh().Freezes[0]
		require.Equal(t, api.Freeze{Origin: old, Authority: "warehouse", After: 2, Reason: "fork", Detail: f.Detail}, f)
		require.Equal(t, `{"a":1}`, view(t, at, "order/1"))
		for _, subject := range []string{"order/2", "order/3"} {
			_, err := at.View(t.Context(), subject)
			require.ErrorIs(t, err, chain.ErrNotFound, subject)
		}
		require.Equal(t, 404, answer(at, "/v1/updates/"+lost.String()).Code)
		c := changes(t, at, "since="+seen)
		require.Len(t, c.Retracted, 1)
		require.Equal(t, old.String(), c.Retracted[0].Origin)
		require.Equal(t, uint64(2), c.Retracted[0].After)
		require.Empty(t, c.Updates)
		require.Empty(t, changes(t, at, "since="+c.Cursor).Retracted)
		// A place that was reached holds no more than what counts.
		require.Equal(t, 200, answer(at, "/v1/subjects/order/1?at_least="+seen).Code)
		require.Equal(t, 503, answer(at, "/v1/subjects/order/1?at_least="+lost.String()).Code)
		require.Contains(t, answer(at, "/metrics").Body.String(), "tidings_frozen_chains 1\n")
	}
	require.False(t, n.Readiness().Ready)
	require.Contains(t, n.Readiness().Reason, "restart the node")
	ack, err := n.Enqueue(t.Context(), draft("order/1", `{"a":9}`))
	require.NoError(t, err)
	_, err = ack.Wait(t.Context())
	require.ErrorIs(t, err, chain.ErrFrozen)
	require.NoError(t, n.Close())

	for range 3 { // once is enough, however often it starts
		n = life()
		all[0] = n
		require.NotEqual(t, old, n.Origin())
		<-n.Ready() // what is owed comes before any draft, and waits for the clocks to be compared
		same(t, all...)
		for _, at := range all {
			for i := range 3 {
				subject := fmt.Sprintf("order/%d", 3+i)
				s, err := at.View(t.Context(), subject)
				require.NoError(t, err)
				require.Equal(t, `{"b":1}`, s.Status().String())
				require.Equal(t, uint64(1), s.Updates())
				require.Equal(t, chain.ID{Origin: n.Origin(), Seq: chain.Seq(2 + i)}, s.Heads()[0])
			}
		}
		id, err := n.Publish(t.Context(), node.Draft{Subject: "order/3", Delta: json.RawMessage(`{"b":1}`), Key: "k0"})
		require.NoError(t, err)
		require.Equal(t, chain.ID{Origin: n.Origin(), Seq: 2}, id, "the key came along")
		require.NoError(t, n.Close())
	}
	n = life()
	publish(t, n, "order/1", `{"a":3}`)
	same(t, n, holder, third)
	require.Equal(t, `{"a":3}`, view(t, holder, "order/1"))
	require.True(t, strings.Contains(body(t, holder, "/v1/chains/"+n.Origin().String()), `"head":5`))
}

func answer(n *node.Node, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	n.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

// A node that goes on under a new origin serves all of the chain that it wrote before,
// whose last update nobody else has: also where its store was damaged meanwhile.
func TestChainOfAFormerKeyIsServed(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		t.Run(fmt.Sprintf("damaged %v", damaged), func(t *testing.T) {
			dir, restored := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "restored")
			n := open(t, node.Config{Name: "wh-1", DataDir: dir})
			old := n.Origin()
			for i := range 3 {
				publish(t, n, "order/1", fmt.Sprintf(`{"a":%d}`, i))
			}
			require.NoError(t, n.Close())
			require.NoError(t, os.CopyFS(restored, os.DirFS(dir)))
			if damaged {
				d, err := store.OpenDir(restored, store.DirOptions{})
				require.NoError(t, err)
				require.NoError(t, errors.Join(d.Rekey(time.Now()), d.Close()))
				require.NoError(t, os.WriteFile(filepath.Join(restored, "damaged"), []byte("by this test"), 0o600))
			}

			hub := gossip.NewHub()
			n = openUntilWhole(t, node.Config{DataDir: restored, Hub: hub, RecoverWait: 100 * time.Millisecond})
			require.NotEqual(t, old, n.Origin())
			peer := open(t, node.Config{Name: "peer", Hub: hub})
			same(t, n, peer)
			require.Equal(t, `{"a":2}`, view(t, peer, "order/1"))
			require.Contains(t, body(t, peer, "/v1/chains/"+old.String()), `"head":4`)
		})
	}
}
