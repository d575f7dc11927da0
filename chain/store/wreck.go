package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"

	"github.com/tidings-mesh/tidings/chain"
)

// wreck reads a damaged store, of which any call may fail. Where Pebble still
// opens it with all its tables, that is what is read. Where it does not, what its tables and logs
// hold is copied beside it first, the newest of each key.
type wreck struct {
	d  *Disk // for its guard alone
	db *pebble.DB
}

var _ chain.Reader = (*wreck)(nil)

// openWreck opens the files of a store at dir. raw is where a copy is made, if
// it takes one.
func openWreck(dir, raw string, o Options) (*wreck, error) {
	w, err := openPlain(dir, o, true)
	if err == nil {
		strays, err := strayTables(w.db, o.FS, dir)
		if err == nil && len(strays) == 0 {
			return w, nil
		}
		// There is more than Pebble would find.
		if err := w.Close(); err != nil {
			return nil, err
		}
	} else if !damage(err) {
		return nil, err
	}
	o.Logger.Warn("the store does not open as a whole: its tables and logs are read one by one", slog.Any("error", err))
	if w, err = openPlain(raw, o, false); err != nil {
		return nil, err
	}
	if err := w.d.peek(func() error { return w.gather(dir, o) }); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// openPlain opens a Pebble that nothing durable is written to.
func openPlain(dir string, o Options, readOnly bool) (*wreck, error) {
	w := &wreck{d: &Disk{g: newGuard(o.Logger), log: o.Logger, fs: o.FS}}
	opts := w.d.pebbleOptions(o, pebble.NewCache(o.CacheSize), nil)
	defer opts.Cache.Unref()
	opts.ReadOnly, opts.ErrorIfNotExists, opts.DisableWAL = readOnly, readOnly, !readOnly
	opts.Experimental.CompactionScheduler = newScheduler()
	err := w.d.peek(func() (err error) {
		w.db, err = pebble.Open(dir, opts)
		return err
	})
	return w, readError(err)
}

// Close releases the files.
func (w *wreck) Close() error { return w.d.peek(w.db.Close) }

// Get implements [chain.Reader].
func (w *wreck) Get(key []byte) (value []byte, err error) {
	defer recoverRead(&err)
	if len(key) == 0 || key[0] == 0 {
		return nil, nil
	}
	return get(w.db, key)
}

// Scan implements [chain.Reader].
func (w *wreck) Scan(lo, hi []byte) chain.Iterator {
	it := &diskIterator{leave: func() {}}
	func() {
		defer recoverRead(&it.err)
		it.err = it.open(w.db, lo, hi)
	}()
	return it
}

// recoverRead takes what a damaged file makes of Pebble for what it is.
func recoverRead(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: %w", chain.ErrCorrupt, panicError(r))
	}
}

// gather copies what the tables and logs in dir hold, as far as they read. An
// entry is kept as its sequence number, whether it is a deletion, and its value,
// until all are there.
func (w *wreck) gather(dir string, o Options) error {
	names, err := o.FS.List(dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	var copied error // of the copy, which must not fail
	put := func(seq uint64, kind pebble.InternalKeyKind, key, value []byte) bool {
		if len(key) > 0 && key[0] != 0 {
			copied = w.put(seq, kind, key, value)
		}
		return copied == nil
	}
	for _, name := range names {
		if strings.HasSuffix(name, tableSuffix) {
			w.lossy(o.Logger, name, func() error { return readTable(o.FS, o.FS.PathJoin(dir, name), put) })
		}
	}
	logs, err := wal.Scan(wal.Dir{FS: o.FS, Dirname: dir})
	if err != nil {
		return err
	}
	for _, l := range logs {
		w.lossy(o.Logger, l.String(), func() error { return readLog(l, put) })
	}
	if copied != nil {
		return copied
	}
	return w.strip()
}

// lossy reads a file and says where it ends early.
func (w *wreck) lossy(log *slog.Logger, name string, read func() error) {
	err := func() (err error) {
		defer recoverRead(&err)
		return read()
	}()
	if err != nil {
		log.Warn("a file of the damaged store is read in part", slog.String("file", name), slog.Any("error", err))
	}
}

const rawHeader = 8 + 1

// put keeps an entry unless a newer one of its key is here.
func (w *wreck) put(seq uint64, kind pebble.InternalKeyKind, key, value []byte) error {
	have, err := get(w.db, key)
	if err != nil {
		return err
	}
	if len(have) >= rawHeader && binary.BigEndian.Uint64(have) > seq {
		return nil
	}
	raw := binary.BigEndian.AppendUint64(nil, seq)
	switch kind {
	case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete:
		raw = append(append(raw, 1), value...)
	case pebble.InternalKeyKindDelete, pebble.InternalKeyKindSingleDelete, pebble.InternalKeyKindDeleteSized:
		raw = append(raw, 0)
	default:
		return nil // we write no others
	}
	return w.db.Set(key, raw, pebble.NoSync)
}

// strip turns what was kept into what was stored.
func (w *wreck) strip() error {
	it, err := w.db.NewIter(nil)
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		if raw := it.Value(); len(raw) >= rawHeader && raw[rawHeader-1] == 1 {
			err = w.db.Set(it.Key(), raw[rawHeader:], pebble.NoSync)
		} else {
			err = w.db.Delete(it.Key(), pebble.NoSync)
		}
	}
	return errors.Join(err, it.Close())
}

func readTable(disk vfs.FS, path string, put func(uint64, pebble.InternalKeyKind, []byte, []byte) bool) error {
	f, err := disk.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	opts := &pebble.Options{}
	opts.EnsureDefaults()
	r, err := sstable.NewReader(context.Background(), readable, opts.MakeReaderOptions())
	if err != nil {
		return errors.Join(err, f.Close())
	}
	defer r.Close()
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	for kv := it.First(); kv != nil; kv = it.Next() {
		value, _, err := kv.Value(nil)
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !put(uint64(kv.SeqNum()), kv.Kind(), kv.K.UserKey, value) {
			break
		}
	}
	return errors.Join(it.Error(), it.Close())
}

func readLog(l wal.LogicalLog, put func(uint64, pebble.InternalKeyKind, []byte, []byte) bool) error {
	r := l.OpenForRead()
	defer r.Close()
	for {
		record, _, err := r.NextRecord()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		b, err := io.ReadAll(record)
		if err != nil {
			return err
		}
		header, ok := batchrepr.ReadHeader(b)
		if !ok {
			return fmt.Errorf("%w: batch header", chain.ErrCorrupt)
		}
		seq := uint64(header.SeqNum)
		for entries := batchrepr.Read(b); ; {
			kind, key, value, ok, err := entries.Next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if kind == pebble.InternalKeyKindLogData {
				continue
			}
			if !put(seq, kind, key, value) {
				return nil
			}
			seq++
		}
	}
}
