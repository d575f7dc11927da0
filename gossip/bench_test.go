package gossip_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidings-mesh/tidings/gossip"
)

// BenchmarkFanOut publishes runs on one of several nodes of a hub, as fast as
// all of them take what was published before. The ledger is trivial, so this is
// gossip's own share: framing, verification, the engine, goroutines.
func BenchmarkFanOut(b *testing.B) {
	for _, count := range []int{3, 16} {
		for _, updates := range []int{1, 64} {
			b.Run(fmt.Sprintf("nodes=%d/updates=%d", count, updates), func(b *testing.B) {
				hub := gossip.NewHub()
				var nodes []*memLedger
				for i := range count {
					l := newMemLedger(i)
					l.onHub(b, hub)
					nodes = append(nodes, l)
					defer func() { l.x.Close() }()
				}
				origin := nodes[0].origin
				nodes[0].publish(1, false)
				reached := func() bool {
					for _, l := range nodes {
						if l.has(origin) < nodes[0].has(origin) {
							return false
						}
					}
					return true
				}
				for !reached() {
					time.Sleep(time.Millisecond)
				}
				b.ResetTimer()
				for range b.N {
					nodes[0].publish(updates, false)
				}
				for !reached() {
					time.Sleep(100 * time.Microsecond)
				}
				b.ReportMetric(float64(b.N*updates)/b.Elapsed().Seconds(), "updates/s")
			})
		}
	}
}
