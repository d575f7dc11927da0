package node_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

// A node says of what it held before its start, too, that it is durable there:
// a publisher that restarted as well can be told how many have it.
func TestAcknowledgedAfterARestartOfAll(t *testing.T) {
	hub, dirs := gossip.NewHub(), t.TempDir()
	names := []string{"a", "b", "c"}
	start := func() (nodes []*node.Node) {
		for _, name := range names {
			nodes = append(nodes, open(t, node.Config{Name: name, DataDir: filepath.Join(dirs, name), Hub: hub}))
		}
		return nodes
	}
	post := func(n *node.Node) (int, string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/v1/updates?ack=3&wait=10s", strings.NewReader(`{"subject":"s","key":"k","delta":{"a":1}}`))
		r.Header.Set("Content-Type", "application/json")
		n.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	nodes := start()
	same(t, nodes...)
	code, body := post(nodes[0])
	require.Equal(t, http.StatusCreated, code, body)
	for _, n := range nodes {
		require.NoError(t, n.Close())
	}
	nodes = start()
	code, body = post(nodes[0])
	require.Equal(t, http.StatusOK, code, body)
	require.Contains(t, body, `"acks":3`)
}
