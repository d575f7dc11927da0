package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
)

// TestSyncs counts what each call costs the disk: nothing without sync, and
// one sync of the log for any number of batches with it.
func TestSyncs(t *testing.T) {
	noLeaks(t)
	var syncs atomic.Int64
	count := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if isSync(op) && onFile(op, ".log") {
			syncs.Add(1)
		}
		return nil
	})
	s, err := store.OpenPebble("node", store.Options{FS: errorfs.Wrap(vfs.NewMem(), count)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var empty chain.Batch
	for _, c := range []struct {
		name string
		want int64
		run  func() error
	}{
		{"100 commits without sync", 0, func() error {
			for i := range 100 {
				storetest.Put(t, s, false, fmt.Appendf(nil, "k%d", i), []byte("v"))
			}
			return nil
		}},
		{"sync", 1, s.Sync},
		{"commit with sync", 1, func() error { storetest.Put(t, s, true, []byte("a"), []byte("v")); return nil }},
		{"an empty commit with sync", 1, func() error { return s.Commit(&empty, true) }},
		{"an empty commit without", 0, func() error { return s.Commit(&empty, false) }},
		{"first mark, with the key that tells of it", 1, func() error { return s.Mark([]byte("a")) }},
		{"later mark", 0, func() error { return s.Mark([]byte("b")) }},
	} {
		before := syncs.Load()
		if err := c.run(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := syncs.Load() - before; got != c.want {
			t.Errorf("%s: %d syncs of the log, want %d", c.name, got, c.want)
		}
	}
	if got := s.Stats(); got.Syncs == 0 || got.Failed || got.LogBytes == 0 || got.MemTableBytes == 0 {
		t.Errorf("stats: %+v", got)
	}
}

// quiet keeps Pebble's log out of the test's.
type quiet struct{}

func (quiet) Infof(string, ...any)         {}
func (quiet) Errorf(string, ...any)        {}
func (quiet) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

// snapshot is every file's content.
func snapshot(t *testing.T, disk vfs.FS, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, path := range files(t, disk, dir) {
		all[path] = string(readAll(t, disk, path))
	}
	return all
}

func TestOtherFormatIsLeftAlone(t *testing.T) {
	noLeaks(t)
	raw := func(t *testing.T, disk vfs.FS, key, value string) {
		db, err := pebble.Open("node/db", &pebble.Options{FS: disk, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Set([]byte(key), []byte(value), pebble.Sync), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T, disk vfs.FS)
	}{
		{"a later version", func(t *testing.T, disk vfs.FS) {
			if err := smallStore(t, disk, 3).Close(); err != nil {
				t.Fatal(err)
			}
			raw(t, disk, "\x00format", strconv.Itoa(store.FormatVersion+1))
		}},
		{"someone else's Pebble", func(t *testing.T, disk vfs.FS) { raw(t, disk, "key", "value") }},
		{"a later Pebble", func(t *testing.T, disk vfs.FS) {
			if err := smallStore(t, disk, 3).Close(); err != nil {
				t.Fatal(err)
			}
			f, err := disk.Create("node/db/marker.format-version.999999.999", vfs.WriteCategoryUnspecified)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := vfs.NewMem()
			c.make(t, disk)
			before := snapshot(t, disk, "node")
			_, err := store.OpenPebble("node", store.Options{FS: disk})
			if !errors.Is(err, store.ErrFormat) {
				t.Fatalf("%v, want ErrFormat", err)
			}
			if after := snapshot(t, disk, "node"); fmt.Sprint(before) != fmt.Sprint(after) {
				t.Error("it was touched")
			}
			t.Log(err)
		})
	}
}

// TestCreationCutShort opens what a crash right after Pebble's own creation
// leaves: a database without our version, and without anything else.
func TestCreationCutShort(t *testing.T) {
	noLeaks(t)
	disk := vfs.NewMem()
	db, err := pebble.Open("node/db", &pebble.Options{FS: disk, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := smallStore(t, disk, 3).Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoteDamaged changes the note's file: whatever a note is read from is
// refused then, and left as it is. What holds nothing is of no account.
func TestNoteDamaged(t *testing.T) {
	noLeaks(t)
	good := vfs.NewCrashableMem()
	s := smallStore(t, good, 3)
	note := bytes.Repeat([]byte("note"), 225) // two sectors
	if err := errors.Join(s.Mark(note[:890]), s.Mark(note), s.Close()); err != nil {
		t.Fatal(err)
	}
	file := readAll(t, good, "node/heads")
	file1 := store.EncodeNote1(note[:40])
	replace := func(b []byte) func(*testing.T, vfs.FS) {
		return func(t *testing.T, disk vfs.FS) {
			f, err := disk.Create("node/heads", vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.Write(bytes.Clone(b))
			if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	type test struct {
		name   string
		damage func(*testing.T, vfs.FS)
		idle   bool // it is none
	}
	tests := []test{
		{"missing", func(t *testing.T, disk vfs.FS) {
			if err := disk.Remove("node/heads"); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"empty", replace(nil), false},
		{"cut short", replace(file[:len(file)-1]), false},
		{"cut to a slot", replace(file[:len(file)/2]), false},
		{"longer", replace(append(bytes.Clone(file), 0)), false},
		{"of version 1, cut short", replace(file1[:len(file1)-1]), false},
		{"of version 1, longer", replace(append(bytes.Clone(file1), 0)), false},
	}
	for i := range file1 {
		bad := bytes.Clone(file1)
		bad[i] ^= 1 << (i % 8)
		tests = append(tests, test{fmt.Sprintf("of version 1, byte %d", i), replace(bad), false})
	}
	for i := 0; i < len(file); i += 31 { // TestNoteFlippedBits leaves none out
		bad := bytes.Clone(file)
		bad[i] ^= 1 << (i % 8)
		tests = append(tests, test{fmt.Sprintf("byte %d", i), replace(bad), i%(len(file)/2) >= 2*sectorSize})
	}
	for _, c := range tests {
		disk := good.CrashClone(vfs.CrashCloneCfg{})
		c.damage(t, disk)
		before := snapshot(t, disk, "node")
		s, err := store.OpenPebble("node", store.Options{FS: disk})
		if c.idle {
			if err != nil || !bytes.Equal(s.Note(), note) {
				t.Fatalf("%s, which holds nothing: %v", c.name, err)
			}
			s.Close()
			continue
		}
		if !errors.Is(err, store.ErrNote) || !errors.Is(err, chain.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrNote", c.name, err)
			continue
		}
		if after := snapshot(t, disk, "node"); fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("%s: it was touched", c.name)
		}
		s, err = store.OpenPebble("node", store.Options{FS: disk, IgnoreNote: true})
		if err != nil {
			t.Errorf("%s, ignored: %v", c.name, err)
			continue
		}
		if s.Note() != nil {
			t.Errorf("%s, ignored: the note is %q", c.name, s.Note())
		}
		if err := errors.Join(s.Mark([]byte("anew")), s.Close()); err != nil {
			t.Errorf("%s, ignored: %v", c.name, err)
		}
		s, err = store.OpenPebble("node", store.Options{FS: disk})
		if err != nil || string(s.Note()) != "anew" {
			t.Fatalf("%s, marked anew: %v", c.name, err)
		}
		s.Close()
	}
}

// TestNoteFails has each call for a note fail, of one that makes a file and of one
// that is written into it: the store is dead, and the note before is there.
func TestNoteFails(t *testing.T) {
	onNote := func(kind errorfs.OpKind) func(errorfs.Op) bool {
		return func(op errorfs.Op) bool { return op.Kind == kind && onFile(op, "heads") }
	}
	for _, c := range []struct {
		name string
		hit  func(errorfs.Op) bool
		into bool // the file is there
		note string
	}{
		{"create", onNote(errorfs.OpCreate), false, "one"},
		{"write", onNote(errorfs.OpFileWrite), false, "one"},
		{"sync", onNote(errorfs.OpFileSync), false, "one"},
		{"rename", onNote(errorfs.OpRename), false, "one"},
		{"sync of the directory", func(op errorfs.Op) bool { return isSync(op) && op.Path == "node" }, false, "one"},
		{"open", onNote(errorfs.OpOpen), false, "two"}, // all is done by then
		{"write into it", onNote(errorfs.OpFileWriteAt), true, "one"},
		{"sync of what is written into it", onNote(errorfs.OpFileSyncData), true, "one"},
	} {
		f := &fault{err: errors.New("broken"), hit: c.hit}
		disk := vfs.NewCrashableMem()
		s, err := store.OpenPebble("node", store.Options{FS: f.wrap(disk)})
		if err == nil {
			err = s.Mark([]byte("one"))
		}
		if err == nil && !c.into {
			if err = s.Close(); err == nil {
				s, err = store.OpenPebble("node", store.Options{FS: f.wrap(disk)})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		f.on.Store(true)
		failed := s.Mark([]byte("two"))
		if !errors.Is(failed, chain.ErrStoreFailed) || !errors.Is(failed, f.err) || f.hits.Load() != 1 {
			t.Errorf("%s: mark: %v; %d calls failed", c.name, failed, f.hits.Load())
		}
		f.on.Store(false)
		var b chain.Batch
		b.Set([]byte("a"), nil)
		if err := s.Commit(&b, false); err != failed {
			t.Errorf("%s: commit afterwards: %v", c.name, err)
		}
		if err := s.Mark([]byte("three")); err != failed {
			t.Errorf("%s: mark afterwards: %v", c.name, err)
		}
		if err := s.Close(); err != failed {
			t.Errorf("%s: close: %v", c.name, err)
		}
		s, err = store.OpenPebble("node", store.Options{FS: disk.CrashClone(vfs.CrashCloneCfg{})})
		if err != nil || string(s.Note()) != c.note {
			t.Fatalf("%s: after the crash: %v", c.name, err)
		}
		s.Close()
	}
}

// TestNoteCalls counts what a note asks of the file system: a file for the first
// one, and for each later one that it has room for one write and one sync.
func TestNoteCalls(t *testing.T) {
	noLeaks(t)
	fs := &stepFS{under: vfs.NewMem()}
	var calls []string
	fs.fail = func(c call) *how {
		if !strings.HasPrefix(c.path, "node/db") { // where others are at work, too
			calls = append(calls, c.name+" "+c.path)
		}
		return nil
	}
	s, err := store.OpenPebble("node", store.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	file := []string{
		"create node/heads.tmp", "write node/heads.tmp", "sync node/heads.tmp", "close node/heads.tmp", "rename node/heads",
		"open directory node", "sync node", "close node", "open for writing node/heads",
	}
	into := []string{"write node/heads", "sync data node/heads"}
	for _, c := range []struct {
		name string
		run  func() error
		want []string
	}{
		{"the first", func() error { return s.Mark(make([]byte, 1000)) }, file},
		{"the next", func() error { return s.Mark(make([]byte, 1000)) }, into},
		{"a longer one", func() error { return s.Mark(make([]byte, 8*484)) }, into},
		{"one that has no room", func() error { return s.Mark(make([]byte, 8*484+1)) }, append([]string{"close node/heads"}, file...)},
		{"a shorter one", func() error { return s.Mark(nil) }, into},
		{"the close", s.Close, []string{"close node/heads"}},
	} {
		calls = nil
		if err := c.run(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(calls, c.want) {
			t.Errorf("%s: %q, want %q", c.name, calls, c.want)
		}
	}
}

// TestNoteHalfWritten looks at a note in the middle of its write: what is read
// there, by a copy or after a crash, is the one before, and the opening says so.
func TestNoteHalfWritten(t *testing.T) {
	noLeaks(t)
	disk := vfs.NewCrashableMem()
	fs := &stepFS{under: disk}
	looks, last := 0, 0
	fs.torn = func(c call) func() {
		if c.path != "node/heads" {
			return nil
		}
		return func() {
			looks++
			half := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
			var said bytes.Buffer
			s, err := store.OpenPebble("node", store.Options{FS: half, Logger: slog.New(slog.NewTextHandler(&said, nil))})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if want := noteOf(last); !bytes.Equal(s.Note(), want) {
				t.Errorf("the note is %.20q, want %.20q", s.Note(), want)
			}
			if !strings.Contains(said.String(), "level=WARN msg=\"a crash came while the heads were noted") || !strings.Contains(said.String(), "file=node/heads") {
				t.Errorf("the log says %s", said.String())
			}
			said.Reset()
			if err := errors.Join(s.Mark(noteOf(last+1)), s.Close()); err != nil {
				t.Error(err)
			}
			again, err := store.OpenPebble("node", store.Options{FS: half, Logger: slog.New(slog.NewTextHandler(&said, nil))})
			if err != nil {
				t.Error(err)
				return
			}
			defer again.Close()
			if want := noteOf(last + 1); !bytes.Equal(again.Note(), want) || said.Len() > 0 {
				t.Errorf("the note after that is %.20q, want %.20q; the log says %s", again.Note(), want, said.String())
			}
		}
	}
	s, err := store.OpenPebble("node", store.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	for i := 90; i < 110; i++ { // it outgrows the file in between
		if err := s.Mark(noteOf(i)); err != nil {
			t.Fatal(err)
		}
		last = i
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if looks != 18 {
		t.Errorf("%d looks", looks)
	}
}

// TestCloseUnderAnIterator breaks the contract: the store must neither hang nor
// pull the memory from under the reader.
func TestCloseUnderAnIterator(t *testing.T) {
	s := smallStore(t, vfs.NewMem(), 10)
	it := s.Scan([]byte("k"), []byte("l"))
	start := time.Now()
	if err := s.Close(); !errors.Is(err, store.ErrAbandoned) {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("close took %v", took)
	}
	n := 0
	for it.Next() {
		n++
	}
	if err := it.Close(); err != nil || n != 10 {
		t.Errorf("%d keys, %v", n, err)
	}
}

// TestFailureDuringOpen has the flush fail that an open after a crash waits
// for, which Pebble would try again for ever.
func TestFailureDuringOpen(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s := smallStore(t, disk, 50)
	killed := disk.CrashClone(vfs.CrashCloneCfg{})
	s.Close()
	f := &fault{err: errors.New("no space"), hit: func(op errorfs.Op) bool {
		return kinds(op, errorfs.OpCreate, errorfs.OpFileWrite) && onFile(op, ".sst")
	}}
	f.on.Store(true)
	if _, err := store.OpenPebble("node", store.Options{FS: f.wrap(killed.CrashClone(vfs.CrashCloneCfg{}))}); !errors.Is(err, f.err) {
		t.Errorf("%v, want %v", err, f.err)
	}
	if n := f.hits.Load(); n == 0 || n > 3 {
		t.Errorf("tried %d times", n)
	}
	if got, err := openDamaged(t, killed, 50); got != whole {
		t.Errorf("with space again: %s, %v", got, err)
	}
}

// TestCorruptTable meets damage in a table: the read says so, and the store
// lives.
func TestCorruptTable(t *testing.T) {
	disk := vfs.NewCrashableMem()
	if err := smallStore(t, disk, 400).Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range files(t, disk, "node") {
		// Not the small one that only has the format's version.
		if b := readAll(t, disk, path); path[len(path)-4:] == ".sst" && len(b) > 4<<10 {
			flip(t, disk, path, len(b)/2, 3)
		}
	}
	s, err := store.OpenPebble("node", store.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	it := s.Scan(nil, nil)
	for it.Next() {
		if string(it.Value()) == "" {
			t.Error("an empty value")
		}
	}
	if err := it.Close(); !errors.Is(err, chain.ErrCorrupt) {
		t.Errorf("scan: %v", err)
	}
	failed := 0
	for i := 1; i <= 400; i++ {
		v, err := s.Get(fmt.Appendf(nil, "k%03d", i))
		switch {
		case errors.Is(err, chain.ErrCorrupt):
			failed++
		case err != nil || string(v) != string(valueOf(5*i)):
			t.Errorf("get %d: %v", i, err)
		}
	}
	if failed == 0 || failed > 100 {
		t.Errorf("%d of 400 reads met the damage", failed)
	}
	storetest.Put(t, s, true, []byte("z"), []byte("1"))
	if got := s.Stats(); got.Corruptions == 0 || got.Failed {
		t.Errorf("stats: %+v", got)
	}
}
