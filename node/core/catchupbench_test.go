package core_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/node/core"
)

// BenchmarkCatchUp is an empty node on disk that takes in one long chain, but for the
// network: 200,000 updates of 256 bytes over 20,000 subjects, in runs of 256.
// "cpu-ns/update" is processor time with that of the collector and the store.
func BenchmarkCatchUp(b *testing.B) {
	const total, subjects, size = 200_000, 20_000, 256
	key := keyOf(10)
	peer, err := chain.NewLedger(store.Memory(), chain.Config{Key: key, Node: "p", Authority: "p"}, 0)
	require.NoError(b, err)
	var encoded [][]byte
	pad := fmt.Sprintf("%0216d", 7)
	for i := range total {
		p, err := chain.Prepare(chain.Draft{Subject: fmt.Sprintf("order/%06d", i%subjects), Delta: json.RawMessage(fmt.Sprintf(`{"p":"%016d%s"}`, i, pad))})
		require.NoError(b, err)
		_, err = peer.Append(p, int64(1_700_000_000_000+i/10))
		require.NoError(b, err)
		if i%size == size-1 {
			_, effects, err := peer.Flush(int64(1_700_000_000_000 + i/10))
			require.NoError(b, err)
			for _, run := range effects.Own {
				encoded = append(encoded, run.Append(nil))
			}
		}
	}
	b.ResetTimer()
	for range b.N {
		disk, err := store.OpenPebble(b.TempDir(), store.Options{Series: chain.KeySeries})
		require.NoError(b, err)
		ledger, err := chain.NewLedger(disk, chain.Config{Key: keyOf(1), Node: "n", Authority: "a"}, time.Now().UnixMilli())
		require.NoError(b, err)
		w := core.NewWriter(core.WriterConfig{
			Ledger: ledger, Archive: chain.NewArchive(ledger), Store: disk,
			Now: time.Now, Wall: func() int64 { return time.Now().UnixMilli() },
			MayPublish: func() error { return nil }, TimeLimit: func(int64) int64 { return 0 }, Stage: func() error { return nil },
			Measured: func(*chain.Batch, bool, time.Duration) {}, Failed: func(err error) { b.Error(err) }, Heard: func(*core.Committed) {},
		})
		w.Begin()
		cpu, began, n := processorTime(b), time.Now(), 0
		for _, e := range encoded {
			r, err := chain.DecodeRun(e)
			require.NoError(b, err)
			require.NoError(b, r.Verify(key.Public().(ed25519.PublicKey)))
			n += len(r.Entries)
			_, err = w.Process(&core.Batch{Arrivals: [][]*chain.Run{{r}}})
			require.NoError(b, err)
			for w.Pending() {
				w.Upkeep()
			}
		}
		b.ReportMetric(float64(processorTime(b)-cpu)/float64(n), "cpu-ns/update")
		b.ReportMetric(float64(n)/time.Since(began).Seconds(), "updates/s")
		w.Finish()
		require.NoError(b, disk.Close())
	}
}

// processorTime is what the process took of all cores so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
