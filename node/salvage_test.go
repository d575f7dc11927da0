package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

// lines is a log that a test reads.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// with are the log's lines that have a message.
func (l *lines) with(t *testing.T, part string) (found []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		fields := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(line), &fields))
		if strings.Contains(fields["msg"].(string), part) {
			found = append(found, fields)
		}
	}
	return found
}

// spoil inverts a bit in every 600 bytes of the second half of the largest file
// below db with such a name.
func spoil(t *testing.T, dir, pattern string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "db", pattern))
	require.NoError(t, err)
	largest, size := "", int64(0)
	for _, name := range names {
		info, err := os.Stat(name)
		require.NoError(t, err)
		if info.Size() > size {
			largest, size = name, info.Size()
		}
	}
	require.NotEmpty(t, largest, "no %s", pattern)
	b, err := os.ReadFile(largest)
	require.NoError(t, err)
	for at := len(b) / 2; at < len(b); at += 600 {
		b[at] ^= 1
	}
	require.NoError(t, os.WriteFile(largest, b, 0o600))
}

// gauge reads one metric.
func gauge(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// filled opens a node and its peer, has both publish, and returns the node
// closed, with what its data directory then holds.
func filled(t *testing.T, c node.Config, peer *node.Node) (ids []chain.ID) {
	t.Helper()
	n := open(t, c)
	for i := range 300 {
		ids = append(ids, publish(t, n, fmt.Sprintf("order/%d", i%7), fmt.Sprintf(`{"n":%d,"text":"%x"}`, i, i*i*7919)))
		if peer != nil && i%3 == 0 {
			ids = append(ids, publish(t, peer, fmt.Sprintf("order/%d", i%7), fmt.Sprintf(`{"p":%d}`, i)))
		}
	}
	if peer != nil {
		same(t, n, peer)
	}
	require.NoError(t, n.Close())
	return ids
}

// A node whose store is damaged carries over what is whole, and gets the rest
// from its peer, its own chain too, which then goes on. Both have the same root.
func TestDamagedStoreIsMendedFromAPeer(t *testing.T) {
	for _, pattern := range []string{"*.sst", "MANIFEST-*"} {
		t.Run(pattern, func(t *testing.T) {
			hub := gossip.NewHub()
			peer := open(t, node.Config{Name: "peer", Hub: hub})
			dir := filepath.Join(t.TempDir(), "data")
			log, registry := &lines{}, prometheus.NewRegistry()
			c := node.Config{Name: "wh-1", DataDir: dir, Hub: hub, RecoverWait: patience}
			ids := filled(t, c, peer)
			spoil(t, dir, pattern)

			c.Logger = slog.New(slog.NewJSONHandler(log, nil))
			c.Metrics, c.Gatherer = registry, registry
			n := openUntilWhole(t, c)
			require.Equal(t, ids[0].Origin, n.Origin(), "its chain came back")
			require.Len(t, log.with(t, "store is damaged"), 1)
			require.Len(t, log.with(t, "carried over"), 2)
			require.NotEmpty(t, log.with(t, "are set aside")[0]["paths"])
			require.DirExists(t, filepath.Join(dir, "db.damaged-1"))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			require.NoError(t, n.Wait(ctx, ids...))
			id := publish(t, n, "order/0", `{"after":true}`)
			require.Greater(t, id.Seq, ids[len(ids)-1].Seq)
			same(t, n, peer)
			for i := range 7 {
				for _, path := range []string{"/v1/subjects/order/", "/v1/history/order/"} {
					require.Equal(t, body(t, peer, fmt.Sprintf("%s%d", path, i)), body(t, n, fmt.Sprintf("%s%d", path, i)))
				}
			}
			require.Zero(t, gauge(t, registry, "tidings_store_lost_chains"))
			require.Zero(t, gauge(t, registry, "tidings_store_damaged"))
		})
	}
}

// openUntilWhole opens a node, and once more if it met the damage only then.
func openUntilWhole(t *testing.T, c node.Config) *node.Node {
	t.Helper()
	n, err := node.Open(t.Context(), c)
	require.NoError(t, err)
	for i := range 7 {
		for u, err := range n.History(t.Context(), fmt.Sprintf("order/%d", i)) {
			if err != nil {
				require.ErrorIs(t, err, chain.ErrCorrupt)
				refuses(t, n)
				_ = n.Close() // the store has died of it
				n, err = node.Open(t.Context(), c)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, n.Close()) })
				return n
			}
			require.NotNil(t, u)
		}
	}
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

// refuses asserts that a node which has met damage writes nothing more and says
// so: its next start would lose it.
func refuses(t *testing.T, n *node.Node) {
	t.Helper()
	_, err := n.Publish(t.Context(), node.Draft{Subject: "order/0", Delta: json.RawMessage(`{"late":true}`)})
	require.ErrorIs(t, err, chain.ErrStoreFailed)
	r := n.Readiness()
	require.False(t, r.Ready)
	require.Contains(t, r.Reason, "restart the node")
	require.NotEmpty(t, n.Mesh().Store.Failed)
}

// A node alone names what is missing, serves what is whole, and goes on under a
// new origin: a seq of its old chain may have been seen by somebody.
func TestDamagedStoreOfANodeAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	log, registry := &lines{}, prometheus.NewRegistry()
	c := node.Config{Name: "wh-1", DataDir: dir}
	ids := filled(t, c, nil)
	spoil(t, dir, "*.sst")

	c.Logger = slog.New(slog.NewJSONHandler(log, nil))
	c.Metrics, c.Gatherer = registry, registry
	n := openUntilWhole(t, c)
	lost := log.with(t, "the end of a chain is lost here")
	require.Len(t, lost, 1)
	require.Equal(t, ids[0].Origin.String(), lost[0]["origin"])
	require.EqualValues(t, ids[len(ids)-1].Seq, lost[0]["had"])
	have := chain.Seq(lost[0]["have"].(float64))
	require.Less(t, have, ids[len(ids)-1].Seq)
	require.EqualValues(t, 1, gauge(t, registry, "tidings_store_lost_chains"))
	require.NotEqual(t, ids[0].Origin, n.Origin())
	there := map[chain.ID]bool{}
	for i := range 7 {
		for u, err := range n.History(t.Context(), fmt.Sprintf("order/%d", i)) {
			require.NoError(t, err)
			there[u.ID] = true
		}
	}
	for _, id := range ids {
		require.Equal(t, id.Seq <= have, there[id], "%s", id)
	}
	id := publish(t, n, "order/0", `{"after":true}`)
	require.Equal(t, n.Origin(), id.Origin)
	require.NoError(t, n.Close())

	// What is missing is still named at the next start.
	n = open(t, node.Config{Name: "wh-1", DataDir: dir})
	require.Equal(t, id.Origin, n.Origin())
	require.Contains(t, view(t, n, "order/0"), `"after":true`)
}
