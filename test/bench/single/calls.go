package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/test/bench/harness"
)

// goCalls measures Publish by Go call, between two probes of the disk: what as
// many writers reach that append a record of that size to a file, wait until
// it is synced, and share their syncs.
func goCalls(r *report, o options) error {
	for _, callers := range []int{1, 64} {
		dir, err := os.MkdirTemp(o.tmp, "bench-")
		if err != nil {
			return err
		}
		err = func() error {
			defer os.RemoveAll(dir)
			before, err := harness.SyncedAppends(dir, callers, o.length)
			if err != nil {
				return err
			}
			row, err := publish(filepath.Join(dir, "node"), callers, o)
			if err != nil {
				return err
			}
			after, err := harness.SyncedAppends(dir, callers, o.length)
			if err != nil {
				return err
			}
			disk := (before.PerSec + after.PerSec) / 2
			r.add(Row{
				What: fmt.Sprintf("disk: synced appends of 256 B, %d %s", callers, plural(callers, "writer")), Value: disk, Unit: "/s",
				P50ms: (before.P50ms + after.P50ms) / 2, P99ms: max(before.P99ms, after.P99ms),
			})
			row.Beside, row.Ratio = "disk", row.Value/disk
			r.add(row)
			return nil
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

func publish(dir string, callers int, o options) (Row, error) {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "caller", DataDir: dir})
	if err != nil {
		return Row{}, err
	}
	defer n.Close()
	stopProfile := func() {}
	if o.profiles != "" {
		f, err := os.Create(filepath.Join(o.profiles, fmt.Sprintf("go calls %d.pprof", callers)))
		if err != nil {
			return Row{}, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return Row{}, err
		}
		stopProfile = pprof.StopCPUProfile
	}
	var next atomic.Int64
	var mu sync.Mutex // protects lats and failed
	var lats []float64
	var failed error
	var wg sync.WaitGroup
	began := time.Now()
	for range callers {
		wg.Go(func() {
			var mine []float64
			for time.Since(began) < o.length {
				i := next.Add(1)
				t := time.Now()
				_, err := n.Publish(ctx, node.Draft{Subject: subject(i, o.subjects), Delta: harness.NewPayload(o.payload, i)})
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				mine = append(mine, time.Since(t).Seconds()*1e3)
			}
			mu.Lock()
			defer mu.Unlock()
			lats = append(lats, mine...)
		})
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	stopProfile()
	if failed != nil {
		return Row{}, failed
	}
	slices.Sort(lats)
	return Row{
		What: fmt.Sprintf("publish by Go call, durable, %d %s", callers, plural(callers, "caller")), Value: float64(len(lats)) / took, Unit: "/s",
		P50ms: lats[len(lats)/2], P99ms: lats[len(lats)*99/100], RSSMB: harness.RSS() / (1 << 20),
	}, nil
}

// subject spreads updates over subjects.
func subject(i int64, subjects int) string {
	return fmt.Sprintf("order/%06d", i*7919%int64(subjects))
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
