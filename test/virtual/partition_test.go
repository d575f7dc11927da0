package virtual

import (
	"fmt"
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

// A mesh in two parts goes on in both. The smaller one says all the while that it
// is not converged; once the parts meet again, they become one.
func TestPartition(t *testing.T) {
	for _, disk := range []bool{false, true} {
		t.Run(fmt.Sprintf("disk=%v", disk), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				nodes := w.mesh(5, func(c *node.Config) {
					if disk {
						w.onDisk(c)
					}
				})
				minority, majority := nodes[:2], nodes[2:]
				b, c := newBooks(), newConsumer(nodes...)
				produced, followed := b.produce(w, time.Second, nodes...), c.follow(w)
				readBack := b.readBack(w, nodes...)
				time.Sleep(2 * time.Second)

				w.setPath(between(minority, majority))
				w.within(10*time.Second, "both parts have seen it", func() bool {
					return len(nodes[0].alive()) == 2 && len(nodes[1].alive()) == 2 &&
						len(nodes[2].alive()) == 3 && len(nodes[3].alive()) == 3 && len(nodes[4].alive()) == 3
				})
				before := len(b.acked)
				converged := 0
				for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
					for _, m := range minority {
						require.False(t, m.mesh().Converged, "%s has 2 of 5", m.Name())
					}
					for _, m := range majority {
						if m.mesh().Converged {
							converged++
						}
					}
				}
				require.Positive(t, converged, "3 of 5 are the majority")
				require.NotEqual(t, nodes[0].mesh().Root, nodes[4].mesh().Root)
				require.Positive(t, c.behind, "the consumer went from one part to the other")

				w.setPath(nil)
				published := len(b.acked) - before
				whole := w.within(healing, "all see all", func() bool { return membersAlive(nodes...) })
				produced()
				took := whole + w.settle(healing-whole, nodes...)
				followed()
				readBack()
				require.Positive(t, b.read)
				c.finish(w, b)
				w.same(b, nodes...)
				require.Greater(t, published, 300)
				require.Positive(t, b.notYet, "an update of the other part is not there")
				t.Logf("%d updates in both parts; one mesh %s and converged %s after it healed; %d answers of the feed were behind", published, whole, took, c.behind)
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

// A network that fails in one way or another for a minute costs no update and no
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
				produced, followed := b.produce(w, 400*time.Millisecond, nodes...), c.follow(w)
				readBack := b.readBack(w, nodes...)
				time.Sleep(time.Second)
				w.setPath(fault.path(nodes, newDice(t)))
				time.Sleep(time.Minute)
				w.setPath(nil)
				healed := time.Now()
				w.within(healing, "all see all", func() bool { return membersAlive(nodes...) })
				produced()
				w.settle(healing-time.Since(healed), nodes...)
				took := time.Since(healed)
				followed()
				readBack()
				require.Positive(t, b.read)
				c.finish(w, b)
				w.same(b, nodes...)
				require.Greater(t, len(b.acked), 500)
				t.Logf("%d updates; converged %s after it healed; %d answers of the feed were behind", len(b.acked), took, c.behind)
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
