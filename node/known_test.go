package node_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

// Where a member was is known from the last start too.
func TestKnownMembersKeepTheirAddress(t *testing.T) {
	peer := open(t, node.Config{Name: "peer", Bind: "127.0.0.1:0"})
	address := peer.Addr()
	c := node.Config{
		Name: "wh-1", DataDir: filepath.Join(t.TempDir(), "data"), Bind: "127.0.0.1:0", Join: []string{address}, RecoverWait: time.Millisecond,
	}
	n := open(t, c)
	publish(t, n, "order/1", `{"a":1}`)
	same(t, n, peer)
	require.NoError(t, n.Close())
	require.NoError(t, peer.Close())

	n = open(t, c)
	members := n.Mesh().Members
	require.Len(t, members, 2)
	require.Equal(t, gossip.StatusFailed.String(), members[1].Status)
	require.Equal(t, address, members[1].Addr)
}

// A member that is known only from the last start keeps the node from being
// converged. So it is shown, and can be forgotten.
func TestKnownMembersAreShownUntilForgotten(t *testing.T) {
	hub := gossip.NewHub()
	peer := open(t, node.Config{Name: "peer", Authority: "fleet", Hub: hub})
	c := node.Config{Name: "wh-1", DataDir: filepath.Join(t.TempDir(), "data"), Hub: hub, RecoverWait: time.Millisecond}
	n := open(t, c)
	publish(t, n, "order/1", `{"a":1}`)
	same(t, n, peer)
	require.NoError(t, n.Close())

	c.Hub = gossip.NewHub()
	n = open(t, c)
	<-n.Ready()
	require.False(t, n.Converged())
	members := n.Mesh().Members
	require.Len(t, members, 2)
	require.Equal(t, "peer", members[1].Name)
	require.Equal(t, "fleet", members[1].Authority)
	require.Equal(t, peer.Origin(), members[1].Origin)
	require.Equal(t, gossip.StatusFailed.String(), members[1].Status)
	require.NoError(t, n.Forget(t.Context(), "peer"))
	require.Len(t, n.Mesh().Members, 1)
	eventually(t, "converged", n.Converged)
	publish(t, n, "order/1", `{"a":2}`)
	require.NoError(t, n.Close())

	c.Hub = gossip.NewHub()
	n = open(t, c)
	require.Len(t, n.Mesh().Members, 1)
	require.True(t, n.Converged())
}
