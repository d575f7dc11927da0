package chain

import (
	"errors"
	"slices"
)

// Reader reads ordered keys. Get and Scan are safe for concurrent use, with
// each other and with a Store's writes; an Iterator belongs to one goroutine.
type Reader interface {
	// Get returns the value of key, or nil and no error where there is none.
	// A value that is there is never nil. The caller owns the result.
	Get(key []byte) ([]byte, error)
	// Scan iterates over lo <= key < hi as it was at the call, in byte order,
	// whatever is written meanwhile. A nil hi has no upper bound.
	Scan(lo, hi []byte) Iterator
}

// Iterator walks keys. It starts before the first one. Close it.
type Iterator interface {
	// Next moves to the next key and reports whether there is one.
	Next() bool
	// Last moves to the last key of the range and reports whether there is
	// one. Next after Last ends the walk.
	Last() bool
	// Prev moves to the key before and reports whether there is one.
	Prev() bool
	// SeekGE moves to the first key at or after key and reports whether there
	// is one.
	SeekGE(key []byte) bool
	// Key and Value are valid until the iterator moves or is closed.
	Key() []byte
	Value() []byte
	// Close releases the iterator and returns the first error that ended it.
	Close() error
}

// Store keeps a ledger. It has one writer, which alone calls Commit, Sync and
// Mark, and many readers. Once any of these has failed, the store is dead: all
// later calls that write return the same error, wrapping ErrStoreFailed, and
// nothing is retried.
type Store interface {
	Reader
	// Commit applies a batch as a whole. With sync it returns once the batch,
	// and every one before it, is durable; without, the batch is visible to
	// readers but may be lost with the process until the next sync. The store
	// keeps nothing of the batch.
	Commit(b *Batch, sync bool) error
	// Sync makes every batch committed before durable.
	Sync() error
	// Mark durably replaces a small note beside the store, outside its log:
	// the received heads. Note returns what Mark last wrote before this open,
	// nil at first. Together they tell when the log lost its tail.
	Mark(note []byte) error
	Note() []byte
	// Durable reports whether what is synced outlives the process.
	Durable() bool
	// Bytes is the space that the store takes, on disk or in memory, roughly.
	Bytes() int64
	// Close flushes and releases the store, and every Iterator must be closed
	// before it. It is idempotent.
	Close() error
}

// Batch collects writes that become visible and durable together. Later
// writes to a key win. The zero value is empty and ready for use; Reset keeps
// its memory.
type Batch struct {
	ops []batchOp
	buf []byte
}

type batchOp struct {
	key, value int // end offsets in buf
	delete     bool
}

// Grow makes room for writes of so many bytes in all.
func (b *Batch) Grow(size int) { b.buf = slices.Grow(b.buf, size) }

// Set writes key. The batch copies both.
func (b *Batch) Set(key, value []byte) {
	b.buf = append(b.buf, key...)
	k := len(b.buf)
	b.buf = append(b.buf, value...)
	b.ops = append(b.ops, batchOp{key: k, value: len(b.buf)})
}

// Delete removes key, if it is there. The batch copies it.
func (b *Batch) Delete(key []byte) {
	b.buf = append(b.buf, key...)
	b.ops = append(b.ops, batchOp{key: len(b.buf), value: len(b.buf), delete: true})
}

// Len is the number of writes.
func (b *Batch) Len() int { return len(b.ops) }

// Size is the number of bytes of all keys and values.
func (b *Batch) Size() int { return len(b.buf) }

// Reset empties the batch.
func (b *Batch) Reset() { b.ops, b.buf = b.ops[:0], b.buf[:0] }

// Each calls set or del for every write, in order. The slices are the batch's
// own and valid until its next change.
func (b *Batch) Each(set func(key, value []byte) error, del func(key []byte) error) error {
	start := 0
	for _, op := range b.ops {
		key, value := b.buf[start:op.key], b.buf[op.key:op.value]
		start = op.value
		var err error
		if op.delete {
			err = del(key)
		} else {
			err = set(key, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Failures of a store that callers tell apart.
var (
	// ErrStoreFailed is wrapped once a write or a sync has failed. What it was
	// asked to keep since the last good sync may or may not be there.
	ErrStoreFailed = errors.New("store failed")
	// ErrClosed is returned by calls after Close.
	ErrClosed = errors.New("closed")
	// ErrCorrupt is wrapped when bytes that were stored do not read back.
	ErrCorrupt = errors.New("corrupt data")
)
