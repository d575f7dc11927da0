package main

import (
	"fmt"
	"io"
	"log"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/tidings-mesh/tidings/test/bench/harness"
)

// serf's user events with the defaults for a local network.
var serfDefault = harness.Spec{
	Name:    "serf",
	Durable: "nothing",
	Loss:    "best effort over UDP; an exchange every 30 s repairs the last 512 Lamport times",
	Lossy:   true,
	Windows: []int{16},
	Settle:  2 * time.Second,
	Start: func(env harness.Env) (harness.Mesh, error) {
		return startSerf(env, func(*serf.Config) {})
	},
}

// The same with memberlist tuned, and buffers and queues of 64 Ki.
var serfTuned = harness.Spec{
	Name:    "serf-tuned",
	Durable: "nothing",
	Loss:    "best effort over UDP; an exchange every 30 s repairs the last 64 Ki Lamport times",
	Lossy:   true,
	Windows: []int{16, 512},
	Settle:  2 * time.Second,
	Start: func(env harness.Env) (harness.Mesh, error) {
		return startSerf(env, func(c *serf.Config) {
			tuneMemberlist(c.MemberlistConfig)
			c.EventBuffer = 1 << 16
			c.MaxQueueDepth = 1 << 16
		})
	},
}

type serfMesh struct{ nodes []*serf.Serf }

func startSerf(env harness.Env, tune func(*serf.Config)) (harness.Mesh, error) {
	ports, err := harness.FreePorts(env.N)
	if err != nil {
		return nil, err
	}
	m := &serfMesh{}
	for i := range env.N {
		events := make(chan serf.Event, 4096)
		c := serf.DefaultConfig()
		c.NodeName = fmt.Sprint("n", i)
		c.Logger = log.New(io.Discard, "", 0)
		c.EventCh = events
		c.MemberlistConfig = lanConfig(c.NodeName, ports[i])
		tune(c)
		n, err := serf.Create(c)
		if err != nil {
			return nil, err
		}
		m.nodes = append(m.nodes, n)
		go followEvents(events, i, env.Deliver)
		if i > 0 {
			if _, err := n.Join([]string{harness.Loopback(ports[0])}, true); err != nil {
				return nil, err
			}
		}
	}
	return m, waitFor(30*time.Second, func() bool {
		for _, n := range m.nodes {
			if n.Memberlist().NumMembers() != env.N {
				return false
			}
		}
		return true
	})
}

// followEvents consumes a node's events until the process ends.
func followEvents(events <-chan serf.Event, node int, deliver harness.Deliver) {
	for e := range events {
		if u, ok := e.(serf.UserEvent); ok {
			deliver(node, u.Payload)
		}
	}
}

func (m *serfMesh) Publish(node int, payload []byte) error {
	return m.nodes[node].UserEvent("u", payload, false)
}

func (m *serfMesh) Close() {
	for _, n := range m.nodes {
		_ = n.Shutdown() // never fails where it was created
	}
}
