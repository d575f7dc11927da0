package sim

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seedFlag    = flag.Uint64("sim.seed", 0, "the seed that TestSeed runs")
	optionsFlag = flag.String("sim.options", "", "what seeds run with; by default each has its own")
	traceFlag   = flag.Bool("sim.trace", false, "TestSeed prints all that happens")
	seedsFlag   = flag.Uint64("sim.seeds", 200, "how many seeds TestSeeds runs")
	firstFlag   = flag.Uint64("sim.first", 1, "the first of them")
	forFlag     = flag.Duration("sim.for", 0, "when TestSeeds stops, done or not; 0 for never")
)

// fault tells what is wrong with a run, "" if nothing is.
func fault(r Result) string {
	if r.Broken != "" {
		return r.Broken
	}
	if found := Check(&r.History); len(found) > 0 {
		return found[0].String()
	}
	return ""
}

// TestSeeds runs each seed twice: what is simulated holds to the invariants, and
// the same seed gives the same.
func TestSeeds(t *testing.T) {
	began := time.Now()
	var total soak
	var next, done atomic.Uint64
	next.Store(*firstFlag)
	last := *firstFlag + *seedsFlag
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := next.Add(1) - 1; seed < last; seed = next.Add(1) - 1 {
				if *forFlag > 0 && time.Since(began) > *forFlag {
					return
				}
				o := options(t, seed)
				r := Run(seed, o)
				if again := Run(seed, o); again.Trace != r.Trace {
					t.Errorf("seed %d has the traces %x and %x", seed, r.Trace, again.Trace)
				}
				if wrong := fault(r); wrong != "" {
					t.Errorf("seed %d: %s\n%s", seed, wrong, shrunk(seed, o, wrong))
				}
				total.add(r)
				if n := done.Add(1); n%1000 == 0 {
					t.Logf("%d seeds, %s", n, &total)
				}
			}
		})
	}
	workers.Wait()
	if *optionsFlag == "" && done.Load() >= 100 && total.gathered == 0 {
		t.Error("in no seed own runs gathered")
	}
	t.Logf("%d seeds in %s: %s", done.Load(), time.Since(began).Round(time.Millisecond), &total)
}

func options(t *testing.T, seed uint64) Options {
	if *optionsFlag == "" {
		return OptionsOf(seed)
	}
	o, err := ParseOptions(*optionsFlag)
	if err != nil {
		t.Error(err)
	}
	return o
}

// shrunk makes a failing run small, and says how to look at it.
func shrunk(seed uint64, o Options, wrong string) string {
	invariant, _, _ := strings.Cut(wrong, " ")
	small := Shrink(seed, o, 200, func(r Result) bool {
		was, _, _ := strings.Cut(fault(r), " ")
		return was == invariant
	})
	return fmt.Sprintf("it needs no more than %s\ngo test ./test/sim -run 'TestSeed$' -v -args -sim.seed=%d -sim.options=%s", small, seed, small)
}

// TestSeed runs one seed, and tells its story.
func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("it runs the seed of -sim.seed")
	}
	o := options(t, *seedFlag)
	var trace bytes.Buffer
	r := RunTraced(*seedFlag, o, &trace)
	if *traceFlag {
		os.Stdout.Write(trace.Bytes())
	}
	t.Logf("seed %d with %s: trace %x, %d events, healed at %s, converged at %s", *seedFlag, o, r.Trace, r.Events,
		r.History.HealedAt, r.History.ConvergedAt)
	if r.Broken != "" {
		t.Error(r.Broken)
	}
	for _, v := range Check(&r.History) {
		t.Error(v)
		for _, line := range Concerning(&r.History, v) {
			t.Log(line)
		}
	}
}

// soak is what many runs add up to.
type soak struct {
	mu        sync.Mutex
	simulated time.Duration
	events    int
	took      []time.Duration // to converge
	updates   int
	gathers   uint64
	gathered  int // seeds with any
}

func (s *soak) add(r Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.simulated += r.Simulated
	s.events += r.Events
	s.gathers += r.Gathers
	if r.Gathers > 0 {
		s.gathered++
	}
	s.took = append(s.took, r.History.ConvergedAt-r.History.HealedAt)
	if len(r.History.Finals) > 0 {
		s.updates += len(r.History.Finals[0].Log)
	}
}

func (s *soak) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.took)
	at := func(part int) time.Duration { return s.took[(len(s.took)-1)*part/100] }
	return fmt.Sprintf("%s simulated, %d events, %d updates; own runs gathered %d times, in %d seeds; converged after %s (half), %s (99 %%), %s (all)",
		s.simulated.Round(time.Second), s.events, s.updates, s.gathers, s.gathered, at(50), at(99), at(100))
}

// What a failing run is told to be replayed with is what it ran with.
func TestOptionsAreReadAsWritten(t *testing.T) {
	for seed := range uint64(200) {
		o := OptionsOf(seed)
		o.Defect = Defect(seed % uint64(defectsEnd))
		read, err := ParseOptions(o.String())
		if err != nil || read != o {
			t.Fatalf("%s is read as %s: %v", o, read, err)
		}
	}
	for _, bad := range []string{"", "nodes=x", "faults=crash", "speed=3", "defect=x"} {
		if _, err := ParseOptions(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
