package node_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

// A backup is taken while producers publish. It has all that was acknowledged
// before it, and the node that comes back on it goes on with its chain where a peer
// has what came later, and else under a new origin.
func TestBackupOfARunningNode(t *testing.T) {
	for _, withPeer := range []bool{true, false} {
		t.Run(fmt.Sprintf("peer=%v", withPeer), func(t *testing.T) {
			base := t.TempDir()
			dir, backup := filepath.Join(base, "data"), filepath.Join(base, "backup")
			c := node.Config{Name: "wh-1", DataDir: dir}
			var peer *node.Node
			if withPeer {
				c.Hub, c.RecoverWait = gossip.NewHub(), 20*time.Second
				peer = open(t, node.Config{Name: "peer", Hub: c.Hub})
			}
			n := open(t, c)
			before := publish(t, n, "order/before", `{"a":1}`)

			quit, cancel := context.WithCancel(t.Context())
			var last [4]chain.ID
			var producers sync.WaitGroup
			for p := range last {
				producers.Go(func() {
					for i := 0; quit.Err() == nil; i++ {
						id, err := n.Publish(t.Context(), draft(fmt.Sprintf("order/%d", p), fmt.Sprintf(`{"n":%d}`, i)))
						if err != nil {
							t.Error(err)
							return
						}
						last[p] = id
					}
				})
			}
			require.NoError(t, n.Backup(t.Context(), backup))
			cancel()
			producers.Wait()
			final := publish(t, n, "order/after", `{"a":1}`)
			if withPeer {
				same(t, n, peer)
			}
			require.NoDirExists(t, filepath.Join(dir, "snapshot"))
			require.NoError(t, n.Close())
			require.NoError(t, os.RemoveAll(dir))

			copyTree(t, backup, dir) // and as a restore does it: the backup stays
			n = open(t, c)
			require.Equal(t, `{"a":1}`, view(t, n, "order/before"))
			next := publish(t, n, "order/next", `{"a":1}`)
			if !withPeer {
				require.NotEqual(t, before.Origin, next.Origin)
				return
			}
			require.Equal(t, chain.ID{Origin: before.Origin, Seq: final.Seq + 1}, next)
			same(t, n, peer)
			require.Empty(t, n.Mesh().Freezes)
			for _, id := range append(last[:], final) {
				require.NoError(t, n.Wait(t.Context(), id))
			}
		})
	}
}

// What cannot be backed up is refused, and leaves nothing.
func TestBackupRefuses(t *testing.T) {
	base := t.TempDir()
	dest := filepath.Join(base, "backup")
	require.ErrorIs(t, open(t, node.Config{}).Backup(t.Context(), dest), node.ErrInMemory)

	n := open(t, node.Config{Name: "wh-1", DataDir: filepath.Join(base, "data")})
	publish(t, n, "order/1", `{"a":1}`)
	require.ErrorContains(t, n.Backup(t.Context(), base), "is there already")
	require.ErrorContains(t, n.Backup(t.Context(), filepath.Join(base, "no", "backup")), "make it first")
	s, err := n.Snapshot(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, n.Backup(t.Context(), dest), store.ErrSnapshot)
	require.NoError(t, s.Close())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, n.Backup(ended, dest))
	require.NoError(t, n.Backup(t.Context(), dest))

	// A snapshot that nobody closes ends with the node.
	_, err = n.Snapshot(t.Context())
	require.NoError(t, err)
	require.NoError(t, n.Close())
	require.NoDirExists(t, filepath.Join(base, "data", "snapshot"))
	require.ErrorIs(t, n.Backup(t.Context(), filepath.Join(base, "late")), chain.ErrClosed)
	entries, err := os.ReadDir(base)
	require.NoError(t, err)
	require.Len(t, entries, 2)
}
