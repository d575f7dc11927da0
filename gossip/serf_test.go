package gossip

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// serfNode is a whole node of the mesh, without an engine.
type serfNode struct {
	*Mesh
	*streamsNode
	key ed25519.PrivateKey
}

func serfKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

// serfTry opens node number i, named n<i>.
func serfTry(t testing.TB, i byte, change func(*MeshOptions)) (*serfNode, error) {
	t.Helper()
	n := &serfNode{key: serfKey(i), streamsNode: &streamsNode{
		meters: new(Meters), logs: new(streamsLog),
		most: map[chain.Origin]int{}, now: map[chain.Origin]int{}, got: map[string]int{},
	}}
	o := MeshOptions{
		Key: n.key, Tags: Tags{Name: fmt.Sprintf("n%d", i), Authority: "a", HTTP: "127.0.0.1:1"}, Bind: "127.0.0.1:0",
		Logger: slog.New(slog.NewTextHandler(n.logs, &slog.HandlerOptions{Level: slog.LevelInfo})), Meters: n.meters,
	}
	if change != nil {
		change(&o)
	}
	n.key = o.Key
	ready := make(chan struct{})
	o.Serve = func(s *Stream) { <-ready; n.echo(s) }
	var err error
	n.Mesh, err = OpenMesh(t.Context(), o)
	if err == nil {
		n.streamsNode.Streams = n.Mesh.Streams
	}
	close(ready)
	return n, err
}

func serfOpen(t testing.TB, i byte, change func(*MeshOptions)) *serfNode {
	t.Helper()
	n, err := serfTry(t, i, change)
	require.NoError(t, err)
	t.Cleanup(func() { n.Abandon() })
	return n
}

func (n *serfNode) addr() string { return n.Port.AdvertiseAddr().String() }

// sees gives the statuses that a node knows, by name: "n1:alive n2:failed".
func (n *serfNode) sees() string {
	var out []string
	for i := range 10 {
		for _, m := range n.Membership.Members() {
			if m.Name == fmt.Sprintf("n%d", i) {
				out = append(out, m.Name+":"+m.Status.String())
			}
		}
	}
	return strings.Join(out, " ")
}

// linked tells whether all of the nodes have streams to all others.
func serfLinked(nodes ...*serfNode) bool {
	for _, a := range nodes {
		for _, b := range nodes {
			if a == b {
				continue
			}
			st := a.Mesh.Streams.Stream(streamsOrigin(b.key))
			if st == nil || st.PeerEpoch() != b.Membership.self.epoch {
				return false
			}
		}
	}
	return true
}

func serfWait(t testing.TB, what string, ok func() bool, show func() string) {
	t.Helper()
	until := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(until) {
			require.FailNow(t, what, show())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func serfAllSee(t testing.TB, want string, nodes ...*serfNode) {
	t.Helper()
	for _, n := range nodes {
		serfWait(t, "see "+want, func() bool { return n.sees() == want }, n.sees)
	}
}

func serfAllLinked(t testing.TB, nodes ...*serfNode) {
	t.Helper()
	serfWait(t, "streams between all", func() bool { return serfLinked(nodes...) }, func() string { return fmt.Sprint(nodes[0].logs) })
}

// The life of a mesh of three over sockets: joining, a crash, a restart on
// another address with nothing but its memory, one on the same address, a leave.
func TestMeshLife(t *testing.T) {
	portNoLeaks(t)
	ring := NewMeshKey()
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()}
	open := func(i byte, bind string, join ...string) *serfNode {
		return serfOpen(t, i, func(o *MeshOptions) {
			o.Ring, o.DataDir, o.Join, o.Tags.Durable = ring, dirs[i], join, true
			if bind != "" {
				o.Bind = bind
			}
		})
	}
	a := open(1, "")
	b := open(2, "", a.addr())
	c := open(3, "", b.addr())
	serfAllSee(t, "n1:alive n2:alive n3:alive", a, b, c)
	serfAllLinked(t, a, b, c)
	for _, m := range a.Membership.Members() {
		require.Equal(t, "127.0.0.1:1", m.HTTP)
		require.True(t, m.Durable)
		require.Equal(t, StreamVersion, m.Version)
	}
	// A crash, then a start elsewhere that is told of nobody.
	require.NoError(t, c.Abandon())
	serfAllSee(t, "n1:alive n2:alive n3:failed", a, b)
	require.ErrorIs(t, a.Membership.Forget("n2"), ErrMemberAlive)
	require.ErrorIs(t, a.Membership.Forget("n1"), ErrMemberAlive)
	require.ErrorIs(t, a.Membership.Forget("n9"), ErrNoMember)
	c2 := open(3, "")
	require.Greater(t, c2.Membership.self.epoch, c.Membership.self.epoch)
	require.NotEqual(t, c.addr(), c2.addr())
	serfAllSee(t, "n1:alive n2:alive n3:alive", a, b, c2)
	serfAllLinked(t, a, b, c2)

	// A crash that nobody has seen yet, and a start at the same address.
	at := c2.addr()
	require.NoError(t, c2.Abandon())
	c3 := open(3, at)
	require.Equal(t, at, c3.addr())
	serfAllLinked(t, a, b, c3)
	serfAllSee(t, "n1:alive n2:alive n3:alive", a, b, c3)

	// A leave, and its member forgotten.
	require.NoError(t, b.Mesh.Close(t.Context()))
	serfAllSee(t, "n1:alive n2:left n3:alive", a, c3)
	require.NoError(t, a.Membership.Forget("n2"))
	serfAllSee(t, "n1:alive n3:alive", a, c3)
	require.NoError(t, c3.Mesh.Close(t.Context()))
	require.NoError(t, a.Mesh.Close(t.Context()))
	require.NoError(t, a.Mesh.Close(t.Context()), "again")
}

func TestMeshTwins(t *testing.T) {
	portNoLeaks(t)
	a := serfOpen(t, 1, nil)
	b := serfOpen(t, 2, func(o *MeshOptions) { o.Join = []string{a.addr()} })
	serfAllLinked(t, a, b)
	first := a.Mesh.Streams.Stream(streamsOrigin(b.key))

	var twin *TwinError
	_, err := serfTry(t, 3, func(o *MeshOptions) { o.Join, o.Tags.Name = []string{a.addr()}, "n2" })
	require.ErrorAs(t, err, &twin)
	require.False(t, twin.SameKey)
	require.Equal(t, b.addr(), twin.Other.Addr.String())
	require.ErrorContains(t, err, `the name "n2" is alive at `+b.addr())

	_, err = serfTry(t, 4, func(o *MeshOptions) { o.Join, o.Key = []string{a.addr()}, b.key })
	require.ErrorAs(t, err, &twin)
	require.True(t, twin.SameKey)
	require.Equal(t, b.addr(), twin.Other.Addr.String())

	serfAllSee(t, "n1:alive n2:alive", a, b)
	for _, m := range a.Membership.Members() {
		require.True(t, m.Origin == streamsOrigin(a.key) || m.Addr.String() == b.addr())
	}
	serfAllLinked(t, a, b)
	require.Nil(t, first.Err(), "no twin took the place of the first")

	// b is gone without a word; a new node under its name is no twin, and
	// supersedes it.
	require.NoError(t, b.Abandon())
	d := serfOpen(t, 5, func(o *MeshOptions) { o.Join, o.Tags.Name = []string{a.addr()}, "n2" })
	serfWait(t, "the new n2 alone", func() bool {
		m := a.Membership.Members()
		return len(m) == 2 && a.sees() == "n1:alive n2:alive" && (m[0].Origin == streamsOrigin(d.key) || m[1].Origin == streamsOrigin(d.key))
	}, a.sees)
}

func TestMeshRefusals(t *testing.T) {
	portNoLeaks(t)
	for _, tc := range []struct {
		name   string
		change func(*MeshOptions)
		wrong  string
	}{
		{"not loopback without a key", func(o *MeshOptions) { o.Bind = "0.0.0.0:0" }, "loopback addresses only"},
		{"tags too long", func(o *MeshOptions) { o.Tags.Authority = strings.Repeat("x", 600) }, "the longest is the authority with 600"},
		{"no name", func(o *MeshOptions) { o.Tags.Name = "" }, "name: must not be empty"},
		{"join without a port", func(o *MeshOptions) { o.Join = []string{"host"} }, `join address "host": want HOST:PORT`},
		{"join port 0", func(o *MeshOptions) { o.Join = []string{"host:0"} }, "want a port from 1"},
		{"a directory that is none", func(o *MeshOptions) { o.DataDir = "/nonexistent/dir" }, "members.json"},
		{"no key of its own", func(o *MeshOptions) { o.Key = nil }, "want an Ed25519 private key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := serfTry(t, 1, tc.change)
			require.ErrorContains(t, err, tc.wrong)
		})
	}
}

// What reaches a node over sockets that is none of the mesh's costs a counter
// and a line, and the mesh goes on.
func TestMeshStrangers(t *testing.T) {
	portNoLeaks(t)
	a := serfOpen(t, 1, func(o *MeshOptions) { o.Ring = NewMeshKey() })
	strangers := []*serfNode{
		serfOpen(t, 2, func(o *MeshOptions) { o.Ring, o.Join, o.JoinWait = NewMeshKey(), []string{a.addr()}, time.Millisecond }),
		serfOpen(t, 3, func(o *MeshOptions) { o.Join, o.JoinWait = []string{a.addr()}, time.Millisecond }),
	}
	for range 20 {
		for _, bytes := range []string{"GET / HTTP/1.0\r\n\r\n", "\x16\x03\x01", "\xf4\x07tidings\x00\x00\x00", "\xf4", ""} {
			conn, err := net.Dial("tcp", a.addr())
			require.NoError(t, err)
			_, err = conn.Write([]byte(bytes))
			require.NoError(t, err)
			conn.Close()
		}
		udp, err := net.Dial("udp", a.addr())
		require.NoError(t, err)
		_, err = udp.Write([]byte("\xf4\x07tidings\x00nonsense"))
		require.NoError(t, err)
		udp.Close()
	}
	for _, s := range strangers {
		_, err := s.Mesh.Streams.dial(t.Context(), a.Port.AdvertiseAddr(), purposeProbe)
		require.Equal(t, ReasonMeshKey, reasonOf(err, reasonCount))
	}
	portWait(t, "all counted", func() bool {
		return a.meters.Failures(ReasonGarbage) >= 20 && a.meters.Failures(ReasonHandshake) >= 20 &&
			a.meters.Failures(ReasonMeshKey) == 2 && a.meters.noise.Load() >= 20
	})
	require.Equal(t, "n1:alive", a.sees())
	for _, s := range strangers {
		require.NotContains(t, s.sees(), "n1")
	}
	require.LessOrEqual(t, a.logs.count("\n"), 12, "%s", a.logs)
}

// serfBubble runs a mesh of n nodes in virtual time.
func serfBubble(t *testing.T, n int, test func(t *testing.T, network *MemNetwork, nodes []*serfNode)) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemNetwork()
		nodes := make([]*serfNode, n)
		for i := range nodes {
			var err error
			nodes[i], err = serfTry(t, byte(i+1), func(o *MeshOptions) {
				o.Network = network
				if i > 0 {
					o.Join = []string{nodes[0].addr()}
				}
			})
			require.NoError(t, err)
		}
		test(t, network, nodes)
		for _, node := range nodes {
			require.NoError(t, node.Abandon())
		}
		// What serf leaves behind ends with its timers.
		time.Sleep(time.Minute)
	})
}

func TestMeshPartitionHeals(t *testing.T) {
	serfBubble(t, 4, func(t *testing.T, network *MemNetwork, nodes []*serfNode) {
		serfAllLinked(t, nodes...) // whom gossip missed is found by the next exchange
		left := map[netip.AddrPort]bool{nodes[0].Port.Addr(): true, nodes[1].Port.Addr(): true}
		network.SetPath(func(from, to netip.AddrPort) (time.Duration, bool) { return 0, left[from] == left[to] })
		time.Sleep(time.Minute)
		for i, want := range []string{"n1:alive n2:alive n3:failed n4:failed", "n1:failed n2:failed n3:alive n4:alive"} {
			require.Equal(t, want, nodes[2*i].sees())
			require.Equal(t, want, nodes[2*i+1].sees())
		}
		require.Nil(t, nodes[0].Mesh.Streams.Stream(streamsOrigin(nodes[3].key)))
		network.SetPath(nil)
		healed := time.Now()
		serfAllSee(t, "n1:alive n2:alive n3:alive n4:alive", nodes...)
		serfAllLinked(t, nodes...)
		// As a rule within seconds; whom gossip missed is found by the exchange of
		// all that two nodes know.
		require.Less(t, time.Since(healed), 10*time.Second+2*pushPullEvery)
	})
}

func TestMeshCrashIsSeen(t *testing.T) {
	serfBubble(t, 3, func(t *testing.T, _ *MemNetwork, nodes []*serfNode) {
		serfAllSee(t, "n1:alive n2:alive n3:alive", nodes...)
		require.NoError(t, nodes[2].Abandon())
		time.Sleep(6 * time.Second)
		for _, n := range nodes[:2] {
			require.Equal(t, "n1:alive n2:alive n3:failed", n.sees())
			for _, m := range n.Membership.Members() {
				if m.Status == StatusFailed {
					require.Less(t, time.Since(m.Since), 5*time.Second)
				}
			}
		}
	})
}

// With most of the mesh dead, serf may tell a forget to nobody who lives. Told
// again, it reaches them.
func TestMeshForgetReachesTheLiving(t *testing.T) {
	serfBubble(t, 9, func(t *testing.T, _ *MemNetwork, nodes []*serfNode) {
		serfAllSee(t, "n1:alive n2:alive n3:alive n4:alive n5:alive n6:alive n7:alive n8:alive n9:alive", nodes...)
		for _, n := range nodes[2:] {
			require.NoError(t, n.Abandon())
		}
		alive, gone := nodes[:2], nodes[2:]
		serfAllSee(t, "n1:alive n2:alive n3:failed n4:failed n5:failed n6:failed n7:failed n8:failed n9:failed", alive...)
		for _, n := range gone {
			require.NoError(t, alive[0].Membership.Forget(streamsOrigin(n.key).String()))
		}
		require.Len(t, alive[0].Membership.Members(), 2)
		time.Sleep(2 * time.Minute)
		require.Equal(t, "n1:alive n2:alive", alive[0].sees())
		require.Equal(t, "n1:alive n2:alive", alive[1].sees())
		m := alive[0].Membership
		m.mu.Lock()
		retold := len(m.forgot)
		m.mu.Unlock()
		require.Zero(t, retold, "it is told for a minute, not for ever")
		require.True(t, serfLinked(alive...))
	})
}

// Two that start at once under one name: the one with the later epoch gives up.
func TestMeshTwinsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemNetwork()
		a, err := serfTry(t, 1, func(o *MeshOptions) { o.Network = network })
		require.NoError(t, err)
		type result struct {
			node *serfNode
			err  error
		}
		results := make(chan result, 2)
		for i := range byte(2) {
			go func() {
				// Told of a port that comes later, so that both are met at once.
				n, err := serfTry(t, 2+i, func(o *MeshOptions) {
					o.Network, o.Join, o.Tags.Name = network, []string{a.addr()}, "same"
				})
				results <- result{n, err}
			}()
		}
		var good []*serfNode
		var twin *TwinError
		for range 2 {
			r := <-results
			if r.err == nil {
				good = append(good, r.node)
				continue
			}
			require.ErrorAs(t, r.err, &twin)
		}
		// They may have heard of each other by gossip only.
		time.Sleep(twinWindow)
		good = slices.DeleteFunc(good, func(n *serfNode) bool {
			select {
			case err := <-n.Failed():
				require.ErrorAs(t, err, &twin)
				require.NoError(t, n.Abandon())
				return true
			default:
				return false
			}
		})
		require.Len(t, good, 1, "one of them, and only one")
		require.NoError(t, good[0].Abandon())
		require.NoError(t, a.Abandon())
		time.Sleep(time.Minute)
	})
}

// A node that starts before anybody it is told of goes on trying, says so
// seldom, and meets them when they come.
func TestMeshJoinsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemNetwork()
		a, err := serfTry(t, 1, func(o *MeshOptions) { o.Network, o.Join = network, []string{"127.0.0.1:7946"} })
		require.NoError(t, err)
		time.Sleep(10*time.Minute + time.Second)
		n := a.logs.count("no other node met yet")
		require.GreaterOrEqual(t, n, 9)
		require.LessOrEqual(t, n, 11)
		b, err := serfTry(t, 2, func(o *MeshOptions) { o.Network, o.Bind = network, "127.0.0.1:7946" })
		require.NoError(t, err)
		time.Sleep(joinMost + 2*time.Second)
		require.Equal(t, "n1:alive n2:alive", a.sees())
		require.True(t, serfLinked(a, b))
		require.NoError(t, a.Mesh.Close(context.Background()))
		time.Sleep(5 * time.Second)
		require.Equal(t, "n1:left n2:alive", b.sees())
		require.NoError(t, b.Abandon())
		time.Sleep(time.Minute)
	})
}
