package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/test/bench/harness"
)

// Tidings as a service embeds it: a data directory for each node, one
// encrypted port on loopback, membership by serf. Publish returns once the
// update is synced at its origin. An update is delivered on a node when that
// node's feed yields it: verified, applied, indexed, and there for every poll.
var tidingsDisk = harness.Spec{
	Name:       "tidings",
	Durable:    "synced at the publisher when Publish returns; at each receiver within 50 ms of delivery",
	Loss:       "none",
	Synced:     true,
	Windows:    []int{256, 1024},
	Publishers: 192,
	Start:      func(env harness.Env) (harness.Mesh, error) { return startTidings(env, tidingsOptions{durable: true}) },
}

// The same with the outbox: who publishes does not wait for the sync.
var tidingsQueue = harness.Spec{
	Name:       "tidings-queue",
	Durable:    "nothing when Enqueue returns; synced at the publisher before it is sent",
	Loss:       "none of what is acknowledged",
	Synced:     true,
	Windows:    []int{256, 1024},
	Publishers: 192,
	Start: func(env harness.Env) (harness.Mesh, error) {
		return startTidings(env, tidingsOptions{durable: true, queue: true})
	},
}

// The same without data directories.
var tidingsMemory = harness.Spec{
	Name:       "tidings-mem",
	Durable:    "nothing",
	Loss:       "none while one node lives",
	Windows:    []int{256},
	Publishers: 192,
	Start:      func(env harness.Env) (harness.Mesh, error) { return startTidings(env, tidingsOptions{}) },
}

// Subjects that all nodes write, each a member of its own: as orders, of which the
// warehouse, the fleet and the payments speak.
var tidingsShared = harness.Spec{
	Name:       "tidings-shared",
	Durable:    tidingsDisk.Durable,
	Loss:       "none",
	Synced:     true,
	Windows:    []int{256, 1024},
	Publishers: 192,
	Start: func(env harness.Env) (harness.Mesh, error) {
		return startTidings(env, tidingsOptions{durable: true, shared: true})
	},
}

// The same with the outbox.
var tidingsSharedQueue = harness.Spec{
	Name:       "tidings-shared-queue",
	Durable:    tidingsQueue.Durable,
	Loss:       "none of what is acknowledged",
	Synced:     true,
	Windows:    []int{256, 1024},
	Publishers: 192,
	Start: func(env harness.Env) (harness.Mesh, error) {
		return startTidings(env, tidingsOptions{durable: true, queue: true, shared: true})
	},
}

// subjectsPerNode is how many subjects there are for each node, which are written in
// turn. Each has one writer, unless they are shared: then all write all of them.
const subjectsPerNode = 16

type tidingsOptions struct{ durable, queue, shared bool }

type tidingsMesh struct {
	tidingsOptions
	ctx      context.Context
	stop     context.CancelFunc
	nodes    []*node.Node
	metrics  []*prometheus.Registry
	subjects [][]string
	turn     []atomic.Uint64
	cpu      time.Duration // of the process, when the mesh was whole
	feeds    sync.WaitGroup
}

func startTidings(env harness.Env, o tidingsOptions) (harness.Mesh, error) {
	ctx, stop := context.WithCancel(context.Background())
	m := &tidingsMesh{tidingsOptions: o, ctx: ctx, stop: stop, turn: make([]atomic.Uint64, env.N)}
	if err := m.open(env); err != nil {
		m.Close()
		return nil, err
	}
	m.cpu = harness.CPUTime()
	for i, n := range m.nodes {
		m.feeds.Go(func() { m.follow(i, n, env.Deliver) })
	}
	return m, nil
}

// open starts the nodes, one after the other as a fleet would not: all of them
// join through the first.
func (m *tidingsMesh) open(env harness.Env) error {
	var join []string
	for i := range env.N {
		name := fmt.Sprintf("bench-%02d", i)
		c := node.Config{Name: name, Authority: fmt.Sprintf("service-%02d", i), Bind: "127.0.0.1:0", Join: join}
		if m.durable {
			c.DataDir = filepath.Join(env.Dir, name)
		}
		registry := prometheus.NewRegistry()
		c.Metrics = registry
		n, err := node.Open(m.ctx, c)
		if err != nil {
			return fmt.Errorf("open node %d: %w", i, err)
		}
		m.nodes, m.metrics = append(m.nodes, n), append(m.metrics, registry)
		if i == 0 {
			join = []string{n.Addr()}
		}
		m.subjects = append(m.subjects, m.subjectsOf(i, env.N))
	}
	if err := waitFor(30*time.Second, func() bool { return m.missing() == "" }); err != nil {
		return fmt.Errorf("%w: %s", err, m.missing())
	}
	return nil
}

// subjectsOf are the subjects that node i of n writes. Shared ones each node begins at
// another place.
func (m *tidingsMesh) subjectsOf(i, n int) (subjects []string) {
	first, number := i*subjectsPerNode, subjectsPerNode
	if m.shared {
		number *= n
	}
	for s := range number {
		s = (first + s) % (n * subjectsPerNode)
		subjects = append(subjects, fmt.Sprintf("status/%02d/%02d", s/subjectsPerNode, s%subjectsPerNode))
	}
	return subjects
}

// missing says what the mesh still lacks to be whole, empty if nothing.
func (m *tidingsMesh) missing() string {
	for i, n := range m.nodes {
		if r := n.Readiness(); !r.Ready {
			return fmt.Sprintf("node %d is not ready: %s", i, r.Reason)
		}
		if got := alive(n); got != len(m.nodes) {
			return fmt.Sprintf("node %d sees %d of %d members", i, got, len(m.nodes))
		}
	}
	return ""
}

// alive is how many members a node sees alive, itself included.
func alive(n *node.Node) int {
	count := 0
	for _, member := range n.Mesh().Members {
		if member.Status == gossip.StatusAlive.String() {
			count++
		}
	}
	return count
}

// follow consumes a node's feed.
func (m *tidingsMesh) follow(i int, n *node.Node, deliver harness.Deliver) {
	for batch, err := range n.Changes(m.ctx) {
		if err != nil {
			if m.ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "feed of node %d: %v\n", i, err)
			}
			return
		}
		for _, u := range batch.Updates {
			payload := []byte(u.Delta)
			if m.shared {
				payload = payload[bytes.IndexByte(payload, ':')+1 : len(payload)-1]
			}
			deliver(i, payload)
		}
	}
}

func (m *tidingsMesh) Publish(i int, payload []byte) error {
	turn := m.turn[i].Add(1)
	draft := node.Draft{Subject: m.subjects[i][turn%uint64(len(m.subjects[i]))], Delta: payload}
	if m.shared {
		draft.Delta = fmt.Appendf(nil, `{"service-%02d":%s}`, i, payload)
	}
	if m.queue {
		_, err := m.nodes[i].Enqueue(m.ctx, draft)
		if !errors.Is(err, node.ErrBusy) {
			return err
		}
		// The outbox is full: wait for room as Publish does.
	}
	_, err := m.nodes[i].Publish(m.ctx, draft)
	return err
}

func (m *tidingsMesh) Close() {
	m.stop()
	m.feeds.Wait()
	var closing sync.WaitGroup
	for _, n := range m.nodes {
		closing.Go(func() {
			if err := n.Close(); err != nil {
				fmt.Fprintln(os.Stderr, "close:", err)
			}
		})
	}
	closing.Wait()
}

// waitFor polls until ok, or fails after limit.
func waitFor(limit time.Duration, ok func() bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return nil
		}
	}
	return fmt.Errorf("the mesh did not form within %v", limit)
}
