package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
)

// powerLoss takes a copy of what a power loss would leave before every
// operation that changes the disk.
type powerLoss struct {
	disk *vfs.MemFS
	w    *writer

	mu      sync.Mutex
	rng     *rand.Rand
	crashes []crash
}

// powerLossFS keeps copies out of the one call in which MemFS would deadlock
// with them, for it takes its lock twice.
type powerLossFS struct {
	vfs.FS
	p *powerLoss
}

func (f powerLossFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	file, err := f.p.disk.ReuseForWrite(oldname, newname, category)
	if err != nil {
		return nil, err
	}
	return errorfs.WrapFile(file, f.p), nil
}

type crash struct {
	disk        *vfs.MemFS
	least, most int // batches that had been acknowledged and tried
	// The same of those that were noted.
	noted, noting int
	kept          int // percent of what was not synced
	at            string
}

func (p *powerLoss) String() string { return "power loss" }

func (p *powerLoss) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead || op.Kind == errorfs.OpFileClose {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := crash{kept: 50 * (len(p.crashes) % 3), at: fmt.Sprintf("operation %d, kind %d on %s", len(p.crashes), op.Kind, op.Path)}
	c.least = int(p.w.synced.Load())
	c.disk = p.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.kept, RNG: p.rng})
	c.most = int(p.w.tried.Load())
	p.crashes = append(p.crashes, c)
	return nil
}

// TestPowerLoss crashes a busy store, which flushes and compacts, at every
// write and sync. What was synced is there; what is lost is a suffix.
func TestPowerLoss(t *testing.T) {
	noLeaks(t)
	lost, kept := 0, 0
	for seed := range uint64(1) {
		p := &powerLoss{disk: vfs.NewCrashableMem(), w: &writer{}, rng: rand.New(rand.NewPCG(seed, 1))}
		s, err := store.OpenPebble("node", store.Options{FS: powerLossFS{errorfs.Wrap(p.disk, p), p}, MemTableSize: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		p.w.s = s
		rng := rand.New(rand.NewPCG(seed, 2)) // p's own is used by Pebble's goroutines
		for range 150 {
			if err := p.w.write(rng.IntN(4) == 0); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(10) == 0 {
				if err := s.Mark(fmt.Appendf(nil, "%d", p.w.n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, c := range p.crashes {
			n := checkPrefix(t, c.disk, c.least, c.most, fmt.Sprintf("seed %d, %s, %d %% kept", seed, c.at, c.kept))
			lost += c.most - n
			kept += n - c.least
		}
		p.w.durable = p.w.n // by the Close
		p.w.check(t, p.disk.CrashClone(vfs.CrashCloneCfg{}), "after Close")
		t.Logf("%d crashes", len(p.crashes))
	}
	if lost == 0 || kept == 0 {
		t.Errorf("lost %d, kept %d unsynced batches: the test crashed nothing", lost, kept)
	}
}

// flip inverts a bit of a file.
func flip(t *testing.T, disk vfs.FS, path string, offset int, bit uint) {
	t.Helper()
	b := readAll(t, disk, path)
	b[offset] ^= 1 << bit
	f, err := disk.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b[offset:offset+1], int64(offset)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, disk vfs.FS, path string) []byte {
	t.Helper()
	f, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		t.Fatal(err)
	}
	return b
}

// smallStore writes n synced batches of some 320 bytes, with a note of n.
func smallStore(t *testing.T, disk vfs.FS, n int) *store.Disk {
	t.Helper()
	s, err := store.OpenPebble("node", store.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		storetest.Put(t, s, true, fmt.Appendf(nil, "k%03d", i), valueOf(5*i), []byte("last"), fmt.Appendf(nil, "%03d", i))
	}
	if err := s.Mark(fmt.Appendf(nil, "%03d", n)); err != nil {
		t.Fatal(err)
	}
	return s
}

// outcome of opening a small store that was damaged.
type outcome string

const (
	refused  outcome = "refused"
	whole    outcome = "whole"
	revealed outcome = "truncated, and its note says so"
	hidden   outcome = "truncated, and nothing says so"
	wrong    outcome = "made up"
)

func openDamaged(t *testing.T, disk vfs.FS, n int) (outcome, error) {
	t.Helper()
	s, err := store.OpenPebble("node", store.Options{FS: disk})
	if err != nil {
		return refused, err
	}
	defer s.Close()
	it := s.Scan([]byte("k"), nil)
	got := 0
	last := "000"
	for it.Next() {
		if string(it.Key()) == "last" {
			last = string(it.Value())
			continue
		}
		got++
		if string(it.Key()) != fmt.Sprintf("k%03d", got) || string(it.Value()) != string(valueOf(5*got)) {
			return wrong, fmt.Errorf("%q at %d", it.Key(), got)
		}
	}
	if err := it.Close(); err != nil {
		return refused, err
	}
	switch {
	case last != fmt.Sprintf("%03d", got):
		return wrong, fmt.Errorf("%d keys, and last is %s", got, last)
	case got == n:
		return whole, nil
	case string(s.Note()) == fmt.Sprintf("%03d", n):
		return revealed, nil
	}
	return hidden, nil
}

// TestLastLogBlock shows why there is a note: a bit that flips in the last
// block of the log silently ends it there, and only the note tells.
func TestLastLogBlock(t *testing.T) {
	noLeaks(t)
	const n = 60 // some 20 KiB: all in one block of 32 KiB
	disk := vfs.NewCrashableMem()
	s := smallStore(t, disk, n)
	killed := disk.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	closed := disk.CrashClone(vfs.CrashCloneCfg{})

	count := map[outcome]int{}
	for _, path := range logs(t, killed) {
		size := len(readAll(t, killed, path))
		for at := 0; at < size; at += 97 {
			damaged := killed.CrashClone(vfs.CrashCloneCfg{})
			flip(t, damaged, path, at, uint(at)%8)
			got, err := openDamaged(t, damaged, n)
			count[got]++
			if got == wrong || got == hidden {
				t.Errorf("%s, bit %d of byte %d: %s: %v", path, at%8, at, got, err)
			}
		}
	}
	t.Log("killed:", count)
	if count[revealed] == 0 {
		t.Errorf("%v: no flip truncated the log, so the note was not tried", count)
	}

	// A Close leaves nothing in the log that could be lost.
	for _, path := range logs(t, closed) {
		size := len(readAll(t, closed, path))
		for at := 0; at < size; at += 97 {
			damaged := closed.CrashClone(vfs.CrashCloneCfg{})
			flip(t, damaged, path, at, uint(at)%8)
			if got, err := openDamaged(t, damaged, n); got != whole && got != refused {
				t.Errorf("closed, %s, byte %d: %s: %v", path, at, got, err)
			}
		}
	}
}

func logs(t *testing.T, disk vfs.FS) (paths []string) {
	t.Helper()
	for _, path := range files(t, disk, "node") {
		if len(path) > 4 && path[len(path)-4:] == ".log" {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		t.Fatal("no log")
	}
	return paths
}

// files lists all files below dir.
func files(t *testing.T, disk vfs.FS, dir string) (paths []string) {
	t.Helper()
	names, err := disk.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := disk.PathJoin(dir, name)
		info, err := disk.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			paths = append(paths, files(t, disk, path)...)
		} else {
			paths = append(paths, path)
		}
	}
	return paths
}

// TestFlippedBit damages every file of a small closed store, a byte at a time:
// it is refused, or whole, or its note says what is missing; never made up,
// and never the end of this process. TIDINGS_EVERY_BYTE=1 leaves none out.
func TestFlippedBit(t *testing.T) {
	const n = 12
	disk := vfs.NewCrashableMem()
	if err := smallStore(t, disk, n).Close(); err != nil {
		t.Fatal(err)
	}
	step := 41
	if os.Getenv("TIDINGS_EVERY_BYTE") != "" {
		step = 1
	}
	count := map[outcome]int{}
	for _, path := range files(t, disk, "node") {
		b := readAll(t, disk, path)
		for at := 0; at < len(b); at += step {
			damaged := disk.CrashClone(vfs.CrashCloneCfg{})
			flip(t, damaged, path, at, uint(at)%8)
			got, err := openDamaged(t, damaged, n)
			count[got]++
			if got == wrong || got == hidden {
				t.Errorf("%s, bit %d of byte %d: %s: %v", path, at%8, at, got, err)
			}
		}
	}
	t.Log(count)
	if count[refused] == 0 || count[whole] == 0 {
		t.Errorf("%v: nothing was damaged", count)
	}
}
