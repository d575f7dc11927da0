package sim

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// world is a mesh on virtual time: everything that happens is an event, and
// one goroutine runs them in the order of their times.
type world struct {
	opt        Options
	now        time.Duration
	events     events
	serial     uint64
	trace      hash.Hash64
	log        io.Writer // nil, or where a readable trace goes
	history    History
	machines   []*machine
	net        *network
	load       *load
	sacrificed *machine     // the one whose disk may lose what it held
	gathers    uint64       // times that a node held own runs back
	forked     chain.Origin // the chain that was forked, until another machine has the proof

	// Each concern has its own randomness, so that taking one away leaves the
	// others as they were.
	rand struct{ disk, net, member, load, fault, clock *rand.Rand }
}

// The streams of randomness of a seed.
const (
	streamOptions = iota + 1
	streamDisk
	streamNet
	streamMember
	streamLoad
	streamFault
	streamClock
)

// Result is what came of a run.
type Result struct {
	History   History
	Trace     uint64        // a hash of everything that happened
	Simulated time.Duration // how long it was in simulated time
	Events    int
	Gathers   uint64 // times that a node held own runs back
	// Broken is what a node found wrong with itself, or with what it was sent, so
	// that it could not go on; the run ended there. "" if nothing was.
	Broken string
}

// broken ends a run.
type broken struct{ text string }

// Run runs a seed. The same seed and options give the same result.
func Run(seed uint64, o Options) Result { return RunTraced(seed, o, nil) }

// RunTraced is Run with a readable trace, a line for each thing that happened.
func RunTraced(seed uint64, o Options, log io.Writer) (r Result) {
	w := newWorld(seed, o, log)
	defer func() {
		if b, ok := recover().(broken); ok {
			r = Result{History: w.history, Trace: w.trace.Sum64(), Simulated: w.now, Events: int(w.serial), Broken: "broken: " + b.text}
		}
	}()
	w.start()
	w.suffer()
	w.heal()
	w.converge()
	w.finish()
	return Result{History: w.history, Trace: w.trace.Sum64(), Simulated: w.now, Events: int(w.serial), Gathers: w.gathers}
}

func newWorld(seed uint64, o Options, log io.Writer) *world {
	w := &world{opt: o, trace: fnv.New64a(), log: log}
	for i, r := range []**rand.Rand{&w.rand.disk, &w.rand.net, &w.rand.member, &w.rand.load, &w.rand.fault, &w.rand.clock} {
		*r = rand.New(rand.NewPCG(seed, uint64(streamDisk+i)))
	}
	w.net = newNetwork(w)
	for i := range o.Nodes {
		w.machines = append(w.machines, newMachine(w, seed, i))
	}
	w.load = newLoad(w)
	w.history.ConvergeWithin = convergeWithin
	return w
}

// convergeWithin bounds the time from the end of all faults to convergence. A
// stream is dialled again after 7.5 s at most, a node that recovers its chain
// waits for recoverWait, and a digest that was in vain is repeated.
const convergeWithin = 30 * time.Second

type event struct {
	at     time.Duration
	serial uint64
	do     func()
}

type events []event

func (h events) Len() int { return len(h) }
func (h events) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].serial < h[j].serial
}
func (h events) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *events) Push(x any)   { *h = append(*h, x.(event)) }
func (h *events) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// after has something done later.
func (w *world) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.events, event{w.now + max(d, 0), w.serial, do})
}

// every has something done now and then, until it says that it is over.
func (w *world) every(d time.Duration, do func() bool) {
	w.after(d, func() {
		if do() {
			w.every(d, do)
		}
	})
}

// run runs events up to a moment, or until done says so after one of them.
func (w *world) run(until time.Duration, done func() bool) bool {
	for len(w.events) > 0 && w.events[0].at <= until {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
		if done != nil && done() {
			return true
		}
	}
	w.now = max(w.now, until)
	return false
}

// note puts something that happened into the trace: what, and the numbers that
// tell it apart.
func (w *world) note(what string, node int, numbers ...uint64) {
	var b [8]byte
	put := func(n uint64) {
		binary.BigEndian.PutUint64(b[:], n)
		w.trace.Write(b[:])
	}
	put(uint64(w.now))
	put(uint64(node))
	io.WriteString(w.trace, what)
	for _, n := range numbers {
		put(n)
	}
	if w.log != nil {
		fmt.Fprintf(w.log, "%12s n%d %s %v\n", w.now, node, what, numbers)
	}
}

// say adds a line to the readable trace alone.
func (w *world) say(node int, format string, args ...any) {
	if w.log != nil {
		fmt.Fprintf(w.log, "%12s n%d %s\n", w.now, node, fmt.Sprintf(format, args...))
	}
}

// record adds an event to the history.
func (w *world) record(e Event) { w.history.Events = append(w.history.Events, e) }

// between draws a duration.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// chance reports true once in n times.
func chance(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }
