package ed25519table

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// benchInput is what one key signed: messages of 71 bytes, as seals are.
type benchInput struct {
	key            ed25519.PublicKey
	table          *table
	messages, sigs [64][]byte
}

func benchInputs(b *testing.B, n int) []benchInput {
	in := make([]benchInput, n)
	for i := range in {
		key := testKey(fmt.Sprint("bench", i))
		in[i].key, in[i].table = public(key), expandKey(public(key))
		for j := range in[i].sigs {
			message := binary.BigEndian.AppendUint64(make([]byte, 63), uint64(j))
			in[i].messages[j], in[i].sigs[j] = message, ed25519.Sign(key, message)
		}
		require.True(b, same(b, in[i].key, in[i].messages[0], in[i].sigs[0]))
	}
	return in
}

// BenchmarkVerify is one signature of one key, and of 32 keys in turn: by the
// standard library, by tables, and by tables with caches that other work has
// filled since.
func BenchmarkVerify(b *testing.B) {
	other := make([]uint64, 16<<20/8) // more than the second level caches
	for _, keys := range []int{1, 32} {
		in := benchInputs(b, keys)
		tables := newTables(mostTables)
		for _, x := range in {
			for range earnedBy {
				require.True(b, tables.verify(x.key, x.messages[0], x.sigs[0]))
			}
		}
		for _, by := range []struct {
			name   string
			verify func(ed25519.PublicKey, []byte, []byte) bool
		}{{"standard", ed25519.Verify}, {"table", tables.verify}} {
			b.Run(fmt.Sprintf("%s/keys=%d", by.name, keys), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					x, j := &in[i%keys], i/keys%64
					if !by.verify(x.key, x.messages[j], x.sigs[j]) {
						b.Fatal("a good signature is bad")
					}
				}
			})
			b.Run(fmt.Sprintf("%s/keys=%d/cold", by.name, keys), func(b *testing.B) {
				var took time.Duration
				for i := 0; b.Loop(); i++ {
					for at := 0; at < len(other); at += 8 {
						other[at]++
					}
					x, j := &in[i%keys], i/keys%64
					from := time.Now()
					if !by.verify(x.key, x.messages[j], x.sigs[j]) {
						b.Fatal("a good signature is bad")
					}
					took += time.Since(from)
				}
				b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/op")
			})
		}
	}
}

// BenchmarkExpand is what a key pays once.
func BenchmarkExpand(b *testing.B) {
	key := public(testKey("expand"))
	b.ReportAllocs()
	for b.Loop() {
		expandKey(key)
	}
}

// BenchmarkFlood is one signature where every key signs just as often as earns
// a table, so that one is made for each: the most that made-up keys cost.
func BenchmarkFlood(b *testing.B) {
	in := benchInputs(b, 256)
	for _, by := range []string{"standard", "table"} {
		b.Run(by, func(b *testing.B) {
			tables := newTables(mostTables)
			for i := 0; b.Loop(); i++ {
				x := &in[i/earnedBy%len(in)]
				verify := tables.verify
				if by == "standard" {
					verify = ed25519.Verify
				} else if i%(earnedBy*mostTables) == 0 {
					tables = newTables(mostTables)
				}
				if !verify(x.key, x.messages[0], x.sigs[0]) {
					b.Fatal("a good signature is bad")
				}
			}
		})
	}
}
