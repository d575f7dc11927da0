package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
)

const (
	faultStride = 31 // of the calls, one in so many is tried at a time
	partVar     = "TIDINGS_TEST_PART"
)

// everything reports whether tests are to leave no case out: TIDINGS_SOAK=1.
func everything() bool { return os.Getenv("TIDINGS_SOAK") != "" }

// life is the scenario that is broken at each of its calls: a store is made,
// written, noted, closed, opened again, flushes and compacts, and is closed
// again. Notes are written in a new file, into it, and once they have outgrown it
// in another. Reads are held against what was written.
type life struct {
	writer
	fs    vfs.FS
	open  *store.Disk // nil while it is closed
	ended bool        // the last step was a Close
	errs  []error     // of reads

	noting, noted atomic.Int64 // batches that a note was begun of, and acknowledged
}

func (l *life) run() error {
	for _, step := range []func() error{
		l.begin, l.some(12, 4), l.mark, l.some(4, 3), l.mark, l.some(4, 3), l.sync, l.read, l.end,
		l.begin, l.read, l.some(30, 5), l.mark, l.some(30, 5), l.mark, l.some(60, 7), l.read, l.mark, l.some(3, 1), l.mark, l.end,
		l.begin, l.some(3, 1), l.read, l.end,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (l *life) begin() error {
	l.ended = false
	d, err := store.OpenPebble("node", store.Options{FS: l.fs, MemTableSize: 64 << 10})
	if err != nil {
		return err
	}
	l.open, l.s = d, d
	return nil
}

// some writes n batches, each so many-th synced.
func (l *life) some(n, each int) func() error {
	return func() error {
		for range n {
			if err := l.write(l.n%each == 0); err != nil {
				return err
			}
		}
		return nil
	}
}

func (l *life) sync() error {
	err := l.s.Sync()
	if err == nil {
		l.ack()
	}
	return err
}

func (l *life) ack() {
	l.durable = l.n
	l.synced.Store(int64(l.n))
}

func (l *life) mark() error {
	if err := l.sync(); err != nil {
		return err
	}
	l.noting.Store(int64(l.n))
	err := l.open.Mark(noteOf(l.n))
	if err == nil {
		l.noted.Store(int64(l.n))
	}
	return err
}

// noteOf says n all over some sectors, and over some pages once n has grown.
func noteOf(n int) []byte {
	size := 2000
	if n > 100 {
		size = 6000
	}
	one := fmt.Appendf(nil, "%d ", n)
	return bytes.Repeat(one, size/len(one))
}

// checkNote wants the note of as many batches as the last one that was
// acknowledged has, or as one that had been begun since.
func checkNote(t *testing.T, s *store.Disk, least, most int, when string) {
	t.Helper()
	n := 0
	if note := s.Note(); note != nil {
		if _, err := fmt.Sscan(string(note), &n); err != nil || !bytes.Equal(note, noteOf(n)) {
			t.Errorf("%s: the note is of no number of batches: %q", when, note)
		}
	}
	if n < least || n > most {
		t.Errorf("%s: the note is of %d batches; %d had been noted, and %d begun to be", when, n, least, most)
	}
}

// read wants the truth or an error, which is no reason to stop.
func (l *life) read() error {
	for i := max(1, l.n-20); i <= l.n; i += 3 {
		v, err := l.s.Get(keyOf(i))
		switch {
		case err != nil:
			l.errs = append(l.errs, err)
		case v != nil && !bytes.Equal(v, valueOf(i)), v == nil && (i%10 != 1 || i+9 > l.n):
			return fmt.Errorf("key %d of %d reads as %d bytes", i, l.n, len(v))
		}
	}
	return nil
}

func (l *life) end() error {
	d := l.open
	l.open, l.ended = nil, true
	err := d.Close()
	if err == nil {
		l.ack()
	}
	return err
}

// fallout is how a life took a failure.
type fallout string

const (
	unharmed  fallout = "went on"
	unopened  fallout = "did not open"
	died      fallout = "died"
	badClose  fallout = "did not close well"
	abandoned fallout = "died and gave up on Pebble"
)

// suffer runs the life until a step fails, and has what then is asked of it be
// refused. The error says what was wrong with that.
func (l *life) suffer(cause error) (fallout, error) {
	err := l.run()
	switch {
	case err == nil:
		return unharmed, nil
	case !errors.Is(err, cause):
		return unharmed, fmt.Errorf("failed by itself: %w", err)
	case errors.Is(err, store.ErrAbandoned), l.open == nil && !l.ended && errors.Is(err, chain.ErrStoreFailed):
		return abandoned, nil // a Close that says so, or an open whose flush failed
	case l.open == nil && l.ended:
		return badClose, nil
	case l.open == nil:
		return unopened, nil
	}
	var wrong []error
	if !errors.Is(err, chain.ErrStoreFailed) {
		wrong = append(wrong, fmt.Errorf("not ErrStoreFailed: %w", err))
	}
	for name, again := range map[string]error{
		"commit": l.write(false), "synced commit": l.write(true), "sync": l.s.Sync(), "mark": l.s.Mark([]byte("x")),
	} {
		if again != err {
			wrong = append(wrong, fmt.Errorf("%s afterwards: %v, want the same error", name, again))
		}
	}
	if !l.open.Stats().Failed {
		wrong = append(wrong, errors.New("Stats does not say that it failed"))
	}
	if v, err := l.s.Get(keyOf(1)); err != nil && !errors.Is(err, cause) || err == nil && !bytes.Equal(v, valueOf(1)) {
		wrong = append(wrong, fmt.Errorf("read afterwards: %d bytes, %w", len(v), err))
	}
	began := time.Now()
	closed := l.open.Close()
	if took := time.Since(began); took > 10*time.Second {
		wrong = append(wrong, fmt.Errorf("close took %v", took))
	}
	if !errors.Is(closed, chain.ErrStoreFailed) {
		wrong = append(wrong, fmt.Errorf("close: %v", closed))
	}
	if errors.Is(closed, store.ErrAbandoned) {
		return abandoned, errors.Join(wrong...)
	}
	return died, errors.Join(wrong...)
}

// faultPoint is one call, how it fails, and whether all after it do.
type faultPoint struct {
	how
	k       int
	forever bool
}

func (p faultPoint) String() string {
	kind := "nothing done"
	if p.late {
		kind = "all done"
	} else if p.short {
		kind = "half done"
	}
	if p.forever {
		kind += ", and so from then on"
	}
	return fmt.Sprintf("%v at call %d, %s", p.err, p.k, kind)
}

// faultPoints are those of a life of so many calls, each stride-th from first on.
func faultPoints(calls, first, stride int) (points []faultPoint) {
	for i, p := range []faultPoint{
		{how: how{err: syscall.EIO}},
		{how: how{err: syscall.EIO}, forever: true},
		{how: how{err: syscall.EIO, late: true}},
		{how: how{err: syscall.ENOSPC}},
		{how: how{err: syscall.ENOSPC}, forever: true},
		{how: how{err: syscall.ENOSPC, short: true}},
	} {
		for k := (first + i) % stride; k < calls; k += stride {
			p.k = k
			points = append(points, p)
		}
	}
	return points
}

// TestEveryCallFails has each call of a store's life to its file system fail,
// once and from then on, with nothing, half or all of it done. Whatever comes
// of it: what was acknowledged is there when the disk is well again; a store
// that failed to write takes nothing more and says why; Close returns in time;
// the process lives; and nothing goes on running but in stores that gave up on
// Pebble and said so. TIDINGS_SOAK=1 leaves no call out: it runs the test in one
// process after another, for what gave up on Pebble stays in memory.
func TestEveryCallFails(t *testing.T) {
	part := os.Getenv(partVar)
	if everything() && part == "" {
		for first := range faultStride {
			run := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEveryCallFails$", "-test.v")
			run.Env = append(os.Environ(), fmt.Sprintf("%s=%d", partVar, first))
			out, err := run.CombinedOutput()
			if err != nil {
				t.Errorf("part %d of %d: %v\n%s", first, faultStride, err, out)
				continue
			}
			t.Logf("part %d of %d: %s", first, faultStride, regexp.MustCompile("[0-9]+ calls in a life.*").Find(out))
		}
		return
	}
	first, _ := strconv.Atoi(part)
	pool, err := store.OpenPebble("pool", store.Options{FS: vfs.NewMem()}) // has the goroutines that belong to no case
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	well := &stepFS{under: vfs.NewCrashableMem()}
	if err := (&life{fs: well}).run(); err != nil {
		t.Fatal(err)
	}
	points := faultPoints(well.n, first, faultStride)
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		count = map[fallout]int{}
		gone  = map[string]bool{} // cases that may have left goroutines
		hit   = map[string]int{}  // by the name of the call
	)
	room := make(chan struct{}, 64) // most of them wait
	for _, p := range points {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			where, got := breakLife(t, p)
			mu.Lock()
			defer mu.Unlock()
			if where == "" {
				return // fewer calls this time
			}
			count[got]++
			hit[where]++
			gone[p.String()] = got == abandoned
		})
	}
	all.Wait()
	t.Logf("%d calls in a life, %d points tried: %v; calls: %v", well.n, len(points), count, hit)
	for _, want := range []fallout{unharmed, unopened, died, abandoned} {
		if count[want] == 0 {
			t.Errorf("no store %s: the test broke too little", want)
		}
	}
	noneRunsOn(t, gone)
}

// breakLife lives one life to its failure, and looks at what it left. where is
// the name of the call that failed, empty if it was never made.
func breakLife(t *testing.T, p faultPoint) (where string, got fallout) {
	disk := vfs.NewCrashableMem()
	fs := &stepFS{under: disk}
	var hit call
	var at string
	var wrong error
	fs.fail = func(c call) *how {
		if c.n != p.k && !(p.forever && c.n > p.k) {
			return nil
		}
		if hit.name == "" {
			hit = c
		}
		return &p.how
	}
	l := &life{fs: fs}
	type end struct {
		got fallout
		err error
	}
	ended := make(chan end, 1)
	pprof.Do(t.Context(), pprof.Labels("case", p.String()), func(context.Context) {
		go func() {
			got, err := l.suffer(p.err)
			ended <- end{got, err}
		}()
	})
	select {
	case e := <-ended:
		got = e.got
		wrong = e.err
	case <-time.After(2 * time.Minute):
		t.Errorf("%v: it hangs", p)
		return "", got
	}
	fs.mu.Lock() // keeps out what was abandoned, and for no longer than it takes: stores share caches
	lost := disk.CrashClone(vfs.CrashCloneCfg{})
	kept := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	where, at = hit.name, hit.path
	fs.mu.Unlock()
	if where == "" {
		return "", got
	}
	if wrong != nil {
		t.Errorf("%v (%s %s): %v", p, where, at, wrong)
	}
	for when, disk := range map[string]vfs.FS{"after a power loss": lost, "after the process ended": kept} {
		when = fmt.Sprintf("%v (%s %s), %s", p, where, at, when)
		checkPrefix(t, disk, l.durable, l.n, when)
		if s, err := store.OpenPebble("node", store.Options{FS: disk}); err != nil {
			t.Errorf("%s, opened again: %v", when, err)
		} else {
			checkNote(t, s, int(l.noted.Load()), int(l.noting.Load()), when)
			if err := s.Close(); err != nil {
				t.Errorf("%s, closed: %v", when, err)
			}
		}
	}
	for _, err := range l.errs {
		if !errors.Is(err, p.err) {
			t.Errorf("%v (%s %s): read: %v", p, where, at, err)
		}
	}
	return where, got
}

// noneRunsOn wants no goroutine of a case that did not say so.
func noneRunsOn(t *testing.T, gone map[string]bool) {
	t.Helper()
	label := regexp.MustCompile(`(?m)^# labels: \{"case":"([^"]*)"\}`)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var profile bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
			t.Fatal(err)
		}
		abandoned := 0
		var left []string
		for _, stack := range strings.Split(profile.String(), "\n\n") {
			switch m := label.FindStringSubmatch(stack); {
			case m == nil:
			case gone[m[1]]:
				abandoned++
			default:
				left = append(left, stack)
			}
		}
		if abandoned == 0 {
			t.Fatal("no goroutine of an abandoned store was found: the labels tell nothing")
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left of cases that did not say so, such as\n%s", len(left), strings.Join(left[:min(3, len(left))], "\n\n"))
		}
	}
}
