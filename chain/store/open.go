package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidings-mesh/tidings/chain"
)

// OpenPebble opens the store in the directory path, or makes one. It looks
// first without writing: what is of another format version (ErrFormat), is
// damaged (chain.ErrCorrupt) or has lost its note (ErrNote) stays as it is.
// The caller sees to it that no other process uses path; see OpenDir.
func OpenPebble(path string, o Options) (*Disk, error) {
	o = o.withDefaults()
	blocks, files := takePool(o.CacheSize, o.OpenFiles)
	d, err := openDisk(path, o, blocks, files)
	if err != nil {
		dropPool()
		return nil, fmt.Errorf("open store %s: %w", path, readError(err))
	}
	return d, nil
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheSize <= 0 {
		o.CacheSize = DefaultCacheSize
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = DefaultOpenFiles
	}
	if o.MemTableSize == 0 {
		o.MemTableSize = DefaultMemTableSize
	}
	return o
}

func openDisk(path string, o Options, blocks *pebble.Cache, files *pebble.FileCache) (*Disk, error) {
	d := &Disk{
		g: newGuard(o.Logger), gate: newGate(), log: o.Logger, fs: o.FS, path: path,
		notes: noteWriter{disk: o.FS, path: notePath(o.FS, path)}, onDamage: o.onDamage, kept: o.Kept,
		work: make(chan task), quit: make(chan struct{}), stopped: make(chan struct{}),
	}
	d.g.met = d.met
	opts := d.pebbleOptions(o, blocks, files)
	version, err := d.inspect(opts, o.IgnoreNote)
	if err != nil {
		return nil, err
	}
	compactions := newScheduler()
	opts.Experimental.CompactionScheduler = compactions
	if err := d.start(func() (*pebble.DB, error) { return pebble.Open(dbPath(d.fs, path), opts) }); err != nil {
		return nil, err
	}
	d.g.armed.Store(true)
	compactions.begin()
	if version < FormatVersion {
		if err := d.begin(); err != nil {
			return nil, errors.Join(err, d.shutdown())
		}
	}
	return d, nil
}

// start runs the committer and has it open Pebble.
func (d *Disk) start(open func() (*pebble.DB, error)) error {
	opened := make(chan error, 1)
	go d.commitLoop(open, opened)
	var err error
	select {
	case err = <-opened:
	case <-d.g.dead: // a flush failed that Pebble's open waits for
		return d.g.err
	}
	if err != nil {
		close(d.quit)
		<-d.stopped
	}
	return err
}

// compression is Pebble's own, but that data blocks are stored as they are, untried,
// while samples of their table get hardly smaller. What Pebble falls back to is its
// setting for other blocks, so these are not compressed either: indexes and properties.
var compression = func() sstable.CompressionProfile {
	p := *sstable.SnappyCompression
	p.OtherBlocks = sstable.NoCompression.OtherBlocks
	p.AdaptiveReductionCutoffPercent = p.MinReductionPercent
	return p
}()

// pebbleOptions are Pebble's settings and why.
func (d *Disk) pebbleOptions(o Options, blocks *pebble.Cache, files *pebble.FileCache) *pebble.Options {
	d.series = newSeries(o.Series, o.MemTableSize)
	events := d.g.events()
	events.FlushBegin = func(pebble.FlushInfo) { d.series.flushes() }
	opts := &pebble.Options{
		FS:                 besideFS{guardFS{o.FS, d.g}, o.FS.PathJoin(d.path, SnapshotDir)},
		Cache:              blocks,
		FileCache:          files,
		Logger:             d.g,
		EventListener:      events,
		FormatMajorVersion: pebble.FormatNewest, // log chunks that tell rot from a torn tail

		MemTableSize:                o.MemTableSize,
		MemTableStopWritesThreshold: 3, // one fills while one flushes and one waits
		// A compaction of L0 rewrites what it overlaps, which is nearly all of the
		// next level: states and indexes are spread over all subjects. So each takes
		// in much at once. Reads hardly notice, for tables without the key are told
		// by their filters.
		L0CompactionThreshold:      12,
		L0StopWritesThreshold:      36, // compactions may lag a burst; a stalled writer loop stalls the node
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		MaxManifestFileSize:        4 << 20, // replayed at open

		DisableTableStats: true, // reads every new table again, for ranges that we never delete
	}
	opts.Experimental.ReadSamplingMultiplier = -1 // no compactions because of reads
	opts.Experimental.SpanPolicyFunc = d.series.policy
	for i := range opts.Levels {
		opts.Levels[i].Compression = func() *sstable.CompressionProfile { return &compression }
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // 1 % false positives
	}
	return opts
}

// inspect reads what is there, and returns the version of the store, 0 if there is none.
func (d *Disk) inspect(opts *pebble.Options, ignoreNote bool) (version int, err error) {
	dir := dbPath(d.fs, d.path)
	if _, err := d.fs.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return 0, d.readNote(false, ignoreNote)
	} else if err != nil {
		return 0, err
	}
	desc, err := pebble.Peek(dir, d.fs)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !desc.Exists {
		return 0, d.readNote(false, ignoreNote)
	}
	var look struct {
		version int
		noted   bool
		err     error
	}
	readOnly := opts.Clone()
	readOnly.ReadOnly = true
	readOnly.ErrorIfNotExists = true
	readOnly.Experimental.CompactionScheduler = newScheduler()
	err = d.peek(func() error {
		db, err := pebble.Open(dir, readOnly)
		if err != nil {
			return err
		}
		look.version, look.noted, look.err = checkFormat(db)
		if look.err == nil && d.kept != nil {
			look.err = d.checkStrays(db)
		}
		return db.Close()
	})
	if err = errors.Join(look.err, err); err != nil {
		return 0, err
	}
	return look.version, d.readNote(look.noted, ignoreNote)
}

// checkStrays looks into the tables that the manifest does not list, before
// Pebble removes them. A crash leaves such, with nothing in them that is not
// elsewhere too. One flipped bit does as well: damage in a manifest of less than
// 32 KiB reads as its end. Logs may then hide what is missing before them.
func (d *Disk) checkStrays(db *pebble.DB) error {
	dir := dbPath(d.fs, d.path)
	strays, err := strayTables(db, d.fs, dir)
	if err != nil {
		return err
	}
	for _, name := range strays {
		var lost, failed error
		err := func() (err error) {
			defer recoverRead(&err)
			return readTable(d.fs, d.fs.PathJoin(dir, name), func(_ uint64, kind pebble.InternalKeyKind, key, _ []byte) bool {
				if kind != pebble.InternalKeyKindSet || len(key) == 0 {
					return true
				}
				if key[0] != 0 {
					kept, err := d.kept(key, func(key []byte) ([]byte, error) { return get(db, key) })
					if !kept || err != nil {
						failed = err
						return err == nil
					}
				}
				value, err := get(db, key)
				if err == nil && value == nil {
					lost = fmt.Errorf("%w: %s: the manifest does not list it, and what it has is missing", chain.ErrCorrupt, name)
				}
				failed = err
				return lost == nil && failed == nil
			})
		}()
		if err := errors.Join(lost, failed); err != nil {
			return err
		}
		if err != nil { // it was being written when a crash came
			d.log.Warn("a table that is not in use does not read", slog.String("file", name), slog.Any("error", err))
		}
	}
	return nil
}

// strayTables are the tables that a store does not know.
func strayTables(db *pebble.DB, disk vfs.FS, dir string) ([]string, error) {
	levels, err := db.SSTables()
	if err != nil {
		return nil, readError(err)
	}
	known := map[string]bool{}
	for _, tables := range levels {
		for _, t := range tables {
			known[t.BackingSSTNum.String()+tableSuffix] = true
		}
	}
	names, err := disk.List(dir)
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, tableSuffix) || known[name] }), err
}

const tableSuffix = ".sst"

// peek runs a function that is inside Pebble on a goroutine of its own, for
// Pebble may panic or end it on damaged files.
func (d *Disk) peek(run func() error) error {
	done := make(chan error, 1)
	go d.serve(task{name: "inspect", run: run}, done)
	select {
	case err := <-done:
		return err
	case <-d.g.dead:
		return d.g.err
	}
}

// checkFormat returns the format version of a store, which is one that this build
// reads, and whether it has a note. One that is empty, version 0, was being made
// when its process ended.
func checkFormat(db *pebble.DB) (version int, noted bool, err error) {
	text, err := get(db, keyFormat)
	if err != nil {
		return 0, false, err
	}
	if text == nil {
		it, err := db.NewIter(nil)
		if err != nil {
			return 0, false, readError(err)
		}
		some := it.First()
		if err := it.Close(); err != nil {
			return 0, false, readError(err)
		}
		if some {
			return 0, false, errNoVersion
		}
		return 0, false, nil
	}
	for version = 1; string(text) != strconv.Itoa(version); version++ {
		if version == FormatVersion {
			return 0, false, fmt.Errorf("%w: it has version %q and this build reads versions 1 to %d", ErrFormat, text, FormatVersion)
		}
	}
	mark, err := get(db, keyNoted)
	return version, mark != nil, err
}

// readNote takes the note. wanted is whether the store knows of one.
func (d *Disk) readNote(wanted, ignore bool) error {
	note, torn, err := readNote(d.fs, d.notePath())
	if err == nil && note == nil && wanted {
		err = fmt.Errorf("%w: it is missing", chain.ErrCorrupt)
	}
	d.noted = wanted
	if err == nil {
		if torn {
			d.log.Warn("a crash came while the heads were noted: the note before counts", slog.String("file", d.notePath()))
		}
		d.note = note
		return nil
	}
	if ignore {
		d.log.Warn("opened without its note: a lost tail is not noticed", slog.Any("error", err))
		d.noted = false // the next Mark writes both anew
		return nil
	}
	return fmt.Errorf("%w: %s: %w; put the file back from where it went, or move the data directory away and start "+
		"with an empty one, which fetches what was published from its peers", ErrNote, d.notePath(), err)
}

// begin makes a store ours, one that is new or of an earlier version. The flush
// ends a new one's first log, which Pebble began before it took up the format in
// which chunks tell what was synced before them: any damage to it would read as
// its end.
func (d *Disk) begin() error {
	w := d.db.NewBatch()
	if err := w.Set(keyFormat, []byte(strconv.Itoa(FormatVersion)), nil); err != nil {
		return errors.Join(err, w.Close())
	}
	if err := d.apply(w, true); err != nil {
		return err
	}
	return d.do("flush", d.db.Flush)
}
