package sim

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/btree"

	"github.com/tidings-mesh/tidings/chain"
)

// disk is a simulated data directory: the node's key, and a store of which a
// crash keeps what was synced, and of the batches after that a random number of
// the first.
type disk struct {
	w    *world
	node int
	image
	unchanged bool // it is where and as it was left

	mu      sync.RWMutex  // protects visible from readers beside the writer
	visible *tree         // what readers of the store see
	pending []chain.Batch // of it, not synced
	dead    error         // a write has failed
	failure diskFailure   // that the next write meets
	dropped bool          // with SyncErrorSwallowed: the system dropped what it could not write
	copies  []image       // from before, oldest first
	synced  []image       // the last few syncs, oldest first
	onDelay func()        // the time that a call takes is over
}

// image is a whole directory as it is on the disk.
type image struct {
	key         ed25519.PrivateKey
	predecessor chain.Origin
	former      []ed25519.PrivateKey // the keys before, oldest first
	tree        *tree
	note        []byte
}

type (
	tree = btree.BTreeG[pair]
	pair struct{ key, value []byte }
)

// diskFailure is what goes wrong with a write.
type diskFailure uint8

const (
	noFailure  diskFailure = iota
	failCommit             // EIO; the batch may be there afterwards
	failSync               // EIO; what was not synced may be there afterwards
	failRoom               // ENOSPC; the batch is not there
)

var (
	errInput = errors.New("input/output error")
	errRoom  = errors.New("no space left on device")
)

// syncsKept is how many syncs a loss of the log's end may go back.
const syncsKept = 6

func newTree() *tree {
	return btree.NewG(8, func(a, b pair) bool { return bytes.Compare(a.key, b.key) < 0 })
}

func newDisk(w *world, node int, key ed25519.PrivateKey) *disk {
	return &disk{w: w, node: node, image: image{key: key, tree: newTree()}, unchanged: true, visible: newTree(), onDelay: func() {}}
}

// store returns the store, opened anew.
func (d *disk) store() *diskStore {
	return &diskStore{disk: d, note: d.note}
}

// crash ends a life of the directory: of what was not synced the first keep
// batches are left.
func (d *disk) crash(keep int) {
	t := d.tree.Clone()
	for i := range d.pending[:keep] {
		apply(t, &d.pending[i])
	}
	if keep < len(d.pending) && d.w.has(HalfBatches) {
		half := halfOf(&d.pending[keep])
		apply(t, &half)
	}
	d.w.note("disk", d.node, uint64(keep), uint64(len(d.pending)))
	d.tree, d.visible, d.pending = t, t.Clone(), nil
	d.dead, d.failure, d.dropped = nil, noFailure, false
}

// copyAway keeps a copy that may be put back.
func (d *disk) copyAway() {
	c := d.image
	c.tree = d.tree.Clone()
	d.copies, d.synced = append(d.copies, c), nil
}

// put replaces the directory by a copy.
func (d *disk) put(c image) {
	d.image = c
	d.tree, d.visible, d.pending = c.tree.Clone(), c.tree.Clone(), nil
	d.synced = nil
}

// loseTail takes away the last syncs, and leaves the note.
func (d *disk) loseTail(n int) {
	if len(d.synced) == 0 {
		return
	}
	c := d.synced[max(len(d.synced)-1-n, 0)]
	d.tree, d.visible, d.synced = c.tree.Clone(), c.tree.Clone(), nil
}

func (d *disk) flush() {
	if d.dropped {
		return
	}
	d.pending = nil
	d.tree = d.visible.Clone()
	if len(d.synced) == syncsKept {
		d.synced = slices.Delete(d.synced, 0, 1)
	}
	d.synced = append(d.synced, image{tree: d.tree})
}

// fail ends the store. kept says that what it was asked to write may be there.
func (d *disk) fail(err error) error {
	d.dead = fmt.Errorf("%w: %w", chain.ErrStoreFailed, err)
	d.w.note("disk failed", d.node, uint64(d.failure))
	return d.dead
}

func apply(t *tree, b *chain.Batch) {
	_ = b.Each(func(key, value []byte) error {
		t.ReplaceOrInsert(pair{bytes.Clone(key), append([]byte{}, value...)})
		return nil
	}, func(key []byte) error {
		t.Delete(pair{key: key})
		return nil
	})
}

// checkKeys refuses the keys that are a store's own.
func checkKeys(b *chain.Batch) error {
	check := func(key []byte) error {
		if len(key) == 0 || key[0] == 0 {
			return fmt.Errorf("key %q is reserved", key)
		}
		return nil
	}
	return b.Each(func(key, _ []byte) error { return check(key) }, check)
}

// halfOf is the first half of a batch.
func halfOf(b *chain.Batch) (half chain.Batch) {
	left := b.Len() / 2
	_ = b.Each(func(key, value []byte) error {
		if left--; left >= 0 {
			half.Set(key, value)
		}
		return nil
	}, func([]byte) error { return nil })
	return half
}

// copyBatch copies a batch, of which a store keeps nothing.
func copyBatch(b *chain.Batch) (c chain.Batch) {
	c.Grow(b.Size())
	_ = b.Each(func(key, value []byte) error { c.Set(key, value); return nil }, func(key []byte) error { c.Delete(key); return nil })
	return c
}

// diskStore is the chain.Store of one life.
type diskStore struct {
	disk   *disk
	note   []byte
	closed bool
}

var _ chain.Store = (*diskStore)(nil)

// Commit implements chain.Store.
func (s *diskStore) Commit(b *chain.Batch, sync bool) error {
	d := s.disk
	if err := s.alive(); err != nil {
		return err
	}
	if err := checkKeys(b); err != nil {
		return err
	}
	d.onDelay()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.w.has(SyncErrorSwallowed) && d.failure == failSync:
		d.dropped = true
		apply(d.visible, b)
		d.pending = append(d.pending, copyBatch(b))
		return nil
	case d.failure == failRoom:
		return d.fail(errRoom)
	case d.failure == failCommit, d.failure == failSync && sync:
		if chance(d.w.rand.disk, 2) {
			d.pending = append(d.pending, copyBatch(b))
		}
		return d.fail(errInput)
	}
	apply(d.visible, b)
	d.pending = append(d.pending, copyBatch(b))
	switch {
	case !sync || d.w.has(LazySync):
	case d.w.has(SendBeforeSync):
		d.w.after(sendBeforeSync, d.flush)
	default:
		d.flush()
	}
	d.w.note("commit", d.node, uint64(b.Len()), uint64(b.Size()), bit(sync))
	return nil
}

// Sync implements chain.Store.
func (s *diskStore) Sync() error {
	d := s.disk
	if err := s.alive(); err != nil {
		return err
	}
	d.onDelay()
	if d.failure != noFailure && d.w.has(SyncErrorSwallowed) {
		d.dropped = true
		return nil
	}
	if d.failure != noFailure {
		return d.fail(errInput)
	}
	d.flush()
	d.w.note("sync", d.node)
	return nil
}

// Mark implements chain.Store.
func (s *diskStore) Mark(note []byte) error {
	d := s.disk
	if err := s.alive(); err != nil {
		return err
	}
	d.onDelay()
	if d.failure != noFailure {
		return d.fail(errInput)
	}
	d.image.note = bytes.Clone(note)
	d.w.note("mark", d.node)
	return nil
}

func (s *diskStore) alive() error {
	if s.closed {
		return chain.ErrClosed
	}
	return s.disk.dead
}

// Note implements chain.Store.
func (s *diskStore) Note() []byte { return s.note }

// Durable implements chain.Store.
func (s *diskStore) Durable() bool { return true }

// Bytes implements chain.Store.
func (s *diskStore) Bytes() (n int64) {
	s.disk.mu.RLock()
	defer s.disk.mu.RUnlock()
	s.disk.visible.Ascend(func(p pair) bool {
		n += int64(len(p.key) + len(p.value))
		return true
	})
	return n
}

// Close implements chain.Store.
func (s *diskStore) Close() error {
	if !s.closed && s.disk.dead == nil {
		s.disk.flush()
	}
	s.closed = true
	return nil
}

// Get implements chain.Reader.
func (s *diskStore) Get(key []byte) ([]byte, error) {
	s.disk.mu.RLock()
	defer s.disk.mu.RUnlock()
	if s.closed {
		return nil, chain.ErrClosed
	}
	p, ok := s.disk.visible.Get(pair{key: key})
	if !ok {
		return nil, nil
	}
	return append([]byte{}, p.value...), nil
}

// Scan implements chain.Reader. It takes its range at once: what is simulated is
// small.
func (s *diskStore) Scan(lo, hi []byte) chain.Iterator {
	it := &diskIterator{at: -1}
	s.disk.mu.RLock()
	defer s.disk.mu.RUnlock()
	if s.closed {
		it.err = chain.ErrClosed
		return it
	}
	if s.disk.w.has(AnswersIgnored) && len(lo) > 0 && lo[0] == keyOfAnswers {
		return it
	}
	s.disk.visible.AscendGreaterOrEqual(pair{key: lo}, func(p pair) bool {
		if hi != nil && bytes.Compare(p.key, hi) >= 0 {
			return false
		}
		it.pairs = append(it.pairs, p)
		return true
	})
	return it
}

// keyOfAnswers is how the store's keys begin of what reactions made.
const keyOfAnswers = 'a'

// diskIterator walks a range that was taken.
type diskIterator struct {
	pairs []pair
	at    int
	err   error
}

func (it *diskIterator) Next() bool {
	it.at = min(it.at+1, len(it.pairs))
	return it.at < len(it.pairs)
}

func (it *diskIterator) Prev() bool {
	it.at = max(it.at-1, -1)
	return it.at >= 0
}

func (it *diskIterator) Last() bool {
	it.at = len(it.pairs) - 1
	return it.at >= 0
}

func (it *diskIterator) SeekGE(key []byte) bool {
	it.at, _ = slices.BinarySearchFunc(it.pairs, key, func(p pair, key []byte) int { return bytes.Compare(p.key, key) })
	return it.at < len(it.pairs)
}

func (it *diskIterator) on() bool { return it.at >= 0 && it.at < len(it.pairs) }

func (it *diskIterator) Key() []byte {
	if !it.on() {
		return nil
	}
	return it.pairs[it.at].key
}

func (it *diskIterator) Value() []byte {
	if !it.on() {
		return nil
	}
	return it.pairs[it.at].value
}

func (it *diskIterator) Close() error {
	it.pairs, it.at = nil, -1
	return it.err
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// takes is how long a call of the store takes.
func (d *disk) takes(sync bool) time.Duration {
	r := d.w.rand.disk
	switch {
	case !sync:
		return between(r, 20*time.Microsecond, 300*time.Microsecond)
	case chance(r, 50):
		return between(r, 20*time.Millisecond, 200*time.Millisecond)
	}
	return between(r, 200*time.Microsecond, 5*time.Millisecond)
}
