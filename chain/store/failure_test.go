package store_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
)

// fault injects one error into some operations while it is on.
type fault struct {
	on   atomic.Bool
	hits atomic.Int64
	err  error
	hit  func(errorfs.Op) bool
}

func (f *fault) MaybeError(op errorfs.Op) error {
	if !f.on.Load() || !f.hit(op) {
		return nil
	}
	f.hits.Add(1)
	return f.err
}

func (f *fault) String() string { return "fault" }

// faultFS also injects where errorfs does not: into logs that are used again,
// and into closing.
type faultFS struct {
	*errorfs.FS
	under vfs.FS
	f     *fault
}

func (f *fault) wrap(disk vfs.FS) vfs.FS {
	return faultFS{FS: errorfs.Wrap(disk, f), under: disk, f: f}
}

func (s faultFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := s.FS.Create(name, category)
	return faultFile{file, s.f, name}, err
}

func (s faultFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := s.f.MaybeError(errorfs.Op{Kind: errorfs.OpReuseForWrite, Path: newname}); err != nil {
		return nil, err
	}
	file, err := s.under.ReuseForWrite(oldname, newname, category)
	if err != nil {
		return nil, err
	}
	named := errorfs.InjectorFunc(func(op errorfs.Op) error {
		op.Path = newname
		return s.f.MaybeError(op)
	})
	return faultFile{errorfs.WrapFile(file, named), s.f, newname}, nil
}

type faultFile struct {
	vfs.File
	f    *fault
	name string
}

func (c faultFile) Close() error {
	return errors.Join(c.File.Close(), c.f.MaybeError(errorfs.Op{Kind: errorfs.OpFileClose, Path: c.name}))
}

func kinds(op errorfs.Op, any ...errorfs.OpKind) bool {
	for _, k := range any {
		if op.Kind == k {
			return true
		}
	}
	return false
}

func isSync(op errorfs.Op) bool {
	return kinds(op, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo)
}

func isWrite(op errorfs.Op) bool { return kinds(op, errorfs.OpFileWrite, errorfs.OpFileWriteAt) }

func onFile(op errorfs.Op, part string) bool { return strings.Contains(filepath.Base(op.Path), part) }

// TestFailure breaks each operation of the file system under a busy store. In
// every case the store must refuse from then on, whatever the disk does next;
// this process must live; and what was acknowledged must survive a power loss.
func TestFailure(t *testing.T) {
	var all sync.WaitGroup
	for _, c := range []struct {
		name string
		err  error
		hit  func(errorfs.Op) bool
	}{
		{"EIO at log sync", syscall.EIO, func(op errorfs.Op) bool { return isSync(op) && onFile(op, ".log") }},
		{"ENOSPC at log write", syscall.ENOSPC, func(op errorfs.Op) bool { return isWrite(op) && onFile(op, ".log") }},
		{"ENOSPC at any write", syscall.ENOSPC, isWrite},
		{"EIO at any sync", syscall.EIO, isSync},
		{"no new log", syscall.ENOSPC, func(op errorfs.Op) bool {
			return kinds(op, errorfs.OpCreate, errorfs.OpReuseForWrite) && onFile(op, ".log")
		}},
		{"no log to use again", syscall.ENOENT, func(op errorfs.Op) bool {
			return kinds(op, errorfs.OpCreate, errorfs.OpReuseForWrite) && onFile(op, ".log")
		}},
		{"log does not close", syscall.EIO, func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileClose && onFile(op, ".log") }},
		{"log cannot be looked at", syscall.EIO, func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileStat && onFile(op, ".log") }},
		{"directory sync", syscall.EIO, func(op errorfs.Op) bool { return isSync(op) && filepath.Base(op.Path) == "db" }},
		{"ENOSPC at table write", syscall.ENOSPC, func(op errorfs.Op) bool { return isWrite(op) && onFile(op, ".sst") }},
		{"EIO at table sync", syscall.EIO, func(op errorfs.Op) bool { return isSync(op) && onFile(op, ".sst") }},
		{"no new table", syscall.EMFILE, func(op errorfs.Op) bool { return op.Kind == errorfs.OpCreate && onFile(op, ".sst") }},
		{"ENOSPC at manifest write", syscall.ENOSPC, func(op errorfs.Op) bool { return isWrite(op) && onFile(op, "MANIFEST") }},
		{"EIO at manifest sync", syscall.EIO, func(op errorfs.Op) bool { return isSync(op) && onFile(op, "MANIFEST") }},
	} {
		for _, synced := range []bool{true, false} {
			// Side by side whatever the number of cores: most wait for Close.
			all.Go(func() {
				t.Run(fmt.Sprintf("%s synced=%v", c.name, synced), func(t *testing.T) {
					tryFailure(t, &fault{err: c.err, hit: c.hit}, synced)
				})
			})
		}
	}
	all.Wait()
}

func tryFailure(t *testing.T, f *fault, synced bool) {
	disk := vfs.NewCrashableMem()
	s, err := store.OpenPebble("node", store.Options{FS: f.wrap(disk), MemTableSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{s: s}
	for range 100 {
		if err := w.write(w.n%3 == 0); err != nil {
			t.Fatal(err)
		}
	}
	f.on.Store(true)
	deadline := time.Now().Add(20 * time.Second)
	for err = nil; err == nil; err = w.write(synced) {
		if time.Now().After(deadline) {
			t.Fatalf("no failure after %d writes, injected %d", w.n, f.hits.Load())
		}
	}
	if f.hits.Load() == 0 {
		t.Fatalf("failed by itself: %v", err)
	}
	if !errors.Is(err, chain.ErrStoreFailed) || !errors.Is(err, f.err) {
		t.Fatalf("%v: want ErrStoreFailed and %v", err, f.err)
	}

	// The disk is well again, and the store must not believe it.
	f.on.Store(false)
	crashed := disk.CrashClone(vfs.CrashCloneCfg{})
	for name, again := range map[string]error{
		"commit": w.write(false), "synced commit": w.write(true), "sync": s.Sync(), "mark": s.Mark([]byte("x")),
	} {
		if again != err {
			t.Errorf("%s afterwards: %v, want the same error", name, again)
		}
	}
	if v, err := s.Get(keyOf(1)); err != nil || v == nil {
		t.Errorf("read afterwards: %q, %v", v, err)
	}
	if !s.Stats().Failed {
		t.Error("Stats does not say that it failed")
	}
	start := time.Now()
	closeErr := s.Close()
	if !errors.Is(closeErr, chain.ErrStoreFailed) {
		t.Errorf("close: %v", closeErr)
	}
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("close took %v", took)
	} else if took > 1900*time.Millisecond && !errors.Is(closeErr, store.ErrAbandoned) {
		t.Errorf("close took %v and does not say that it abandoned pebble: %v", took, closeErr)
	}
	if again := s.Close(); again != closeErr {
		t.Errorf("second close: %v", again)
	}
	w.check(t, crashed, "crash at the failure")
	w.check(t, disk.CrashClone(vfs.CrashCloneCfg{}), "crash after the close")
}

// writer commits numbered batches and remembers what was acknowledged as
// durable.
type writer struct {
	s       chain.Store
	n       int // batches tried
	durable int // batches acknowledged by a sync

	// The same for other goroutines.
	tried, synced atomic.Int64
}

func keyOf(n int) []byte { return fmt.Appendf(nil, "k%06d", n) }

// valueOf is 300 to 4,300 bytes that do not compress, and are told from n.
func valueOf(n int) []byte {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	v := make([]byte, 300+n%5*1000)
	for i := 0; i+8 <= len(v); i += 8 {
		binary.LittleEndian.PutUint64(v[i:], rng.Uint64())
	}
	return v
}

// write commits batch n: its key, and "last" by which a reader knows n.
func (w *writer) write(sync bool) error {
	w.n++
	w.tried.Store(int64(w.n))
	var b chain.Batch
	b.Set(keyOf(w.n), valueOf(w.n))
	b.Set([]byte("last"), fmt.Appendf(nil, "%d", w.n))
	if w.n > 10 && w.n%10 == 0 {
		b.Delete(keyOf(w.n - 9))
	}
	err := w.s.Commit(&b, sync)
	if err == nil && sync {
		w.durable = w.n
		w.synced.Store(int64(w.n))
	}
	return err
}

// check opens what is left and wants the first n batches whole and nothing
// else, with n at least what was acknowledged. It returns n.
func (w *writer) check(t *testing.T, disk vfs.FS, when string) int {
	t.Helper()
	return checkPrefix(t, disk, w.durable, w.n, when)
}

func checkPrefix(t *testing.T, disk vfs.FS, least, most int, when string) int {
	t.Helper()
	s, err := store.OpenPebble("node", store.Options{FS: disk})
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return 0
	}
	defer s.Close()
	n := prefix(t, s, when)
	if n < least || n > most {
		t.Errorf("%s: %d batches of %d, and %d had been synced", when, n, most, least)
	}
	return n
}

// prefix returns the n for which s has exactly the first n batches.
func prefix(t *testing.T, s chain.Store, when string) int {
	t.Helper()
	last, err := s.Get([]byte("last"))
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	var n int
	if last != nil {
		if _, err := fmt.Sscan(string(last), &n); err != nil {
			t.Fatalf("%s: last is %q", when, last)
		}
	}
	want := []string{}
	for i := 1; i <= n; i++ {
		if i%10 != 1 || i+9 > n || i+9 <= 10 {
			want = append(want, fmt.Sprintf("%s=%s", keyOf(i), valueOf(i)))
		}
	}
	if got := storetest.Dump(t, s, []byte("k"), []byte("l")); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: not the first %d batches: %d keys, want %d", when, n, len(got), len(want))
	}
	return n
}
