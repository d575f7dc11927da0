package store

import (
	"bytes"
	"slices"
	"sync"

	"github.com/google/btree"

	"github.com/tidings-mesh/tidings/chain"
)

// Mem is a store that ends with the process. Its methods may be called by any
// number of goroutines.
type Mem struct {
	mu     sync.RWMutex // protects all below
	tree   *tree
	shared bool // an iterator may hold tree: clone before the next write
	bytes  int64
	closed bool
}

type (
	tree  = btree.BTreeG[entry]
	entry struct{ key, value []byte }
)

// memDegree bounds a node to 31 entries. A write after a Scan copies the nodes
// on its path, so small nodes keep that cheap.
const memDegree = 16

// entryOverhead is what an entry takes beside its bytes: two slice headers, an
// allocation's rounding and its share of half-full nodes.
const entryOverhead = 96

// Memory returns an empty store in memory.
func Memory() *Mem {
	return &Mem{tree: btree.NewG(memDegree, func(a, b entry) bool {
		return bytes.Compare(a.key, b.key) < 0
	})}
}

var _ chain.Store = (*Mem)(nil)

// Get implements [chain.Reader].
func (m *Mem) Get(key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, chain.ErrClosed
	}
	e, ok := m.tree.Get(entry{key: key})
	if !ok {
		return nil, nil
	}
	return append([]byte{}, e.value...), nil
}

// Scan implements [chain.Reader].
func (m *Mem) Scan(lo, hi []byte) chain.Iterator {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return failedIterator{chain.ErrClosed}
	}
	m.shared = true
	return &memIterator{tree: m.tree, lo: userLow(lo), hi: slices.Clone(hi)}
}

// Commit implements [chain.Store]. There is nothing to sync.
func (m *Mem) Commit(b *chain.Batch, _ bool) error {
	if err := checkKeys(b); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return chain.ErrClosed
	}
	if b.Len() == 0 {
		return nil
	}
	if m.shared {
		// The iterators keep the old tree, which nobody writes to again; the
		// two share nodes until one is written.
		m.tree, m.shared = m.tree.Clone(), false
	}
	return b.Each(m.set, m.delete)
}

func (m *Mem) set(key, value []byte) error {
	both := make([]byte, len(key)+len(value))
	n := copy(both, key)
	copy(both[n:], value)
	old, replaced := m.tree.ReplaceOrInsert(entry{both[:n:n], both[n:]})
	if replaced {
		m.bytes -= old.size()
	}
	m.bytes += int64(len(both)) + entryOverhead
	return nil
}

func (m *Mem) delete(key []byte) error {
	if old, ok := m.tree.Delete(entry{key: key}); ok {
		m.bytes -= old.size()
	}
	return nil
}

func (e entry) size() int64 { return int64(len(e.key)+len(e.value)) + entryOverhead }

// Sync implements [chain.Store].
func (m *Mem) Sync() error { return m.alive() }

// Mark implements [chain.Store]. There is no later open that could read it.
func (m *Mem) Mark([]byte) error { return m.alive() }

// Note implements [chain.Store]: always nil.
func (m *Mem) Note() []byte { return nil }

// Durable implements [chain.Store]: false.
func (m *Mem) Durable() bool { return false }

// Bytes implements [chain.Store]: an estimate of the memory of live entries.
func (m *Mem) Bytes() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.bytes
}

// Close implements [chain.Store] and drops everything.
func (m *Mem) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.tree, m.bytes = true, nil, 0
	return nil
}

func (m *Mem) alive() error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return chain.ErrClosed
	}
	return nil
}
