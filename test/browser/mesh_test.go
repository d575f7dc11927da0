package browser

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

// mesh is three nodes, each with a page of its own.
type mesh struct {
	t       *testing.T
	net     *gossip.MemNetwork
	members []*member
}

type member struct {
	*node.Node
	addr   netip.AddrPort
	server *httptest.Server
}

// patience is how long anything may take that a test waits for. It is many times
// what it takes, for machines that are busy.
const patience = 20 * time.Second

// newMesh opens three nodes that have found each other: warehouse, fleet and
// payments. Mount serves a node's handler where a test wants it.
func newMesh(t *testing.T, mount func(http.Handler) http.Handler) *mesh {
	t.Helper()
	m := &mesh{t: t, net: gossip.NewMemNetwork()}
	const first = "127.0.0.1:7946"
	for i, authority := range []string{"warehouse", "fleet", "payments"} {
		server := httptest.NewUnstartedServer(nil)
		cfg := node.Config{
			Name: authority + "-1", Authority: authority, Bind: []string{first, "127.0.0.2:7946", "127.0.0.3:7946"}[i],
			Network: m.net, AdvertiseHTTP: server.Listener.Addr().String(), RecoverWait: patience,
		}
		if i > 0 {
			cfg.Join = []string{first}
		}
		n, err := node.Open(t.Context(), cfg)
		require.NoError(t, err)
		server.Config.Handler = mount(n.Handler())
		server.Start()
		m.members = append(m.members, &member{Node: n, addr: netip.MustParseAddrPort(n.Addr()), server: server})
	}
	t.Cleanup(m.close)
	m.settle()
	return m
}

func (m *mesh) close() {
	m.net.SetPath(nil)
	var wait sync.WaitGroup
	for _, n := range m.members {
		wait.Go(func() {
			if err := n.Close(); err != nil {
				m.t.Error(err)
			}
			n.server.CloseClientConnections() // a browser keeps some open
			n.server.Close()
		})
	}
	wait.Wait()
}

// atRoot serves a node as an agent does.
func atRoot(h http.Handler) http.Handler { return h }

// settle waits until all three have found each other and hold the same.
func (m *mesh) settle() {
	m.t.Helper()
	require.Eventually(m.t, func() bool {
		for _, n := range m.members {
			state := n.Mesh()
			if len(state.Members) != len(m.members) || !state.Converged || state.Root != m.members[0].Mesh().Root {
				return false
			}
		}
		return true
	}, patience, 10*time.Millisecond)
}

// cut takes a node off the mesh without a word, or none.
func (m *mesh) cut(off *member) {
	m.net.SetPath(func(from, to netip.AddrPort) (time.Duration, bool) {
		return 0, off == nil || from == to || (from != off.addr && to != off.addr)
	})
}

func (n *member) publish(t *testing.T, subject, delta string) chain.ID {
	t.Helper()
	id, err := n.Publish(t.Context(), node.Draft{Subject: subject, Delta: json.RawMessage(delta)})
	require.NoError(t, err)
	return id
}

// argue lets two authorities write one field of a subject without having heard of
// each other, on top of what all have seen.
func (m *mesh) argue(subject, one, other string) {
	m.t.Helper()
	m.settle()
	m.cut(m.members[1])
	m.members[0].publish(m.t, subject, one)
	m.members[1].publish(m.t, subject, other)
	m.cut(nil)
	m.settle()
}
