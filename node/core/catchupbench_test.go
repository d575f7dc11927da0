package core_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/node/core"
)

// BenchmarkCatchUp is an empty node on disk that takes in one long chain, but for the
// network: 200,000 updates of 256 bytes over 20,000 subjects, in runs of 256.
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
	catchUp(b, [][][]byte{encoded}, map[chain.Origin]ed25519.PublicKey{peer.Origin(): key.Public().(ed25519.PublicKey)}, 1)
}

// BenchmarkCatchUpOfMany is an empty node on disk that takes in what three authorities
// wrote of the same 20,000 subjects, each of a member of its own, 66,000 updates of 256
// bytes each. What was published while all were connected has seen what the others had
// written before; what was while they were parted comes late. It gets 16 runs of each
// chain in turn, as it has several pulls under way.
func BenchmarkCatchUpOfMany(b *testing.B) {
	for _, parted := range []bool{false, true} {
		b.Run(fmt.Sprintf("parted=%v", parted), func(b *testing.B) {
			const rounds, subjects, size = 260, 20_000, 256
			names := []string{"fleet", "payments", "warehouse"}
			keys := map[chain.Origin]ed25519.PublicKey{}
			peers, stores := make([]*chain.Ledger, len(names)), make([]*store.Mem, len(names))
			chains := make([][][]byte, len(names))
			for i, name := range names {
				key := keyOf(byte(10 + i))
				var err error
				stores[i] = store.Memory()
				peers[i], err = chain.NewLedger(stores[i], chain.Config{Key: key, Node: name, Authority: name}, 0)
				require.NoError(b, err)
				keys[peers[i].Origin()] = key.Public().(ed25519.PublicKey)
			}
			pad := fmt.Sprintf("%0200d", 7)
			now := int64(1_700_000_000_000)
			flush := func(i int) *chain.Effects {
				batch, effects, err := peers[i].Flush(now)
				require.NoError(b, err)
				require.NoError(b, stores[i].Commit(batch, true))
				return effects
			}
			for round := range rounds {
				for i, peer := range peers {
					for j := range size {
						now++
						p, err := chain.Prepare(chain.Draft{
							Subject: fmt.Sprintf("order/%06d", (round*size+j)%subjects),
							Delta:   json.RawMessage(fmt.Sprintf(`{%q:{"n":%d,"p":%q},"last":%d}`, names[i], round, pad, i)),
						})
						require.NoError(b, err)
						_, err = peer.Append(p, now)
						require.NoError(b, err)
					}
					for _, run := range flush(i).Own {
						chains[i] = append(chains[i], run.Append(nil))
					}
				}
				for to, peer := range peers {
					for i := range chains {
						if parted || i == to {
							continue
						}
						r, err := chain.DecodeRun(chains[i][round])
						require.NoError(b, err)
						require.NoError(b, r.Verify(keys[r.Origin]))
						_, err = peer.Accept(r, now)
						require.NoError(b, err)
						flush(to)
					}
				}
			}
			catchUp(b, chains, keys, 16)
		})
	}
}

// catchUp has an empty node take in chains, so many runs of each in turn.
// "cpu-ns/update" is processor time with that of the collector and the store.
func catchUp(b *testing.B, chains [][][]byte, keys map[chain.Origin]ed25519.PublicKey, turn int) {
	b.ResetTimer()
	for range b.N {
		w := newReceiver(b)
		cpu, began, n := cpuTime(), time.Now(), 0
		for at := 0; at < len(chains[0]); at += turn {
			for _, encoded := range chains {
				for _, e := range encoded[at:min(at+turn, len(encoded))] {
					r, err := chain.DecodeRun(e)
					require.NoError(b, err)
					require.NoError(b, r.Verify(keys[r.Origin]))
					n += len(r.Entries)
					_, err = w.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{{r}}})
					require.NoError(b, err)
					for w.writer.Pending() {
						w.writer.Upkeep()
					}
				}
			}
		}
		b.ReportMetric(float64(cpuTime()-cpu)/float64(n), "cpu-ns/update")
		b.ReportMetric(float64(n)/time.Since(began).Seconds(), "updates/s")
		w.close(b)
	}
}
