package harness

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"syscall"
	"time"
)

// GroupLog is an append-only file whose appends share fsyncs: all that came
// in during one fsync is written and synced by the next.
type GroupLog struct {
	f     *os.File
	mu    sync.Mutex
	buf   []byte
	then  []func()
	wake  chan struct{}
	quit  chan struct{}
	Syncs int
}

// OpenGroupLog creates the file at path.
func OpenGroupLog(path string) (*GroupLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	g := &GroupLog{f: f, wake: make(chan struct{}, 1), quit: make(chan struct{})}
	go g.loop()
	return g, nil
}

// Append queues p; then is called once p is on disk.
func (g *GroupLog) Append(p []byte, then func()) {
	g.mu.Lock()
	g.buf = binary.LittleEndian.AppendUint32(g.buf, uint32(len(p)))
	g.buf = append(g.buf, p...)
	g.then = append(g.then, then)
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *GroupLog) loop() {
	var spareBuf []byte
	var spareThen []func()
	for {
		select {
		case <-g.quit:
			return
		case <-g.wake:
		}
		g.mu.Lock()
		buf, then := g.buf, g.then
		g.buf, g.then = spareBuf[:0], spareThen[:0]
		g.mu.Unlock()
		if len(then) == 0 {
			spareBuf, spareThen = buf, then
			continue
		}
		if _, err := g.f.Write(buf); err != nil {
			return
		}
		if err := syscall.Fdatasync(int(g.f.Fd())); err != nil {
			return
		}
		g.Syncs++
		for _, fn := range then {
			fn()
		}
		clear(then)
		spareBuf, spareThen = buf, then
	}
}

// Close stops the log; what is queued and not synced is dropped.
func (g *GroupLog) Close() { close(g.quit) }

// Probe is what synced appends cost, measured one way.
type Probe struct {
	Name   string  `json:"name"`
	PerSec float64 `json:"appends_per_s"`
	Syncs  float64 `json:"syncs_per_s"`
	P50ms  float64 `json:"p50_ms"`
	P99ms  float64 `json:"p99_ms"`
	MaxMs  float64 `json:"max_ms"`
}

func newProbe(name string, lats []float64, rate, syncs float64) Probe {
	return Probe{name, rate, syncs, quantile(lats, .5), quantile(lats, .99), lats[len(lats)-1]}
}

// Disk measures what synced appends cost where dir is, each way for length.
func Disk(dir string, length time.Duration) ([]Probe, error) {
	lats, rate, err := serialAppends(filepath.Join(dir, "serial"), (*os.File).Sync, length)
	if err != nil {
		return nil, err
	}
	out := []Probe{newProbe("4 KiB append + fsync, one writer", lats, rate, rate)}
	for _, writers := range []int{1, 64, 256} {
		p, err := SyncedAppends(dir, writers, length)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// SyncedAppends measures writers that append a record of 256 bytes each, wait
// until it is on disk, and append the next; waiting ones share an fdatasync.
func SyncedAppends(dir string, writers int, length time.Duration) (Probe, error) {
	lats, rate, syncs, err := groupAppends(filepath.Join(dir, fmt.Sprint("group", writers)), writers, length)
	if err != nil {
		return Probe{}, err
	}
	return newProbe(fmt.Sprintf("256 B append + fdatasync, %d writers in groups", writers), lats, rate, syncs), nil
}

// PrintDisk writes probes as a table in Markdown.
func PrintDisk(w io.Writer, probes []Probe) {
	fmt.Fprintln(w, "| disk probe | appends/s | syncs/s | p50 ms | p99 ms | max ms |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|")
	for _, p := range probes {
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %.2f | %.2f | %.2f |\n", p.Name, p.PerSec, p.Syncs, p.P50ms, p.P99ms, p.MaxMs)
	}
}

func serialAppends(path string, sync func(*os.File) error, length time.Duration) ([]float64, float64, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, 0, err
	}
	defer os.Remove(path)
	defer f.Close()
	block := make([]byte, 4096)
	var lats []float64
	start := time.Now()
	for time.Since(start) < length {
		t := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, 0, err
		}
		if err := sync(f); err != nil {
			return nil, 0, err
		}
		lats = append(lats, time.Since(t).Seconds()*1e3)
	}
	rate := float64(len(lats)) / time.Since(start).Seconds()
	sort.Float64s(lats)
	return lats, rate, nil
}

func groupAppends(path string, writers int, length time.Duration) ([]float64, float64, float64, error) {
	g, err := OpenGroupLog(path)
	if err != nil {
		return nil, 0, 0, err
	}
	defer os.Remove(path)
	defer g.Close()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var lats []float64
	start := time.Now()
	for range writers {
		wg.Go(func() {
			rec := make([]byte, 256)
			done := make(chan struct{}, 1)
			var mine []float64
			for time.Since(start) < length {
				t := time.Now()
				g.Append(rec, func() { done <- struct{}{} })
				<-done
				mine = append(mine, time.Since(t).Seconds()*1e3)
			}
			mu.Lock()
			lats = append(lats, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	secs := time.Since(start).Seconds()
	sort.Float64s(lats)
	return lats, float64(len(lats)) / secs, float64(g.Syncs) / secs, nil
}
