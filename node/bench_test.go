package node_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/tidings-mesh/tidings/node"
)

// Publish by Go call: updates of 256 bytes over 1,000 subjects.
func BenchmarkPublish(b *testing.B) {
	for _, home := range []string{"memory", "disk"} {
		for _, callers := range []int{1, 64, 512} {
			b.Run(home+"/callers="+strconv.Itoa(callers), func(b *testing.B) {
				c := node.Config{Name: "wh-1"}
				if home == "disk" {
					c.DataDir = b.TempDir()
				}
				n, err := node.Open(b.Context(), c)
				if err != nil {
					b.Fatal(err)
				}
				defer n.Close()
				pad := make([]byte, 200)
				for i := range pad {
					pad[i] = byte('a' + i%26)
				}
				var next atomic.Int64
				b.ReportAllocs()
				b.SetParallelism(max(1, callers/2))
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						i := strconv.FormatInt(next.Add(1), 10)
						d := draft("order/"+i[max(0, len(i)-3):], `{"state":"`+string(pad)+`","n":`+i+`}`)
						if _, err := n.Publish(context.Background(), d); err != nil {
							b.Fatal(err)
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
			})
		}
	}
}
