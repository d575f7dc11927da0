package store_test

import (
	"fmt"
	"testing"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
)

// BenchmarkCommit writes batches of 64 updates, each a new key of 300 bytes
// and one of 1,000 that are written over, as a writer loop does.
func BenchmarkCommit(b *testing.B) {
	run := func(b *testing.B, s chain.Store, sync bool) {
		defer s.Close()
		value := valueOf(5)[:300]
		var batch chain.Batch
		n := 0
		for b.Loop() {
			batch.Reset()
			for range 64 {
				n++
				batch.Set(fmt.Appendf(nil, "log/%012d", n), value)
				batch.Set(fmt.Appendf(nil, "state/%06d", n*7919%1000), value)
			}
			if err := s.Commit(&batch, sync); err != nil {
				b.Fatal(err)
			}
			if n%640 == 0 { // a reader's snapshot now and then
				it := s.Scan([]byte("log/"), nil)
				it.Last()
				if err := it.Close(); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "updates/s")
	}
	b.Run("memory", func(b *testing.B) { run(b, store.Memory(), false) })
	for _, sync := range []bool{false, true} {
		b.Run(fmt.Sprintf("disk sync=%v", sync), func(b *testing.B) {
			s, err := store.OpenPebble(b.TempDir(), store.Options{})
			if err != nil {
				b.Fatal(err)
			}
			run(b, s, sync)
		})
	}
}

// BenchmarkMark writes the note of a mesh of so many chains, as a node does up to
// ten times a second while heads move: synced, on the disk of the temporary
// directory.
func BenchmarkMark(b *testing.B) {
	for _, chains := range []int{3, 32, 1000} {
		b.Run(fmt.Sprintf("chains=%d", chains), func(b *testing.B) {
			s, err := store.OpenPebble(b.TempDir(), store.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			note := make([]byte, 56*chains)
			for b.Loop() {
				note[0]++
				if err := s.Mark(note); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
