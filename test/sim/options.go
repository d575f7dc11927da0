package sim

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Options say what a run consists of. A seed has its own, see OptionsOf; a
// failing run is shrunk by taking from them.
type Options struct {
	Nodes    int           // 2 to 9
	Drafts   int           // that producers send in all
	Duration time.Duration // of the phase with faults and load
	Faults   Fault
	// Defect is planted, to see it caught. The zero value plants none.
	Defect Defect
}

// Fault is a set of kinds of faults.
type Fault uint32

// The kinds of faults. Those of the disk come at a crash or end in one.
const (
	Crashes     Fault = 1 << iota // processes are killed, and start again
	TornTails                     // a crash loses some of what was not synced
	DiskErrors                    // a commit or a sync fails
	DiskFull                      // a commit finds no room
	DiskLosses                    // a directory is lost
	Restores                      // an old copy of a directory is put back, and can be told
	Rollbacks                     // the same to a whole machine, which cannot be told
	TailLosses                    // a disk loses the end of what it had synced
	Partitions                    // full and one-way
	Resets                        // streams break and come back
	SlowLinks                     // long delays, narrow windows
	Pauses                        // SIGSTOP
	Skews                         // clocks that are off from the start, and drift
	Jumps                         // clocks that are set, by seconds or a year
	Suspicions                    // membership takes a live node for failed
	Leaves                        // nodes leave in order, and come back
	LostAnswers                   // to publishes and polls
	PowerCuts                     // all processes end at once
	MemoryNodes                   // one node has no directory
	TightQueues                   // small push queues and frames
	Forks                         // an old copy is put back where nobody can tell, and its node forks its chain

	faultsEnd
)

var faultNames = [...]string{
	"crashes", "torn-tails", "disk-errors", "disk-full", "disk-losses", "restores", "rollbacks", "tail-losses", "partitions",
	"resets", "slow-links", "pauses", "skews", "jumps", "suspicions", "leaves", "lost-answers", "power-cuts", "memory-nodes", "tight-queues",
	"forks",
}

const (
	// AllFaults are all that the product promises to survive.
	AllFaults = faultsEnd - 1
	// noFaults has none.
	noFaults Fault = 0
)

// Has reports whether f holds one of the faults of g.
func (f Fault) Has(g Fault) bool { return f&g != 0 }

// Each are the single kinds of a set.
func (f Fault) Each() []Fault {
	var kinds []Fault
	for rest := f; rest != 0; rest &= rest - 1 {
		kinds = append(kinds, Fault(1)<<bits.TrailingZeros32(uint32(rest)))
	}
	return kinds
}

func (f Fault) String() string {
	if f == noFaults {
		return "none"
	}
	var names []string
	for _, k := range f.Each() {
		names = append(names, faultNames[bits.TrailingZeros32(uint32(k))])
	}
	return strings.Join(names, "+")
}

func parseFault(s string) (f Fault, err error) {
	if s == "none" {
		return noFaults, nil
	}
	for name := range strings.SplitSeq(s, "+") {
		found := false
		for i, n := range faultNames {
			if n == name {
				f, found = f|1<<i, true
			}
		}
		if !found {
			return 0, fmt.Errorf("no fault %q", name)
		}
	}
	return f, nil
}

// largeMesh is from how many nodes on own runs gather often: a few peers are pushed each at
// once.
const largeMesh = 6

// OptionsOf are what a seed runs with, as random as the rest of it.
func OptionsOf(seed uint64) Options {
	r := rand.New(rand.NewPCG(seed, streamOptions))
	o := Options{
		Nodes:    3 + min(r.IntN(3), r.IntN(5)),
		Drafts:   20 + r.IntN(50),
		Duration: time.Duration(2000+r.IntN(4000)) * time.Millisecond,
	}
	for _, k := range AllFaults.Each() {
		if r.IntN(3) == 0 {
			o.Faults |= k
		}
	}
	if o.Faults.Has(TornTails | Restores | TailLosses) {
		o.Faults |= Crashes
	}
	if r.IntN(8) == 0 { // so large, and so loaded, that own runs gather
		o.Nodes += largeMesh - 3
		o.Drafts *= 2
	}
	return o
}

// String is the form that ParseOptions reads.
func (o Options) String() string {
	s := fmt.Sprintf("nodes=%d,drafts=%d,duration=%s,faults=%s", o.Nodes, o.Drafts, o.Duration, o.Faults)
	if o.Defect != NoDefect {
		s += ",defect=" + strings.ReplaceAll(o.Defect.String(), " ", "-")
	}
	return s
}

// ParseOptions reads what String wrote.
func ParseOptions(s string) (o Options, err error) {
	for field := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "nodes":
			o.Nodes, err = strconv.Atoi(value)
		case "drafts":
			o.Drafts, err = strconv.Atoi(value)
		case "duration":
			o.Duration, err = time.ParseDuration(value)
		case "faults":
			o.Faults, err = parseFault(value)
		case "defect":
			o.Defect, err = parseDefect(value)
		default:
			err = fmt.Errorf("no option %q", name)
		}
		if err != nil {
			return Options{}, fmt.Errorf("options %q: %w", s, err)
		}
	}
	return o, nil
}
