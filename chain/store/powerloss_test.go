package store_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidings-mesh/tidings/chain/store"
)

// TestPowerLossAtEveryCall lives a whole life, with notes, flushes, compactions,
// closes and openings, and loses power before each call that changes the disk
// with 0, 50 and 100 % of what was not synced kept, and half way through each
// write, of which then the first half is kept. Nothing that was acknowledged is
// lost, what is lost is a suffix, and the note is the last that was acknowledged,
// or one that was begun since, whole; never ahead of the store.
// No call for the note is left out, and with TIDINGS_SOAK=1 no other either.
func TestPowerLossAtEveryCall(t *testing.T) {
	noLeaks(t)
	disk := vfs.NewCrashableMem()
	fs := &stepFS{under: disk}
	l := &life{fs: fs}
	rng := rand.New(rand.NewPCG(3, 3))
	kinds := map[string]int{}
	var crashes []crash
	lose := func(at string, kept int) {
		c := crash{kept: kept, at: at, least: int(l.synced.Load())}
		c.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rng})
		c.most = int(l.tried.Load())
		c.noted, c.noting = int(l.noted.Load()), int(l.noting.Load())
		crashes = append(crashes, c)
	}
	every := 7
	if everything() {
		every = 1
	}
	seen := 0
	fs.fail = func(c call) *how {
		if c.write {
			if seen++; seen%every == 0 || ofNote(c) {
				kinds[c.name]++
				for _, kept := range []int{0, 50, 100} {
					lose(fmt.Sprintf("before call %d, %s %s", c.n, c.name, c.path), kept)
				}
			}
		}
		return nil
	}
	torn := 0
	fs.torn = func(c call) func() {
		if torn++; torn%every != 0 && !ofNote(c) {
			return nil
		}
		kinds["torn write"]++
		if filepath.Base(c.path) == "heads" {
			kinds["torn note"]++
		}
		return func() { lose(fmt.Sprintf("half way through write %d, of %d bytes to %s", c.n, c.size, c.path), 100) }
	}
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	lost, kept := 0, 0
	work := make(chan crash)
	for range 4 {
		wg.Go(func() {
			for c := range work {
				n := checkLoss(t, c)
				mu.Lock()
				lost, kept = lost+c.most-n, kept+n-c.least
				mu.Unlock()
			}
		})
	}
	for _, c := range crashes {
		work <- c
	}
	close(work)
	wg.Wait()
	l.check(t, disk.CrashClone(vfs.CrashCloneCfg{}), "after the last close")
	t.Logf("%d power losses, by call: %v; unsynced batches lost %d, kept %d", len(crashes), kinds, lost, kept)
	if lost == 0 || kept == 0 {
		t.Error("nothing was lost, or nothing kept: the test crashed nothing")
	}
	for _, want := range []string{"write", "torn write", "torn note", "sync", "sync data", "create", "rename", "remove"} {
		if (everything() || strings.HasSuffix(want, "note")) && kinds[want] == 0 {
			t.Errorf("no power loss at a %s", want)
		}
	}
}

// ofNote tells the calls to the note's file, all of which are tried.
func ofNote(c call) bool { return strings.HasPrefix(filepath.Base(c.path), "heads") }

// checkLoss opens what a power loss left, writes on, and opens that.
func checkLoss(t *testing.T, c crash) int {
	when := fmt.Sprintf("%s, %d %% kept", c.at, c.kept)
	n := checkPrefix(t, c.disk, c.least, c.most, when)
	s, err := store.OpenPebble("node", store.Options{FS: c.disk})
	if err != nil {
		t.Errorf("%s, opened again: %v", when, err)
		return n
	}
	checkNote(t, s, c.noted, min(c.noting, n), when)
	w := writer{s: s, n: n}
	if err := w.write(true); err != nil {
		t.Errorf("%s, written on: %v", when, err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("%s, closed: %v", when, err)
	}
	w.check(t, c.disk, when+", written on")
	return n
}
