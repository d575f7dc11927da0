package gossip_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-mesh/tidings/gossip"
)

// Three nodes over real sockets: serf finds them, TLS streams carry the runs.
func TestExchangeOverSockets(t *testing.T) {
	// memberlist does not wait for a probe that is under way.
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreTopFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
	ring := gossip.NewMeshKey()
	var nodes []*memLedger
	var join []string
	for i := range 3 {
		l := newMemLedger(i)
		transport := gossip.Over(gossip.MeshOptions{
			Key: l.key, Tags: gossip.Tags{Name: l.origin.String(), Authority: "a", Durable: true},
			Bind: "127.0.0.1:0", Ring: ring, Join: join, Network: gossip.NetNetwork{},
		})
		l.start(t, transport)
		join = append(join, transport.Mesh().Port.AdvertiseAddr().String())
		nodes = append(nodes, l)
	}
	defer func() {
		for _, l := range nodes {
			if err := l.x.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 100 {
		for _, l := range nodes {
			l.publish(20, true)
		}
	}
	eventually(t, "every node has everything and knows it", func() bool {
		for _, at := range nodes {
			for _, of := range nodes {
				if at.has(of.origin) != 2001 {
					return false
				}
			}
			if !at.x.Converged(0, 0) || len(at.x.Members()) != 3 || acks(at.x, 2001) != 2 {
				return false
			}
		}
		return true
	})
	for i, l := range nodes {
		for _, m := range l.x.Members() {
			if !m.Self && (!m.Connected || m.RTT <= 0 || m.RTT > time.Second) {
				t.Errorf("node %d: member %+v", i, m)
			}
		}
		if s := l.x.Stats(); s.ProtocolErrors > 0 || s.UnknownFrames > 0 {
			t.Errorf("node %d: %+v", i, s)
		}
	}
}

// eventually polls a condition of the real world.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !met() {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s not yet: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
