package ed25519table

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// signer signs one message and has it verified.
type signer struct {
	key, message, sig []byte
}

func newSigner(name string) *signer {
	key := testKey(name)
	message := []byte("message of " + name)
	return &signer{public(key), message, ed25519.Sign(key, message)}
}

func (s *signer) verify(t testing.TB, tables *tables, times int) {
	for range times {
		require.True(t, tables.verify(s.key, s.message, s.sig))
	}
}

// count is what verify does for good signatures, without verifying them.
func (s *signer) count(tables *tables, times int) {
	for range times {
		if c := (*tables.byKey.Load())[publicKey(s.key)]; c != nil {
			c.count()
		} else {
			tables.count(publicKey(s.key))
		}
	}
}

// has reports whether the key has a table.
func (t *tables) has(s *signer) bool { return (*t.byKey.Load())[publicKey(s.key)] != nil }

func TestGoodSignaturesEarnATable(t *testing.T) {
	tables, s := newTables(4), newSigner("a")
	for range 3 * earnedBy {
		require.False(t, tables.verify(s.key, []byte("another message"), s.sig))
		require.False(t, tables.verify(s.key, s.message, s.sig[:63]))
	}
	require.Empty(t, tables.counts, "bad ones count for nothing")
	s.verify(t, tables, earnedBy-1)
	require.False(t, tables.has(s))
	s.verify(t, tables, 1)
	require.True(t, tables.has(s))
	require.Empty(t, tables.counts)

	require.False(t, tables.verify(s.key, []byte("another message"), s.sig), "nor by its table")
	c := (*tables.byKey.Load())[publicKey(s.key)]
	s.verify(t, tables, 1)
	require.EqualValues(t, earnedBy+1, c.uses.Load())
	s.count(tables, 2*halveAfter)
	require.EqualValues(t, halveAfter, c.uses.Load(), "a key in use stays at the bound")
}

// Keys that verify alike do not take places from each other, however many they
// are; one that verifies more than twice as much takes the place of the one that
// verifies least.
func TestTablesAreBounded(t *testing.T) {
	tables := newTables(3)
	var all []*signer
	for i := range 6 {
		all = append(all, newSigner(fmt.Sprint(i)))
	}
	for range 4 * earnedBy {
		for _, s := range all {
			s.count(tables, 1)
			require.LessOrEqual(t, len(*tables.byKey.Load()), 3)
		}
	}
	for i, s := range all {
		require.Equal(t, i < 3, tables.has(s), i)
	}

	for range 4 * earnedBy { // from here on the first ones verify more than the third
		all[0].count(tables, 1)
		all[1].count(tables, 1)
	}
	for n := 0; !tables.has(all[4]); n++ {
		all[4].count(tables, 1)
		require.LessOrEqual(t, n, 6*earnedBy)
	}
	require.True(t, tables.has(all[0]))
	require.True(t, tables.has(all[1]))
	require.False(t, tables.has(all[2]), "it verified least")
	require.Len(t, *tables.byKey.Load(), 3)
}

// A key that is used no more gives its place to the next, after a while.
func TestPlacesOfKeysThatAreGoneAreTaken(t *testing.T) {
	tables := newTables(2)
	gone, here, next := newSigner("gone"), newSigner("here"), newSigner("next")
	gone.count(tables, earnedBy+halveAfter)
	here.count(tables, earnedBy+halveAfter)
	for n := 0; !tables.has(next); n++ {
		here.count(tables, 1)
		next.count(tables, 1)
		require.Less(t, n, 3*halveAfter)
	}
	require.True(t, tables.has(here))
	require.False(t, tables.has(gone))
	require.EqualValues(t, halveAfter, (*tables.byKey.Load())[publicKey(next.key)].uses.Load(), "it had more, and keeps to the bound")
}

// Made-up keys, each with as many good signatures as earn a table: they get the
// places that nobody has, and none of keys that verify once for each of them.
func TestMadeUpKeysTakeNoPlaceInUse(t *testing.T) {
	tables := newTables(4)
	honest := []*signer{newSigner("a"), newSigner("b"), newSigner("c")}
	for _, s := range honest {
		s.count(tables, earnedBy)
	}
	for i := range 400 { // six times the signatures after which counts are halved
		newSigner(fmt.Sprint("made up ", i)).count(tables, earnedBy)
		for _, s := range honest {
			s.count(tables, 1)
			require.True(t, tables.has(s), i)
		}
		require.LessOrEqual(t, len(*tables.byKey.Load()), 4)
	}
}

// Made-up keys fill what is counted, and no more; keys in use earn their tables
// all the same, whether the others sign once each or as many hold their places.
func TestCountsAreBounded(t *testing.T) {
	for _, madeUp := range []int{8 * halveAfter, mostCounted} {
		tables, honest := newTables(4), newSigner("honest")
		for i := range 4 * halveAfter {
			n := i % madeUp
			tables.count(publicKey(bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 16)))
			require.LessOrEqual(t, len(tables.counts), mostCounted)
			if i >= 2*mostCounted && i%64 == 0 {
				honest.count(tables, 1)
			}
		}
		require.True(t, tables.has(honest), madeUp)
		require.Len(t, *tables.byKey.Load(), 1)
	}
}

// Nobody waits for whoever counts or makes a table.
func TestNobodyWaits(t *testing.T) {
	tables, s, other := newTables(4), newSigner("a"), newSigner("b")
	s.verify(t, tables, earnedBy)
	tables.mu.Lock()
	defer tables.mu.Unlock()
	s.verify(t, tables, 1)
	other.verify(t, tables, 2*earnedBy)
	require.False(t, tables.has(other), "uncounted")
}

// Many verify at once under more keys than there are tables for, good and bad
// signatures: each answer is right, while tables come and go.
func TestVerifyAtOnce(t *testing.T) {
	tables := newTables(2)
	var all []*signer
	for i := range 4 {
		all = append(all, newSigner(fmt.Sprint(i)))
	}
	for _, most := range all { // who verifies most, until it has a table
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 1000 {
					for _, s := range []*signer{most, all[i%len(all)]} {
						if !tables.verify(s.key, s.message, s.sig) || tables.verify(s.key, s.message[1:], s.sig) {
							t.Error("a wrong answer")
						}
						if i%4 > 0 {
							break
						}
					}
					if tables.has(most) {
						return
					}
				}
			})
		}
		wg.Wait()
		require.True(t, tables.has(most))
		require.LessOrEqual(t, len(*tables.byKey.Load()), 2)
	}
}
