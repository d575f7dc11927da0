package node_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

const patience = 30 * time.Second

// eventually waits for what other goroutines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("after %s still not: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// trio opens three nodes of three authorities, on a hub or on sockets.
func trio(t *testing.T, hub bool, dirs bool) []*node.Node {
	t.Helper()
	h := gossip.NewHub()
	var nodes []*node.Node
	var join []string
	for _, authority := range []string{"warehouse", "fleet", "payments"} {
		c := node.Config{Name: authority + "-1", Authority: authority}
		if hub {
			c.Hub = h
		} else {
			c.Bind, c.Join = "127.0.0.1:0", join
		}
		if dirs {
			c.DataDir = filepath.Join(t.TempDir(), authority)
		}
		n := open(t, c)
		join = append(join, n.Addr())
		nodes = append(nodes, n)
	}
	return nodes
}

func same(t *testing.T, nodes ...*node.Node) {
	t.Helper()
	eventually(t, "all nodes have the same root and are converged", func() bool {
		for _, n := range nodes {
			if n.Mesh().Root != nodes[0].Mesh().Root || !n.Converged() {
				return false
			}
		}
		return true
	})
}

func body(t *testing.T, n *node.Node, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	n.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	require.Equal(t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
	b, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	return w.Header().Get("ETag") + string(b)
}

// Publish on any node, poll any node: the same bytes everywhere.
func TestThreeNodesAgree(t *testing.T) {
	for _, hub := range []bool{true, false} {
		t.Run(fmt.Sprintf("hub=%v", hub), func(t *testing.T) {
			nodes := trio(t, hub, !hub)
			for _, n := range nodes {
				select {
				case <-n.Ready():
				case <-time.After(patience):
					t.Fatalf("%s is not ready: %+v", n.Name(), n.Readiness())
				}
			}
			var wg sync.WaitGroup
			var mu sync.Mutex
			var ids []chain.ID
			for i, n := range nodes {
				wg.Go(func() {
					for k := range 200 {
						id, err := n.Publish(context.Background(), draft(fmt.Sprintf("order/%d", k%10), fmt.Sprintf(`{"by":%d,"n%d":%d}`, i, i, k)))
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						ids = append(ids, id)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			for _, n := range nodes {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				require.NoError(t, n.Wait(ctx, ids...))
				cancel()
			}
			same(t, nodes...)
			for k := range 10 {
				for _, path := range []string{"/v1/subjects/order/", "/v1/history/order/"} {
					want := body(t, nodes[0], fmt.Sprintf("%s%d", path, k))
					for _, n := range nodes[1:] {
						require.Equal(t, want, body(t, n, fmt.Sprintf("%s%d", path, k)))
					}
				}
			}
			require.Len(t, nodes[0].Mesh().Members, 3)
		})
	}
}

// A node that joins late catches up before it is ready.
func TestLateNodeCatchesUp(t *testing.T) {
	hub := gossip.NewHub()
	first := open(t, node.Config{Name: "wh-1", Hub: hub})
	for k := range 3000 {
		_, err := first.Enqueue(t.Context(), draft(fmt.Sprintf("order/%d", k%100), fmt.Sprintf(`{"n":%d}`, k)))
		require.NoError(t, err)
	}
	last := publish(t, first, "order/last", `{"done":true}`)
	late := open(t, node.Config{Name: "late", Hub: hub, Join: nil, RecoverWait: patience})
	select {
	case <-late.Ready():
	case <-time.After(patience):
		t.Fatalf("not ready: %+v", late.Readiness())
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, late.Wait(ctx, last))
	same(t, first, late)
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
}

// A directory restored from an old copy does not reuse seqs: what peers have of
// the chain is taken back first.
func TestRestoredDirectoryDoesNotFork(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	backup := filepath.Join(t.TempDir(), "backup")
	peer := open(t, node.Config{Name: "peer", Bind: "127.0.0.1:0"})
	c := node.Config{Name: "wh-1", DataDir: dir, Bind: "127.0.0.1:0", Join: []string{peer.Addr()}, RecoverWait: 10 * time.Second}
	n := open(t, c)
	publish(t, n, "order/1", `{"a":1}`)
	require.NoError(t, n.Close())
	copyTree(t, dir, backup)

	n = open(t, c)
	later := publish(t, n, "order/1", `{"a":2}`)
	same(t, n, peer)
	require.NoError(t, n.Close())
	require.NoError(t, os.RemoveAll(dir))
	copyTree(t, backup, dir)

	n = open(t, c)
	require.Equal(t, later.Origin, n.Origin(), "the chain was recovered from the peer")
	// A copy may get the very inodes of what was removed. Then the start does not
	// wait, but the publish does.
	next := publish(t, n, "order/1", `{"a":3}`)
	require.Equal(t, later.Seq+1, next.Seq)
	require.Equal(t, `{"a":3}`, view(t, n, "order/1"))
	same(t, n, peer)
}

// Where no peer can tell, a restored directory goes on under a new origin.
func TestRestoredDirectoryAloneGetsANewOrigin(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := node.Config{Name: "wh-1", DataDir: dir}
	n := open(t, c)
	publish(t, n, "order/1", `{"a":1}`)
	origin := n.Origin()
	require.NoError(t, n.Close())
	moved := filepath.Join(t.TempDir(), "moved")
	copyTree(t, dir, moved)

	c.DataDir = moved
	n = open(t, c)
	require.NotEqual(t, origin, n.Origin())
	id := publish(t, n, "order/1", `{"a":2}`)
	require.Equal(t, chain.Seq(2), id.Seq)
	require.Equal(t, `{"a":2}`, view(t, n, "order/1"))
}

// The survivor of a dead mesh becomes ready after RecoverWait, and says that it
// is not converged.
func TestSurvivorOfADeadMesh(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	peers := []*node.Node{open(t, node.Config{Name: "p1", Bind: "127.0.0.1:0"})}
	peers = append(peers, open(t, node.Config{Name: "p2", Bind: "127.0.0.1:0", Join: []string{peers[0].Addr()}}))
	c := node.Config{Name: "wh-1", DataDir: dir, Bind: "127.0.0.1:0", Join: []string{peers[0].Addr()}, RecoverWait: time.Second}
	n := open(t, c)
	publish(t, n, "order/1", `{"a":1}`)
	same(t, n, peers[0], peers[1])
	require.NoError(t, n.Close())
	for _, p := range peers {
		require.NoError(t, p.Close())
	}
	n = open(t, c)
	select {
	case <-n.Ready():
	case <-time.After(patience):
		t.Fatalf("not ready: %+v", n.Readiness())
	}
	require.False(t, n.Converged())
	require.Equal(t, chain.Seq(3), publish(t, n, "order/1", `{"a":2}`).Seq)
}

func TestAcknowledgedByTwo(t *testing.T) {
	nodes := trio(t, false, true)
	id := publish(t, nodes[0], "order/1", `{"a":1}`)
	same(t, nodes...)
	srv := httptest.NewServer(nodes[0].Handler())
	defer srv.Close()
	for _, ack := range []string{"2", "3"} {
		resp, err := http.Post(srv.URL+"/v1/updates?ack="+ack+"&wait=20s", "application/json",
			strings.NewReader(`{"subject":"order/1","delta":{"ack":`+ack+`}}`))
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusCreated, resp.StatusCode, "%s", b)
	}
	require.NotZero(t, id)
}

func TestTwinIsRefused(t *testing.T) {
	first := open(t, node.Config{Name: "wh-1", Bind: "127.0.0.1:0"})
	_, err := node.Open(t.Context(), node.Config{Name: "wh-1", Bind: "127.0.0.1:0", Join: []string{first.Addr()}})
	var twin *gossip.TwinError
	require.ErrorAs(t, err, &twin)
	require.Contains(t, err.Error(), first.Addr())
}

// A node that closes right after it published has told its peers.
func TestLeavingTellsTheLastUpdates(t *testing.T) {
	nodes := trio(t, false, false)
	same(t, nodes...)
	var ids []chain.ID
	for i := range 500 {
		ids = append(ids, publish(t, nodes[0], "order/1", fmt.Sprintf(`{"n":%d}`, i)))
	}
	require.NoError(t, nodes[0].Close())
	for _, n := range nodes[1:] {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		require.NoError(t, n.Wait(ctx, ids...), n.Name())
		cancel()
	}
}
