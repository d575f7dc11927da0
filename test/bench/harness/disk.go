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

// Disk prints what fsync costs where dir is.
func Disk(w io.Writer, dir string, length time.Duration) error {
	fmt.Fprintln(w, "| disk probe | appends/s | p50 ms | p99 ms | max ms |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|")
	for _, p := range []struct {
		name string
		sync func(*os.File) error
	}{
		{"4 KiB append + fsync, one writer", (*os.File).Sync},
		{"4 KiB append + fdatasync, one writer", func(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }},
	} {
		lats, rate, err := serialAppends(filepath.Join(dir, "serial"), p.sync, length)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "| %s | %.0f | %.2f | %.2f | %.2f |\n", p.name, rate, quantile(lats, .5), quantile(lats, .99), lats[len(lats)-1])
	}
	for _, writers := range []int{16, 256} {
		lats, rate, syncs, err := groupAppends(filepath.Join(dir, fmt.Sprint("group", writers)), writers, length)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "| 256 B records, group commit, %d waiting writers (%.0f fdatasync/s) | %.0f | %.2f | %.2f | %.2f |\n",
			writers, syncs, rate, quantile(lats, .5), quantile(lats, .99), lats[len(lats)-1])
	}
	return nil
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
