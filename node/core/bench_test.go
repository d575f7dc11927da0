package core_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/node/core"
)

// received is what a node of a busy mesh hears: runs of several chains, in turn,
// each of updates of 256 bytes over 16 subjects.
type received struct {
	encoded [][]byte
	keys    map[chain.Origin]ed25519.PublicKey
}

func newReceived(b *testing.B, chains, rounds, size int) received {
	r := received{keys: map[chain.Origin]ed25519.PublicKey{}}
	peers := make([]*chain.Ledger, chains)
	for i := range peers {
		key := keyOf(byte(10 + i))
		var err error
		peers[i], err = chain.NewLedger(store.Memory(), chain.Config{Key: key, Node: "p", Authority: fmt.Sprint("p", i)}, 0)
		require.NoError(b, err)
		r.keys[peers[i].Origin()] = key.Public().(ed25519.PublicKey)
	}
	random := rand.New(rand.NewPCG(1, 2))
	now := int64(1_700_000_000_000)
	for round := range rounds {
		for i, peer := range peers {
			for j := range size {
				noise := make([]byte, 232)
				for k := range noise {
					noise[k] = "abcdefghijklmnopqrstuvwxyz012345"[random.IntN(32)]
				}
				p, err := chain.Prepare(chain.Draft{
					Subject: fmt.Sprintf("status/%02d/%02d", i, (round*size+j)%16),
					Delta:   json.RawMessage(fmt.Sprintf(`{"p":"%016d%s"}`, j, noise)),
				})
				require.NoError(b, err)
				_, err = peer.Append(p, now)
				require.NoError(b, err)
			}
			_, effects, err := peer.Flush(now)
			require.NoError(b, err)
			for _, run := range effects.Own {
				r.encoded = append(r.encoded, run.Append(nil))
			}
			now++
		}
	}
	return r
}

// BenchmarkReceive is what a node does with an update of a peer, but for the
// network: decode, verify, apply, commit on disk and show it to a consumer of the
// feed. "cpu-ns/op" is processor time with that of the collector and the store.
func BenchmarkReceive(b *testing.B) {
	const chains, total = 15, 1 << 16
	for _, shape := range []struct{ size, batch int }{{1, 15}, {12, 60}, {12, 240}, {48, 480}} {
		b.Run(fmt.Sprintf("run=%d/batch=%d", shape.size, shape.batch), func(b *testing.B) {
			in := newReceived(b, chains, total/chains/shape.size, shape.size)
			b.ReportAllocs()
			b.ResetTimer()
			cpu := cpuTime()
			stopped := time.Duration(0)
			var w *receiver
			at := 0
			for done := 0; done < b.N; {
				if w == nil || at == len(in.encoded) {
					b.StopTimer()
					off := cpuTime()
					if w != nil {
						w.close(b)
					}
					w, at = newReceiver(b), 0
					stopped += cpuTime() - off
					b.StartTimer()
				}
				end := min(at+max(1, shape.batch/shape.size), len(in.encoded))
				done += w.take(b, in, in.encoded[at:end])
				at = end
			}
			b.ReportMetric(float64(cpuTime()-cpu-stopped)/float64(b.N), "cpu-ns/op")
			b.StopTimer()
			w.close(b)
		})
	}
}

// dropCaches, if set, has BenchmarkReceiveOfAny drop the system's cache of files, which
// takes root on Linux.
const dropCaches = "TIDINGS_DROP_CACHES"

// BenchmarkReceiveOfAny is what a node does with runs of 100 updates of any of 300,000
// subjects that are on its disk: in the system's cache, or not.
func BenchmarkReceiveOfAny(b *testing.B) {
	const subjects, size = 300_000, 100
	peer, err := chain.NewLedger(store.Memory(), chain.Config{Key: keyOf(10), Node: "p", Authority: "p"}, 0)
	require.NoError(b, err)
	key := keyOf(10).Public().(ed25519.PublicKey)
	random := rand.New(rand.NewPCG(1, 2))
	now := int64(1_700_000_000_000)
	run := func(size int, subject func(i int) int) *chain.Run {
		for i := range size {
			p, err := chain.Prepare(chain.Draft{
				Subject: fmt.Sprintf("status/%07d", subject(i)), Delta: fmt.Appendf(nil, `{"p":"%0232d"}`, random.Uint64()),
			})
			require.NoError(b, err)
			_, err = peer.Append(p, now)
			require.NoError(b, err)
		}
		now++
		_, effects, err := peer.Flush(now)
		require.NoError(b, err)
		r, err := chain.DecodeRun(effects.Own[0].Append(nil))
		require.NoError(b, err)
		require.NoError(b, r.Verify(key))
		return r
	}
	dir := b.TempDir()
	w := openReceiver(b, dir)
	take := func(r *chain.Run) {
		_, err := w.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{{r}}})
		require.NoError(b, err)
		for w.writer.Pending() {
			w.writer.Upkeep()
		}
	}
	for at := 0; at < subjects; at += 500 {
		take(run(500, func(i int) int { return (at + i) * 7919 % subjects }))
	}
	w.close(b)
	for _, cold := range []bool{false, true} {
		b.Run(fmt.Sprintf("cold=%v", cold), func(b *testing.B) {
			runs := make([]*chain.Run, b.N/size+1)
			for i := range runs {
				runs[i] = run(size, func(int) int { return random.IntN(subjects) })
			}
			if cold {
				if os.Getenv(dropCaches) == "" {
					b.Skip(dropCaches + " is not set")
				}
				syscall.Sync()
				require.NoError(b, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0))
			}
			w = openReceiver(b, dir)
			b.ResetTimer()
			for _, r := range runs {
				take(r)
			}
			b.ReportMetric(float64(len(runs)*size)/b.Elapsed().Seconds(), "updates/s")
			b.StopTimer()
			w.close(b)
		})
	}
}

// cpuTime is the processor time of this process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// receiver is a node without a network.
type receiver struct {
	store   *store.Disk
	archive *chain.Archive
	writer  *core.Writer
	place   chain.Cursor
}

func newReceiver(b *testing.B) *receiver { return openReceiver(b, b.TempDir()) }

func openReceiver(b *testing.B, dir string) *receiver {
	disk, err := store.OpenPebble(dir, store.Options{Series: chain.KeySeries})
	require.NoError(b, err)
	ledger, err := chain.NewLedger(disk, chain.Config{Key: keyOf(1), Node: "n", Authority: "a"}, time.Now().UnixMilli())
	require.NoError(b, err)
	r := &receiver{store: disk, archive: chain.NewArchive(ledger)}
	r.writer = core.NewWriter(core.WriterConfig{
		Ledger: ledger, Archive: r.archive, Store: disk,
		Now: time.Now, Wall: func() int64 { return time.Now().UnixMilli() },
		MayPublish: func() error { return nil }, TimeLimit: func(int64) int64 { return 0 }, Stage: func() error { return nil },
		Measured: func(*chain.Batch, bool, time.Duration) {},
		Failed:   func(err error) { b.Error(err) },
		Heard:    func(*core.Committed) {},
	})
	r.writer.Begin()
	return r
}

// take is a batch of runs, and the consumer that reads it. It returns the number
// of updates.
func (r *receiver) take(b *testing.B, in received, encoded [][]byte) (n int) {
	runs := make([]*chain.Run, len(encoded))
	for i := range encoded {
		var err error
		if runs[i], err = chain.DecodeRun(encoded[i]); err != nil {
			b.Fatal(err)
		}
		if err := runs[i].Verify(in.keys[runs[i].Origin]); err != nil {
			b.Fatal(err)
		}
		n += len(runs[i].Entries)
	}
	if _, err := r.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{runs}}); err != nil {
		b.Fatal(err)
	}
	r.writer.Upkeep()
	for {
		page, err := r.archive.Feed(r.place, chain.Filter{}, 1000, nil)
		if err != nil {
			b.Fatal(err)
		}
		r.place = page.Cursor
		if page.UpToDate {
			return n
		}
	}
}

func (r *receiver) close(b *testing.B) {
	r.writer.Finish()
	if err := r.store.Close(); err != nil {
		b.Fatal(err)
	}
}
