package sim

import (
	"flag"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seedFlag    = flag.Uint64("sim.seed", 0, "run this seed alone, with its trace")
	optionsFlag = flag.String("sim.options", "", "what it runs with; by default the seed's own")
	seedsFlag   = flag.Int("sim.seeds", 200, "how many seeds TestSeeds runs")
	firstFlag   = flag.Uint64("sim.first", 1, "the first of them")
)

func TestSeeds(t *testing.T) {
	began := time.Now()
	var next atomic.Uint64
	next.Store(*firstFlag)
	last := *firstFlag + uint64(*seedsFlag)
	var simulated, events, worst atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1) - 1; seed < last; seed = next.Add(1) - 1 {
				o := OptionsOf(seed)
				r := Run(seed, o)
				again := Run(seed, o)
				if r.Trace != again.Trace {
					t.Errorf("seed %d has traces %x and %x", seed, r.Trace, again.Trace)
				}
				simulated.Add(int64(r.Simulated))
				events.Add(int64(r.Events))
				took := r.History.ConvergedAt - r.History.HealedAt
				if r.History.ConvergedAt == 0 {
					t.Errorf("seed %d with %s did not converge", seed, o)
				} else {
					for w := worst.Load(); int64(took) > w && !worst.CompareAndSwap(w, int64(took)); w = worst.Load() {
					}
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds, %s simulated, %d events, slowest convergence %s, in %s", *seedsFlag, time.Duration(simulated.Load()), events.Load(), time.Duration(worst.Load()), time.Since(began))
}

func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("no -sim.seed")
	}
	o := OptionsOf(*seedFlag)
	if *optionsFlag != "" {
		var err error
		if o, err = ParseOptions(*optionsFlag); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(o)
	r := RunTraced(*seedFlag, o, os.Stdout)
	t.Logf("trace %x converged %s after %s", r.Trace, r.History.ConvergedAt, r.History.HealedAt)
}
