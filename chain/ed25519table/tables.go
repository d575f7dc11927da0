package ed25519table

import (
	"crypto/ed25519"
	"maps"
	"math"
	"sync"
	"sync/atomic"
)

const (
	// mostTables bounds the tables: of 50 KB each, 3.2 MB.
	mostTables = 64
	// earnedBy is how many good signatures earn a key its table. To make one takes
	// as long as four verifications without; so whoever makes up keys that sign
	// just so much makes the process work a sixteenth more, at most.
	earnedBy = 64
	// halveAfter is after how many good signatures of keys without a table all counts
	// are halved, so that they tell of lately.
	halveAfter = 4096
	// mostCounted bounds the keys without a table that are counted: 100 KB. When
	// there are as many, the next new one takes one from each (the frequent items
	// of Misra and Gries, 1982): so keys that come more often than every 1,024th
	// time are counted, less one in 1,024, whatever else comes.
	mostCounted = 1024
)

// shared are the tables of the process.
var shared = newTables(mostTables)

// tables are those of the keys that verified most of late.
//
// Keys are free, and so is what they sign: to be safe from whoever makes up
// many, a key has its table for work that was done for it. It earns one by good
// signatures alone, and then takes the place of a key that verified less than
// half as much lately, of which it takes the least. So keys that are in use
// keep their tables through any number of made-up ones that come once or a few
// times; with more keys in use than places, they do not take them from each
// other in turn; and a key that is used no more, once its count was halved often
// enough, gives its place to the next. What is counted and what is kept is
// bounded, and a signature that is bad costs a look into a map.
type tables struct {
	most int

	// byKey is replaced as a whole, so that whoever verifies takes no lock.
	byKey atomic.Pointer[map[publicKey]*counted]

	// mu protects what follows, and replacing byKey. Nobody waits for it: a
	// signature that finds it taken goes uncounted.
	mu     sync.Mutex
	counts map[publicKey]uint32 // of good signatures of keys without a table
	misses int                  // good signatures of keys without a table, since the counts were halved
}

type publicKey [ed25519.PublicKeySize]byte

type counted struct {
	*table
	// uses counts good signatures, up to halveAfter. Two at once may count as
	// one.
	uses atomic.Uint32
}

func newTables(most int) *tables {
	t := &tables{most: most, counts: map[publicKey]uint32{}}
	t.byKey.Store(&map[publicKey]*counted{})
	return t
}

func (t *tables) verify(key ed25519.PublicKey, message, sig []byte) bool {
	if len(key) != ed25519.PublicKeySize {
		return ed25519.Verify(key, message, sig) // it panics
	}
	c := (*t.byKey.Load())[publicKey(key)]
	if c == nil {
		good := ed25519.Verify(key, message, sig)
		if good {
			t.count(publicKey(key))
		}
		return good
	}
	good := c.verify(key, message, sig)
	if good {
		c.count()
	}
	return good
}

// count counts a good signature of a key with a table. Keys in steady use stay at
// the bound, so that processors do not pass the count to each other.
func (c *counted) count() {
	if uses := c.uses.Load(); uses < halveAfter {
		c.uses.Store(uses + 1)
	}
}

// count counts a good signature of a key without a table, and makes its table
// once it is earned and there is a place for it.
func (t *tables) count(key publicKey) {
	if !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	if t.misses++; t.misses >= halveAfter {
		t.halve()
	}
	byKey := *t.byKey.Load()
	uses, known := t.counts[key]
	switch {
	case byKey[key] != nil: // since this one was verified
		return
	case !known && len(t.counts) >= mostCounted:
		for other, uses := range t.counts {
			t.keep(other, uses-1)
		}
		return
	}
	uses++
	t.counts[key] = uses
	if uses%earnedBy != 0 { // who found no place asks again after as many
		return
	}
	full := len(byKey) >= t.most
	least, leastUses := leastUsed(byKey)
	if full && leastUses >= uses/2 {
		return
	}
	made := expandKey(key[:])
	if made == nil {
		return
	}
	delete(t.counts, key)
	byKey = maps.Clone(byKey)
	if full {
		delete(byKey, least)
	}
	c := &counted{table: made}
	c.uses.Store(min(uses, halveAfter))
	byKey[key] = c
	t.byKey.Store(&byKey)
}

func leastUsed(byKey map[publicKey]*counted) (least publicKey, uses uint32) {
	uses = math.MaxUint32
	for key, c := range byKey {
		if n := c.uses.Load(); n < uses {
			least, uses = key, n
		}
	}
	return least, uses
}

// halve halves all counts, and forgets keys of which nothing is left.
func (t *tables) halve() {
	t.misses = 0
	for key, uses := range t.counts {
		t.keep(key, uses/2)
	}
	for _, c := range *t.byKey.Load() {
		c.uses.Store(c.uses.Load() / 2)
	}
}

// keep keeps a lower count of a key, if any is left.
func (t *tables) keep(key publicKey, uses uint32) {
	if uses == 0 {
		delete(t.counts, key)
	} else {
		t.counts[key] = uses
	}
}
