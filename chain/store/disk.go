package store

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidings-mesh/tidings/chain"
)

// Options are a disk store's settings. The zero value is right for a node.
type Options struct {
	// FS is where the store is kept; nil is the operating system's.
	FS vfs.FS
	// Logger hears of failures, corruption and stalls; nil discards.
	Logger *slog.Logger
	// CacheSize is the bytes of blocks that all disk stores of the process
	// keep in memory together; 0 is DefaultCacheSize. Only the first store of
	// the process that is open decides.
	CacheSize int64
	// OpenFiles bounds the table files that all disk stores of the process
	// hold open together; 0 is DefaultOpenFiles. The first store decides.
	OpenFiles int
	// MemTableSize is the bytes of writes, of this store alone, that are
	// gathered in memory before they become a table file, and so about what an
	// open after a crash must replay; up to three times as much while the disk
	// is slow. 0 is DefaultMemTableSize.
	MemTableSize uint64
	// IgnoreNote opens a store whose side file is damaged or gone. Note then
	// returns nil, and a lost tail of the log is not noticed.
	IgnoreNote bool

	// Kept, if given, reports whether a key is never deleted once it is there. It
	// may look at others by get, whose error it returns. A store that lacks a key
	// which one of its tables has is damaged.
	Kept func(key []byte, get func(key []byte) ([]byte, error)) (bool, error)

	// Series, if given, returns the beginning that a key shares with others of which
	// each is written once and behind all that are there, nil if the key is of no such
	// series. None may begin as another one does. Those that grow much get tables of
	// their own, which are written again less often.
	Series func(key []byte) []byte

	onDamage func(error) // hears of the first damage that is met
}

// The footprint of a store that lives in another program's process.
const (
	DefaultCacheSize    = 32 << 20
	DefaultOpenFiles    = 256
	DefaultMemTableSize = 8 << 20
)

const (
	// graceDead is what Close gives a Pebble whose store has failed: it may
	// wait for a goroutine that will never come.
	graceDead = 2 * time.Second
	// graceAlive bounds a Close that has to flush and to wait for a compaction
	// on a slow disk.
	graceAlive = 30 * time.Second
)

// Disk is a store on Pebble. Get and Scan, and what reports on it, may be
// called by any number of goroutines.
type Disk struct {
	g    *guard
	gate *gate
	log  *slog.Logger

	fs       vfs.FS // the caller's own, which the note is written through
	path     string // holds the directory of Pebble's files and the side file
	db       *pebble.DB
	work     chan task     // to the committer
	quit     chan struct{} // ends the committer
	stopped  chan struct{} // closed when the committer has ended
	note     []byte        // as read at open
	notes    noteWriter    // the writer's
	noted    bool          // the store knows that a side file exists; the writer's
	unclean  atomic.Bool   // something was committed since open
	onDamage func(error)
	kept     func([]byte, func([]byte) ([]byte, error)) (bool, error)
	damaged  sync.Once
	series   *series
	syncs    atomic.Int64
	syncTime atomic.Int64 // nanoseconds

	last struct {
		sync.Mutex
		Stats // as of the last look at a live store
	}
	closing struct {
		once sync.Once
		err  error
	}
}

var _ chain.Store = (*Disk)(nil)

// Commit implements [chain.Store].
func (d *Disk) Commit(b *chain.Batch, sync bool) error {
	if !d.gate.enter() {
		return chain.ErrClosed
	}
	defer d.gate.leave()
	if err := d.g.check(); err != nil {
		return err
	}
	if err := checkKeys(b); err != nil {
		return err
	}
	if b.Len() == 0 {
		if sync {
			return d.sync()
		}
		return nil
	}
	// The batch is rebuilt here, on the caller's goroutine, so that nothing of
	// it is held if the committer never comes back.
	const perKey = 12 // Pebble's kind and two lengths
	w := d.db.NewBatchWithSize(b.Size() + perKey*b.Len() + 16)
	count := seriesCount{series: d.series}
	err := b.Each(
		func(key, value []byte) error {
			count.add(key, value)
			return w.Set(key, value, nil)
		},
		func(key []byte) error { return w.Delete(key, nil) },
	)
	count.done()
	if err != nil {
		return d.g.fail("batch", errors.Join(err, w.Close()))
	}
	return d.apply(w, sync)
}

func (d *Disk) apply(w *pebble.Batch, sync bool) error {
	d.unclean.Store(true)
	how := pebble.NoSync
	if sync {
		how = pebble.Sync
		defer d.timeSync(time.Now())
	}
	return d.do("commit", func() error {
		if err := w.Commit(how); err != nil {
			return err
		}
		return w.Close()
	})
}

// Sync implements [chain.Store].
func (d *Disk) Sync() error {
	if !d.gate.enter() {
		return chain.ErrClosed
	}
	defer d.gate.leave()
	return d.sync()
}

func (d *Disk) sync() error {
	defer d.timeSync(time.Now())
	return d.do("sync", func() error { return d.db.LogData(nil, pebble.Sync) })
}

func (d *Disk) timeSync(since time.Time) {
	d.syncs.Add(1)
	d.syncTime.Add(int64(time.Since(since)))
}

// Mark implements [chain.Store]. The note may be at most MaxNote bytes.
func (d *Disk) Mark(note []byte) error {
	if !d.gate.enter() {
		return chain.ErrClosed
	}
	defer d.gate.leave()
	if err := d.g.check(); err != nil {
		return err
	}
	if err := d.notes.write(note); err != nil {
		return d.g.fail("write the note", err)
	}
	if d.noted {
		return nil
	}
	// The file before the key: a crash between them leaves a file that is
	// read, never a key that cries for a file.
	w := d.db.NewBatch()
	if err := w.Set(keyNoted, nil, nil); err != nil {
		return d.g.fail("batch", errors.Join(err, w.Close()))
	}
	if err := d.apply(w, true); err != nil {
		return err
	}
	d.noted = true
	return nil
}

// Note implements [chain.Store]. The caller owns the result.
func (d *Disk) Note() []byte {
	if d.note == nil {
		return nil
	}
	return append([]byte{}, d.note...)
}

// Durable implements [chain.Store]: true.
func (d *Disk) Durable() bool { return true }

// Get implements [chain.Reader].
func (d *Disk) Get(key []byte) ([]byte, error) {
	if !d.gate.enter() {
		return nil, chain.ErrClosed
	}
	defer d.gate.leave()
	if len(key) == 0 || key[0] == 0 {
		return nil, nil
	}
	value, err := get(d.db, key)
	d.met(err)
	return value, err
}

// met passes on the first damage that a read or a compaction met. In a data
// directory it is the end of the store's writing: what is written behind a hole
// is lost when the next start salvages what is before it.
func (d *Disk) met(err error) {
	if d.onDamage != nil && errors.Is(err, chain.ErrCorrupt) {
		d.damaged.Do(func() {
			d.onDamage(err)
			_ = d.g.fail("read", err)
		})
	}
}

func get(db *pebble.DB, key []byte) ([]byte, error) {
	value, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, readError(err)
	}
	own := append([]byte{}, value...)
	if err := closer.Close(); err != nil {
		return nil, readError(err)
	}
	return own, nil
}

// Scan implements [chain.Reader].
func (d *Disk) Scan(lo, hi []byte) chain.Iterator {
	if !d.gate.enter() {
		return failedIterator{chain.ErrClosed}
	}
	it := &diskIterator{leave: d.gate.leave, met: d.met}
	it.err = it.open(d.db, lo, hi)
	return it
}

func (d *Disk) notePath() string { return notePath(d.fs, d.path) }

func notePath(disk vfs.FS, path string) string { return disk.PathJoin(path, noteFile) }
func dbPath(disk vfs.FS, path string) string   { return disk.PathJoin(path, dbDir) }

// Names inside a store's directory.
const (
	dbDir    = "db"    // Pebble's own
	noteFile = "heads" // the side file
)
