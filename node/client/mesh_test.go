package client

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

// real is a mesh of real nodes, whose HTTP interfaces are servers of a web.
type real struct {
	*web
	net  *gossip.MemNetwork
	keys gossip.MeshKeys
	wg   sync.WaitGroup

	mu     sync.Mutex // protects what follows
	nodes  map[string]*node.Node
	stops  map[string]func()
	acked  map[chain.ID]bool
	number int
}

// settling is how long what memberlist leaves behind may take to end.
const settling = time.Minute

// inMesh runs a test on a mesh in virtual time.
func inMesh(t *testing.T, test func(t *testing.T, m *real)) {
	inBubble(t, func(t *testing.T, w *web) {
		m := &real{
			web: w, net: gossip.NewMemNetwork(), keys: gossip.NewMeshKey(),
			nodes: map[string]*node.Node{}, stops: map[string]func(){}, acked: map[chain.ID]bool{},
		}
		w.finally(func() { time.Sleep(settling) })
		w.finally(func() {
			m.net.SetPath(nil)
			for name := range m.nodes {
				m.close(name)
			}
			m.wg.Wait()
		})
		test(t, m)
	})
}

func addressOf(name string) string { return fmt.Sprintf("127.0.0.%d:7946", name[0]-'a'+1) }

// open opens a node, named by one letter, that joins "a", and serves it.
func (m *real) open(name string) {
	m.t.Helper()
	c := node.Config{Name: name, Authority: "of-" + name, Bind: addressOf(name), Network: m.net, MeshKeys: m.keys}
	if name != "a" {
		c.Join = []string{addressOf("a")}
	} else {
		c.Join = []string{addressOf("b")}
	}
	n, err := node.Open(m.t.Context(), c)
	require.NoError(m.t, err)
	stop := m.serve(name, n.Handler())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes[name], m.stops[name] = n, stop
}

// close lets nobody publish at a node any more, which keeps all in memory, then
// cuts its connections and closes it.
func (m *real) close(name string) {
	m.mu.Lock()
	n, stop := m.nodes[name], m.stops[name]
	delete(m.nodes, name)
	m.mu.Unlock()
	time.Sleep(time.Second)
	stop()
	if err := n.Close(); err != nil {
		m.t.Errorf("close %s: %v", name, err)
	}
}

// openAll opens several at once, and waits until they have found each other.
func (m *real) openAll(names ...string) {
	m.t.Helper()
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() { m.open(name) })
	}
	wg.Wait()
	require.Eventually(m.t, func() bool { return m.agree(len(names)) }, time.Minute, 100*time.Millisecond)
}

// agree reports whether that many nodes are open, see each other, and have the same.
func (m *real) agree(want int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	roots := map[chain.Hash]bool{}
	for _, n := range m.nodes {
		p := n.Mesh()
		alive := 0
		for _, member := range p.Members {
			if member.Status == "alive" {
				alive++
			}
		}
		if !p.Converged || alive != want {
			return false
		}
		roots[p.Root] = true
	}
	return len(m.nodes) == want && len(roots) == 1
}

// publish appends to a subject at a node, if that is open and takes it.
func (m *real) publish(ctx context.Context, name, subject string) {
	m.mu.Lock()
	n := m.nodes[name]
	m.number++
	delta := fmt.Sprintf(`{%q:%d,"last":%q}`, "by_"+name, m.number, name)
	m.mu.Unlock()
	if n == nil {
		return
	}
	id, err := n.Publish(ctx, node.Draft{Subject: subject, Delta: json.RawMessage(delta)})
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked[id] = true
}

// produce publishes at each of these nodes, every so often, until the context ends.
func (m *real) produce(ctx context.Context, names ...string) {
	for _, name := range names {
		m.wg.Go(func() {
			for i := 0; sleep(ctx, 200*time.Millisecond+rand.N(200*time.Millisecond)) == nil; i++ {
				m.publish(ctx, name, fmt.Sprintf("order/%d", i%5))
			}
		})
	}
}

// books checks what a consumer gets: C3, and C6 by each chain's seqs.
type books struct {
	faults []string
	seen   chain.Frontier
	got    map[chain.ID]bool
}

func newBooks() *books { return &books{seen: chain.Frontier{}, got: map[chain.ID]bool{}} }

func (b *books) take(u *Update) {
	if want := max(b.seen[u.ID.Origin]+1, 2); u.ID.Seq != want { // seq 1 is the genesis, in no feed
		b.faults = append(b.faults, fmt.Sprintf("%s came where seq %d was next", u.ID, want))
	}
	for _, d := range u.Deps {
		if b.seen[d.Origin] < d.Seq {
			b.faults = append(b.faults, fmt.Sprintf("%s came before %s", u.ID, d))
		}
	}
	b.seen[u.ID.Origin] = u.ID.Seq
	b.got[u.ID] = true
}

// What a feed does wrong, the books find.
func TestBooksFindFaults(t *testing.T) {
	a, b := chain.Origin{1}, chain.Origin{2}
	update := func(o chain.Origin, seq chain.Seq, deps ...chain.ID) *Update {
		return &Update{ID: chain.ID{Origin: o, Seq: seq}, Deps: deps}
	}
	first := chain.ID{Origin: a, Seq: 2}
	for name, c := range map[string]struct {
		updates []*Update
		faults  int
	}{
		"right":        {[]*Update{update(a, 2), update(b, 2, first), update(a, 3)}, 0},
		"repeated":     {[]*Update{update(a, 2), update(a, 2)}, 1},
		"skipped":      {[]*Update{update(a, 2), update(a, 4)}, 1},
		"back":         {[]*Update{update(a, 2), update(a, 3), update(a, 2)}, 1},
		"out of order": {[]*Update{update(b, 2, first), update(a, 2)}, 1},
	} {
		books := newBooks()
		for _, u := range c.updates {
			books.take(u)
		}
		require.Len(t, books.faults, c.faults, name)
	}
}

// A consumer follows three nodes under writes, while they hang, are cut off from
// each other, closed, and replaced. Nothing is lost, repeated, or out of causal order; what
// it rolls up is what the nodes show; and a second consumer that restarts all the
// time from its store gets the same.
func TestConsumersOutlastTheNodes(t *testing.T) {
	inMesh(t, func(t *testing.T, m *real) {
		m.openAll("a", "b", "c")
		writing, stop := context.WithCancel(t.Context())
		defer stop()
		m.produce(writing, "a", "b", "c")

		heard := &events{}
		c := m.client(func(cfg *Config) { cfg.Notify, cfg.Timeout = heard.keep, 2*time.Second }, "a", "c", "b")
		following, leave := context.WithCancel(t.Context())
		defer leave()
		steady, restless := newBooks(), newBooks()
		roll := c.Rollup()
		m.wg.Go(func() {
			for b, err := range c.Changes(following, Prefix("order"), Hold(5*time.Second)) {
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := roll.Take(following, b); err != nil && following.Err() == nil {
					t.Error(err)
					return
				}
				for i := range b.Updates {
					steady.take(&b.Updates[i])
				}
			}
		})
		place := &memory{}
		m.wg.Go(func() {
			for following.Err() == nil {
				c := m.client(func(cfg *Config) { cfg.InOrder = false }, "a", "b", "c")
				life, end := context.WithTimeout(following, 500*time.Millisecond+rand.N(2*time.Second))
				for b, err := range c.Changes(life, Keep(place), Limit(1+rand.IntN(20)), Every(200*time.Millisecond)) {
					if err != nil {
						t.Error(err)
						break
					}
					for i := range b.Updates {
						restless.take(&b.Updates[i])
					}
				}
				end()
				c.Close()
			}
		})
		views, last := 0, &View{}
		m.wg.Go(func() {
			for v, err := range c.Follow(following, "order/1", CompareEvery(2*time.Second)) {
				if err != nil {
					t.Error(err)
					return
				}
				views, last = views+1, v
			}
		})

		time.Sleep(2 * time.Second)
		// c is cut off from the others. Then a, where the first consumer is, hangs: it
		// goes to c, which is behind its cursor, and leaves that for b. With what c gave
		// it, b is behind too.
		m.net.SetPath(func(from, to netip.AddrPort) (time.Duration, bool) {
			cut := netip.MustParseAddrPort(addressOf("c")).Addr()
			return 0, (from.Addr() == cut) == (to.Addr() == cut)
		})
		time.Sleep(time.Second)
		m.stall("a", 20*time.Second)
		require.Positive(t, heard.count(EndpointLagging))
		m.net.SetPath(nil)
		time.Sleep(2 * time.Second)
		// b goes, and comes back under its name with a new origin.
		m.close("b")
		time.Sleep(2 * time.Second)
		m.open("b")
		m.open("d")
		time.Sleep(2 * time.Second)
		stop()
		require.Eventually(t, func() bool { return m.agree(4) }, 2*time.Minute, 100*time.Millisecond)
		time.Sleep(20 * time.Second)
		leave()
		m.wg.Wait()

		for name, b := range map[string]*books{"steady": steady, "restless": restless} {
			require.Empty(t, b.faults, name)
			for id := range m.acked {
				if !b.got[id] {
					t.Errorf("%s lost %s", name, id)
				}
			}
		}
		require.Greater(t, len(m.acked), 200)
		require.Greater(t, views, 5)
		require.Positive(t, heard.count(EndpointDown))
		require.Zero(t, heard.count(RollupDiverged))
		for i := range 5 {
			subject := fmt.Sprintf("order/%d", i)
			want, err := m.client(nil, "d").View(t.Context(), subject)
			require.NoError(t, err)
			v, err := roll.View(subject)
			require.NoError(t, err)
			require.Equal(t, string(want.Raw), string(v.Raw))
			if i == 1 {
				require.Equal(t, string(want.Raw), string(last.Raw))
			}
		}
		t.Logf("%d updates, %d views; endpoints failed %d times, were left for lag %d times; no endpoint answered %d times",
			len(m.acked), views, heard.count(EndpointDown), heard.count(EndpointLagging), heard.count(NoneAnswers))
	})
}

// stall lets a node's HTTP interface take requests, and not answer, for a while.
func (m *real) stall(name string, d time.Duration) {
	m.mu.Lock()
	n, stop := m.nodes[name], m.stops[name]
	m.mu.Unlock()
	stop()
	hung := m.serve(name, http.HandlerFunc(hangs))
	time.Sleep(d)
	hung()
	again := m.serve(name, n.Handler())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stops[name] = again
}
