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

// Sets of a state that does not change: alone, and where other subjects change
// all the time, so that what the authority says has to be looked up.
func BenchmarkTrackNoOp(b *testing.B) {
	for _, busy := range []bool{false, true} {
		name := "idle"
		if busy {
			name = "busy"
		}
		b.Run(name, func(b *testing.B) {
			n, err := node.Open(b.Context(), node.Config{Name: "wh-1"})
			if err != nil {
				b.Fatal(err)
			}
			defer n.Close()
			o := node.TrackOf[order](n, "order/1")
			state := order{State: "picked", Shelf: "B7", Items: map[string]int{"lamp": 1, "desk": 2}, Price: "49.90"}
			if err := o.Set(b.Context(), state); err != nil {
				b.Fatal(err)
			}
			quiet := n.Mesh().Store.Updates
			stock := node.TrackOf[map[string]int](n, "stock/1")
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if busy {
					b.StopTimer()
					if err := stock.Set(b.Context(), map[string]int{"n": i}); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				if err := o.Set(b.Context(), state); err != nil {
					b.Fatal(err)
				}
			}
			if !busy && n.Mesh().Store.Updates != quiet {
				b.Fatal("nothing changed, and yet it was published")
			}
		})
	}
}
