package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

func TestTablesEndWhereSeriesDo(t *testing.T) {
	s := newSeries(nil, DefaultMemTableSize)
	_, end, err := s.policy([]byte("a"))
	require.NoError(t, err)
	require.Nil(t, end, "none is large")

	s.large.Store(&[]string{"ub", "ud", "u\xff\xff"})
	for _, test := range []struct{ key, end string }{
		{"a", "ub"},
		{"ua1", "ub"},
		{"ub", "uc"},
		{"ub1", "uc"},
		{"uc", "ud"},
		{"ud9", "ue"},
		{"ue", "u\xff\xff"},
		{"u\xff\xff1", "v"},
		{"v", ""},
	} {
		_, end, err := s.policy([]byte(test.key))
		require.NoError(t, err)
		require.Equal(t, test.end, string(end), "%q", test.key)
	}
	require.Nil(t, behind("\xff\xff"))
}

// Two series that grow much have tables of their own, and a small one shares those of
// other keys.
func TestLargeSeriesHaveTablesOfTheirOwn(t *testing.T) {
	d, err := OpenPebble(t.TempDir(), Options{
		MemTableSize: 256 << 10,
		Series: func(key []byte) []byte {
			if key[0] == 'u' {
				return key[:2]
			}
			return nil
		},
	})
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 300)
	for i := range uint64(6000) {
		for j := 0; j+8 < len(value); j += 8 {
			binary.LittleEndian.PutUint64(value[j:], rng.Uint64())
		}
		var b chain.Batch
		b.Set(binary.BigEndian.AppendUint64([]byte{'u', "bd"[i%2]}, i), value)
		if i%100 == 0 {
			b.Set(binary.BigEndian.AppendUint64([]byte("uc"), i), value[:10])
		}
		b.Set(fmt.Appendf(nil, "s%d", i%50), value[:20])
		require.NoError(t, d.Commit(&b, false))
		// A flush that begins late counts what is in the next memtable already, and a
		// series may share a table for once: not here.
		for began := time.Now(); d.db.Metrics().MemTable.Count > 1; time.Sleep(time.Millisecond) {
			require.Less(t, time.Since(began), 30*time.Second, "a flush does not end")
		}
	}
	require.NoError(t, d.do("flush", d.db.Flush))
	levels, err := d.db.SSTables()
	require.NoError(t, err)
	tables := map[string]int{}
	for _, level := range levels {
		for _, table := range level {
			first, last := string(table.Smallest.UserKey[:2]), string(table.Largest.UserKey[:2])
			switch {
			case first == last && (first == "ub" || first == "ud"):
				tables[first]++
			case last < "ub" || last == "uc":
				tables["other"]++
			default: // what was left for the last flush
				require.Less(t, table.Size, uint64(32<<10), "from %q to %q", first, last)
			}
		}
	}
	require.Len(t, tables, 3)
	for of, n := range tables {
		require.Greater(t, n, 1, of)
	}
	require.NoError(t, d.Close())
}
