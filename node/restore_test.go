package node_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

// An old copy of the whole data directory, or of its store alone, is put back,
// where a peer holds the chain and where none does. No seq is used again: the
// chain goes on where it was, if a peer brings it back, and else there is a new
// one, which names the old one.
func TestOldCopyPutBack(t *testing.T) {
	for _, parts := range [][]string{{""}, {"db"}, {"db", "heads"}} {
		for _, withPeer := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v peer=%v", parts, withPeer), func(t *testing.T) {
				base := t.TempDir()
				dir, backup := filepath.Join(base, "data"), filepath.Join(base, "backup")
				c := node.Config{Name: "wh-1", DataDir: dir}
				var peer *node.Node
				if withPeer {
					c.Hub, c.RecoverWait = gossip.NewHub(), 20*time.Second
					peer = open(t, node.Config{Name: "peer", Hub: c.Hub})
				}
				life := func(delta string) chain.ID {
					n := open(t, c)
					id := publish(t, n, "order/1", delta)
					if withPeer {
						same(t, n, peer)
					}
					require.NoError(t, n.Close())
					return id
				}
				life(`{"a":1}`)
				copyTree(t, dir, backup)
				last := life(`{"a":2}`)
				for _, part := range parts {
					require.NoError(t, os.RemoveAll(filepath.Join(dir, part)))
				}
				for _, part := range parts {
					from, to := filepath.Join(backup, part), filepath.Join(dir, part)
					if info, err := os.Stat(from); err == nil && info.IsDir() {
						copyTree(t, from, to)
						continue
					}
					b, err := os.ReadFile(from)
					require.NoError(t, err)
					require.NoError(t, os.WriteFile(to, b, 0o600))
				}

				n := open(t, c)
				next := publish(t, n, "order/1", `{"a":3}`)
				require.Equal(t, `{"a":3}`, view(t, n, "order/1"))
				switch {
				case withPeer:
					require.Equal(t, last.Origin, next.Origin)
					require.Equal(t, last.Seq+1, next.Seq)
					same(t, n, peer)
				default:
					require.NotEqual(t, last.Origin, next.Origin)
					require.Equal(t, chain.Seq(2), next.Seq)
				}
			})
		}
	}
}

// What the store has lost is said once, though the node is opened twice where it
// goes on under a new origin.
func TestLossIsSaidOnce(t *testing.T) {
	base := t.TempDir()
	dir, backup, log := filepath.Join(base, "data"), filepath.Join(base, "backup"), &lines{}
	c := node.Config{Name: "wh-1", DataDir: dir}
	life := func(delta string) chain.ID {
		n := open(t, c)
		id := publish(t, n, "order/1", delta)
		require.NoError(t, n.Close())
		return id
	}
	life(`{"a":1}`)
	copyTree(t, dir, backup)
	last := life(`{"a":2}`)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "db")))
	copyTree(t, filepath.Join(backup, "db"), filepath.Join(dir, "db"))
	c.Logger = slog.New(slog.NewJSONHandler(log, nil))
	require.NotEqual(t, last.Origin, life(`{"a":3}`).Origin)
	said := log.with(t, "lost the end of a chain")
	require.Len(t, said, 1)
	require.Equal(t, last.Origin.String(), said[0]["origin"])
}
