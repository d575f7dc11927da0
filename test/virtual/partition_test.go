package virtual

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/node"
)

// healing is what the mesh may take to converge after faults.
const healing = 10 * time.Second

// rejoining is when all see all alive. Now and then a node does not hear by gossip
// of one that came, and learns of it from memberlist's next exchange of members,
// each 30 s from a random start; streams are open before.
const rejoining = 90 * time.Second

// unheard is when a node must no longer say that it is converged, once it hears
// from most others no more.
const unheard = 4 * time.Second

// A mesh in two parts goes on in both. The smaller one says all the while that it
// is not converged; once the parts meet again, they become one.
func TestPartition(t *testing.T) {
	for _, c := range []struct {
		name    string
		disk    bool
		every   time.Duration // a node publishes
		updates int           // at least, meanwhile
	}{{"memory", false, time.Second, 500}, {"disk", true, 5 * time.Second, 100}} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				nodes := w.mesh(5, func(cfg *node.Config) {
					if c.disk {
						w.onDisk(cfg)
					}
				})
				minority, majority := nodes[:2], nodes[2:]
				b, reader := newBooks(), newConsumer(nodes...)
				produced, followed, readBack := b.produce(w, c.every, nodes...), reader.follow(w), b.readBack(w, nodes...)
				time.Sleep(2 * time.Second)

				w.setPath(between(minority, majority))
				cut, before, converged := time.Now(), b.count(), 0
				time.Sleep(unheard)
				for ; time.Since(cut) < 2*time.Minute; time.Sleep(100 * time.Millisecond) {
					for _, m := range minority {
						require.False(t, m.mesh().Converged, "%s has 2 of 5", m.Name())
					}
					for _, m := range majority {
						if m.mesh().Converged {
							converged++
						}
					}
				}
				require.True(t, membersAlive(minority...) && membersAlive(majority...), "each part sees itself")
				require.Positive(t, converged, "3 of 5 are the majority")
				require.NotEqual(t, nodes[0].mesh().Root, nodes[4].mesh().Root)

				w.setPath(nil)
				healed, published := time.Now(), b.count()-before
				time.Sleep(time.Second)
				produced()
				w.settle(healing-time.Since(healed), nodes...)
				took := time.Since(healed)
				w.within(rejoining, "all see all", func() bool { return membersAlive(nodes...) })
				whole := time.Since(healed)
				followed()
				readBack()
				reader.finish(w, b)
				w.same(b, nodes...)
				require.Greater(t, published, c.updates)
				require.Positive(t, reader.behind, "the consumer went from one part to the other")
				require.Positive(t, b.read)
				require.Positive(t, b.notYet, "what the other part has is not there")
				t.Logf("%d updates in both parts; converged %s, all see all %s after it healed; %d answers of the feed were behind, %d of %d reads not yet",
					published, took, whole, reader.behind, b.notYet, b.notYet+b.read)
			})
		})
	}
}

// between is a path that is cut between two parts.
func between(one, other []*member) path {
	part := map[netip.AddrPort]int{}
	for i, p := range [][]*member{one, other} {
		for _, m := range p {
			part[m.addr] = i + 1
		}
	}
	return func(from, to netip.AddrPort) (time.Duration, bool) { return 0, part[from] == part[to] }
}

// slow is a path that takes its time.
func slow(d time.Duration) path {
	return func(_, _ netip.AddrPort) (time.Duration, bool) { return d, true }
}

// jitter is a path that takes some milliseconds.
func jitter(rng *dice) path {
	return func(_, _ netip.AddrPort) (time.Duration, bool) {
		return time.Millisecond + rng.upTo(4*time.Millisecond), true
	}
}

// membersAlive reports whether each of the nodes sees all of them alive.
func membersAlive(nodes ...*member) bool {
	for _, m := range nodes {
		if len(m.alive()) != len(nodes) {
			return false
		}
	}
	return true
}

// A network that fails in one way or another for a while costs no update and no
// order, and once it is well again the mesh converges.
func TestFaultyNetworks(t *testing.T) {
	for _, fault := range []struct {
		name string
		path func(nodes []*member, rng *dice) path
	}{
		{"nothing from one node to the others", func(nodes []*member, _ *dice) path {
			return func(from, _ netip.AddrPort) (time.Duration, bool) { return 0, from != nodes[1].addr }
		}},
		{"nothing to one node from the others", func(nodes []*member, _ *dice) path {
			return func(_, to netip.AddrPort) (time.Duration, bool) { return 0, to != nodes[3].addr }
		}},
		{"one pair, one way", func(nodes []*member, _ *dice) path {
			return func(from, to netip.AddrPort) (time.Duration, bool) {
				return 0, from != nodes[0].addr || to != nodes[4].addr
			}
		}},
		{"one part to the other, one way", func(nodes []*member, _ *dice) path {
			low := map[netip.AddrPort]bool{nodes[0].addr: true, nodes[1].addr: true}
			return func(from, to netip.AddrPort) (time.Duration, bool) { return 0, !low[from] || low[to] }
		}},
		{"30 % lost", func(_ []*member, rng *dice) path {
			return func(_, _ netip.AddrPort) (time.Duration, bool) { return 0, !rng.under(0.3) }
		}},
		{"30 % lost, and delays up to 200 ms that reorder", func(_ []*member, rng *dice) path {
			return func(_, _ netip.AddrPort) (time.Duration, bool) {
				return rng.upTo(200 * time.Millisecond), !rng.under(0.3)
			}
		}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				nodes := w.mesh(5)
				b, c := newBooks(), newConsumer(nodes...)
				produced, followed := b.produce(w, 500*time.Millisecond, nodes...), c.follow(w)
				readBack := b.readBack(w, nodes...)
				time.Sleep(time.Second)
				w.setPath(fault.path(nodes, newDice(t)))
				time.Sleep(40 * time.Second)
				w.setPath(nil)
				healed := time.Now()
				time.Sleep(time.Second)
				produced()
				w.settle(healing-time.Since(healed), nodes...)
				took := time.Since(healed)
				w.within(rejoining, "all see all", func() bool { return membersAlive(nodes...) })
				whole := time.Since(healed)
				followed()
				readBack()
				require.Positive(t, b.read)
				c.finish(w, b)
				w.same(b, nodes...)
				require.Greater(t, len(b.acked), 300)
				t.Logf("%d updates; converged %s, all see all %s after it healed; %d answers of the feed were behind", len(b.acked), took, whole, c.behind)
			})
		})
	}
}

// Connections that break again and again cost no update.
func TestResets(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		nodes := w.mesh(5)
		b, c := newBooks(), newConsumer(nodes...)
		produced, followed := b.produce(w, 200*time.Millisecond, nodes...), c.follow(w)
		rng := newDice(t)
		for range 100 {
			time.Sleep(rng.upTo(600 * time.Millisecond))
			w.net.Reset(func(_, _ netip.AddrPort) bool { return rng.under(0.3) })
		}
		produced()
		took := w.settle(healing, nodes...)
		followed()
		c.finish(w, b)
		w.same(b, nodes...)
		t.Logf("%d updates; converged %s after the last", len(b.acked), took)
	})
}

// dice are the network's, from a seed that a failing test shows.
type dice struct {
	mu  sync.Mutex // protects rng
	rng *rand.Rand
}

func newDice(t *testing.T) *dice {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return &dice{rng: rand.New(rand.NewPCG(seed, 0))}
}

func (d *dice) under(p float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.Float64() < p
}

func (d *dice) upTo(most time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Duration(d.rng.Int64N(int64(most)))
}
