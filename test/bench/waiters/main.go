// Command waiters measures what consumers that wait cost an agent and its
// producers: memory for each, the latency of a publish while updates come that
// concern none of them, and how long all take to have one that does. The agent
// is a process of its own on the same cores; several binaries of it can be
// measured in one run.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/test/bench/agent"
)

type options struct {
	consumers, rate, rounds int
	length                  time.Duration
}

// row is what was measured of one binary and one way to wait.
type row struct {
	agent, how       string
	kbEach           float64
	alone, with      latency // of a publish: nobody waits, all do
	offered, reached float64 // updates/s that concern nobody
	first, last      []float64
}

func main() {
	var o options
	flag.IntVar(&o.consumers, "consumers", 10_000, "consumers that wait")
	flag.IntVar(&o.rate, "rate", 1_000, "updates a second that concern none of them")
	flag.IntVar(&o.rounds, "rounds", 5, "updates that concern all of them")
	flag.DurationVar(&o.length, "length", 10*time.Second, "how long latency is measured")
	agents := flag.String("agents", "now=bin/tidings", "binaries to measure: NAME=PATH, separated by commas")
	ways := flag.String("how", "poll,events", "how consumers wait: poll, events")
	flag.Parse()
	if err := run(o, strings.Split(*agents, ","), strings.Split(*ways, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "waiters:", err)
		os.Exit(1)
	}
}

func run(o options, agents, ways []string) error {
	var rows []row
	for _, named := range agents {
		name, path, ok := strings.Cut(named, "=")
		if !ok {
			return fmt.Errorf("-agents %s: want NAME=PATH", named)
		}
		for _, how := range ways {
			r, err := measure(o, path, how)
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s, %s: not measured: %v\n", name, how, err)
				continue // it may not know this way
			}
			r.agent = name
			rows = append(rows, *r)
		}
	}
	fmt.Printf("%d consumers; %d updates/s that concern none of them for %s\n\n", o.consumers, o.rate, o.length)
	fmt.Println("| agent | how they wait | KB each | publish alone, p50 / p99 ms | publish while they wait, p50 / p99 ms | updates/s taken | first / last has an update, ms |")
	fmt.Println("|---|---|--:|--:|--:|--:|--:|")
	for _, r := range rows {
		fmt.Printf("| %s | %s | %.1f | %s | %s | %.0f of %.0f | %.1f / %.0f |\n",
			r.agent, r.how, r.kbEach, r.alone, r.with, r.reached, r.offered, median(r.first), median(r.last))
	}
	return nil
}

func measure(o options, path, how string) (*row, error) {
	dir, err := os.MkdirTemp("", "waiters-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	a, err := agent.Start(path, dir, "bench", "")
	if err != nil {
		return nil, err
	}
	defer a.Kill()
	r := &row{how: how, offered: float64(o.rate)}
	// The first updates take what the agent needs once, such as its cache.
	if _, _, err = produce(a.HTTP, o.rate, o.length/2); err != nil {
		return nil, err
	}
	if r.alone, _, err = produce(a.HTTP, o.rate, o.length); err != nil {
		return nil, err
	}
	before, err := a.Usage()
	if err != nil {
		return nil, err
	}
	c, err := startConsumers(a.HTTP, how, o.consumers)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	if err := awaitWaiters(a, o.consumers); err != nil {
		return nil, err
	}
	u, err := a.Usage()
	if err != nil {
		return nil, err
	}
	r.kbEach = (u.RSS - before.RSS) * 1024 / float64(o.consumers)
	if r.with, r.reached, err = produce(a.HTTP, o.rate, o.length); err != nil {
		return nil, err
	}
	for range o.rounds {
		if err := awaitWaiters(a, o.consumers); err != nil {
			return nil, err
		}
		first, last, err := c.round(a.HTTP)
		if err != nil {
			return nil, err
		}
		r.first, r.last = append(r.first, first), append(r.last, last)
	}
	return r, nil
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
