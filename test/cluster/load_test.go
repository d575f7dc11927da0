package cluster

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	soakFor = flag.Duration("soak", 0, "how long TestSoak goes on; 0 leaves it out")
	updates = flag.Int("updates", 1500, "how many updates a mesh of five gets while a fault lasts")
	killed  = flag.Int("kills", 50, "how often TestFaultsOfProcesses kills an agent of five")
	held    = flag.Duration("hold", 2*time.Second, "how long a fault of the network, or a pause, lasts")
)

// convergenceBound is how soon after a fault a mesh of five must have one root.
const convergenceBound = 10 * time.Second

// mesh is five agents in a network, under load all the while: a producer on
// each, consumers that move one cursor from node to node, and readers.
type mesh struct {
	*network
	history
	producers []*producer
	consumers []*consumer
	readers   []*reader

	stop func() // ends the consumers and readers, and waits for them

	rounds        int
	droppedBefore int
	paused        []int
	backup        string // of a data directory
}

var authorities = []string{"warehouse", "fleet", "payments", "returns", "customs"}

// newMesh starts five agents and those who read from them. prepare may change
// an agent before it runs.
func newMesh(t *testing.T, prepare func(i int, a *agent)) *mesh {
	t.Helper()
	m := &mesh{network: newNetwork(t), history: history{gone: map[string]bool{}}}
	for i, authority := range authorities {
		a := m.agent(authority+"-1", authority)
		if prepare != nil {
			prepare(i, a)
		}
		a.run()
		m.producers = append(m.producers, newProducer(a))
	}
	converged(t, 30*time.Second, m.agents...)
	m.follow()
	return m
}

// follow starts consumers and readers, which go on until stop.
func (m *mesh) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	all, filtered := newConsumer(m.agents...), newConsumer(m.agents...)
	filtered.prefix = "order/a"
	m.consumers = []*consumer{all, filtered, newConsumer(m.agents[0]), newConsumer(m.agents[1:]...)}
	for _, c := range m.consumers {
		wg.Go(func() { c.follow(ctx) })
	}
	m.readers = []*reader{{agents: m.agents, producers: m.producers}}
	for _, r := range m.readers {
		wg.Go(func() { r.follow(ctx) })
	}
	m.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	m.t.Cleanup(m.stop)
}

// suffer publishes on all nodes as long as a fault lasts, and returns once the
// mesh has converged after it. The fault lasts until n updates were tried, but
// not for more than three times as long as it is meant to: a slow machine, or a
// node that accepts none, makes them fewer.
func (m *mesh) suffer(f fault, n int, hold time.Duration) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(m.t.Context())
	defer cancel()
	m.rounds++
	var wg sync.WaitGroup
	before := m.tried()
	each := max(1, n/len(m.producers))
	over, from := make(chan struct{}), time.Now()
	for i, p := range m.producers {
		if slices.Contains(f.silent, i) {
			continue
		}
		p.pace, p.until = hold/time.Duration(each), over
		label := fmt.Sprintf("order/%c/%d", "ab"[m.rounds%2], m.rounds)
		wg.Go(func() { p.publish(ctx, m.t, 4, each, label) })
	}
	f.hurt(m, hold)
	for time.Since(from) < hold || (m.tried()-before < n && time.Since(from) < 3*hold) {
		time.Sleep(10 * time.Millisecond)
	}
	close(over)
	f.heal(m)
	began := time.Now()
	stuck := time.AfterFunc(6*convergenceBound, cancel)
	wg.Wait()
	stuck.Stop()
	answered := time.Since(began).Round(time.Millisecond)
	require.NoError(m.t, ctx.Err())
	n = m.tried() - before
	require.Positive(m.t, n)
	converged(m.t, 5*convergenceBound, m.agents...)
	took := time.Since(began).Round(time.Millisecond)
	m.healed = append(m.healed, healing{fault: f.name, took: took, bound: convergenceBound})
	did, err := f.bit(m)
	require.NoError(m.t, err, f.name)
	m.t.Logf("%s: %d updates meanwhile, all acknowledged after %s, converged after %s; %s", f.name, n, answered, took, did)
	figures.add(f.name, n, took)
}

// tried counts what was published, acknowledged or not.
func (m *mesh) tried() (n int) {
	for _, p := range m.producers {
		p.mu.Lock()
		n += len(p.items)
		p.mu.Unlock()
	}
	return n
}

// acknowledged counts what was acknowledged, by producer.
func (m *mesh) acknowledged() (n []int) {
	for _, p := range m.producers {
		n = append(n, len(p.acked()))
	}
	return n
}

// check ends the load, reads what every node holds, and checks the books.
func (m *mesh) check() {
	m.t.Helper()
	m.close()
	require.Empty(m.t, m.faults())
	answered := 0
	for _, r := range m.reads {
		if r.contains {
			answered++
		}
	}
	require.NotZero(m.t, answered, "no read was answered")
	m.t.Logf("%d updates tried, %d held by each of %d nodes; %d reads, %d answered",
		len(m.items), len(m.copies[0].feed), len(m.copies), len(m.reads), answered)
}

// close ends the load and the books.
func (m *mesh) close() {
	m.t.Helper()
	m.stop()
	converged(m.t, convergenceBound, m.agents...)
	for _, c := range m.consumers {
		c.gone = m.gone
		c.drain(m.t)
		m.streams = append(m.streams, c.stream(true))
	}
	for _, r := range m.readers {
		m.reads = append(m.reads, r.reads...)
	}
	m.take(m.producers...)
	for _, a := range m.agents {
		m.copies = append(m.copies, copyOf(m.t, a))
		m.command("verify", "--endpoints", a.url(""))
	}
}

// tally is what all rounds of one fault come to.
type tally struct {
	rounds, updates int
	longest         time.Duration
}

type tallies struct {
	mu sync.Mutex
	of map[string]tally
}

var figures = tallies{of: map[string]tally{}}

// report gives a line for each fault.
func (f *tallies) report(t *testing.T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range slices.Sorted(maps.Keys(f.of)) {
		x := f.of[fault]
		t.Logf("%-28s %4d rounds, %8d updates, converged within %s", fault, x.rounds, x.updates, x.longest)
	}
}

func (f *tallies) add(fault string, updates int, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.of[fault]
	f.of[fault] = tally{rounds: x.rounds + 1, updates: x.updates + updates, longest: max(x.longest, took)}
}
