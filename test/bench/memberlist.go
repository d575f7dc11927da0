package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/tidings-mesh/tidings/test/bench/harness"
)

// memberlist's queue of broadcasts, relayed by each node that sees an update for
// the first time, at a pace for a local network: by default it is made for some
// tens of updates a second in the whole mesh. There is no exchange of user state,
// so what its datagrams lose stays lost.
var memberlistTuned = harness.Spec{
	Name:    "memberlist-tuned",
	Durable: "nothing",
	Loss:    "best effort over UDP, nothing repairs it",
	Lossy:   true,
	Windows: []int{16, 512},
	Settle:  2 * time.Second,
	Start:   startMemberlist,
}

func tuneMemberlist(c *memberlist.Config) {
	c.GossipInterval = 10 * time.Millisecond
	c.UDPBufferSize = 60000
	c.HandoffQueueDepth = 1 << 16
	c.EnableCompression = false
}

// lanConfig is memberlist.DefaultLANConfig on loopback, without a log.
func lanConfig(name string, port int) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = name
	c.BindAddr, c.AdvertiseAddr = "127.0.0.1", "127.0.0.1"
	c.BindPort, c.AdvertisePort = port, port
	c.Logger = log.New(io.Discard, "", 0)
	return c
}

type memberlistMesh struct{ nodes []*memberlistNode }

// memberlistNode is a node and its memberlist.Delegate.
type memberlistNode struct {
	number  int
	deliver harness.Deliver
	list    *memberlist.Memberlist
	queue   *memberlist.TransmitLimitedQueue

	mu   sync.Mutex // protects seen
	seen map[string]struct{}
}

func startMemberlist(env harness.Env) (harness.Mesh, error) {
	ports, err := harness.FreePorts(env.N)
	if err != nil {
		return nil, err
	}
	m := &memberlistMesh{}
	for i := range env.N {
		n := &memberlistNode{number: i, deliver: env.Deliver, seen: map[string]struct{}{}}
		c := lanConfig(fmt.Sprint("n", i), ports[i])
		tuneMemberlist(c)
		c.Delegate = n
		n.queue = &memberlist.TransmitLimitedQueue{
			NumNodes:       func() int { return env.N },
			RetransmitMult: c.RetransmitMult,
		}
		if n.list, err = memberlist.Create(c); err != nil {
			return nil, err
		}
		m.nodes = append(m.nodes, n)
		if i > 0 {
			if _, err := n.list.Join([]string{harness.Loopback(ports[0])}); err != nil {
				return nil, err
			}
		}
	}
	return m, waitFor(30*time.Second, func() bool {
		for _, n := range m.nodes {
			if n.list.NumMembers() != env.N {
				return false
			}
		}
		return true
	})
}

func (m *memberlistMesh) Publish(node int, payload []byte) error {
	m.nodes[node].spread(payload)
	return nil
}

func (m *memberlistMesh) Close() {
	for _, n := range m.nodes {
		_ = n.list.Shutdown() // never fails where it was created
	}
}

// spread delivers and relays an update that was not seen before. It keeps it.
func (n *memberlistNode) spread(update []byte) {
	id := string(harness.PayloadID(update))
	n.mu.Lock()
	_, seen := n.seen[id]
	n.seen[id] = struct{}{}
	n.mu.Unlock()
	if seen {
		return
	}
	n.deliver(n.number, update)
	n.queue.QueueBroadcast(broadcast(update))
}

func (n *memberlistNode) NodeMeta(int) []byte           { return nil }
func (n *memberlistNode) NotifyMsg(update []byte)       { n.spread(bytes.Clone(update)) }
func (n *memberlistNode) LocalState(bool) []byte        { return nil }
func (n *memberlistNode) MergeRemoteState([]byte, bool) {}
func (n *memberlistNode) GetBroadcasts(overhead, limit int) [][]byte {
	return n.queue.GetBroadcasts(overhead, limit)
}

// broadcast is an update in memberlist's queue; no other takes its place.
type broadcast []byte

func (b broadcast) Invalidates(memberlist.Broadcast) bool { return false }
func (b broadcast) Message() []byte                       { return b }
func (b broadcast) Finished()                             {}
func (b broadcast) UniqueBroadcast()                      {}
