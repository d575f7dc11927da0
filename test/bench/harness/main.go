package harness

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are the command line.
type options struct {
	peers, reference       string
	nodes, windows         []int
	phases                 string
	payload, count, rate   int
	secs                   float64
	runs                   int
	asJSON                 bool
	save, lock, tmp, table string
	profiles               string
	disk, list             bool
	job                    string
	nodesText, windowsText string
}

func parseOptions() options {
	var o options
	flag.StringVar(&o.peers, "peer", "all", "comma list of peers, or all")
	flag.StringVar(&o.reference, "against", "nats-js-r3-sync", "peer that the ratios are against")
	flag.StringVar(&o.nodesText, "nodes", "3,16,32", "comma list of node counts, 2 to 64")
	flag.StringVar(&o.windowsText, "windows", "", "comma list of windows per node, in place of the peers' own")
	flag.StringVar(&o.phases, "phase", "latency,throughput", "phases to run")
	flag.IntVar(&o.payload, "payload", 256, "bytes of an update")
	flag.IntVar(&o.count, "n", 500, "updates in a latency run")
	flag.IntVar(&o.rate, "rate", 100, "updates per second in a latency run")
	flag.Float64Var(&o.secs, "secs", 6, "length of a throughput run; its first second, or quarter if that is less, is not counted")
	flag.IntVar(&o.runs, "runs", 3, "runs of each row; the tables show medians")
	flag.BoolVar(&o.asJSON, "json", false, "print one JSON object for each run, no tables")
	flag.StringVar(&o.save, "save", "", "also append the JSON objects to this file")
	flag.StringVar(&o.lock, "lock", "", "file to lock around every run, for a machine that others measure on")
	flag.StringVar(&o.tmp, "tmp", "", "where stores go (default: the system's temporary folder)")
	flag.StringVar(&o.table, "table", "", "print the tables of a file written with -save, measure nothing")
	flag.StringVar(&o.profiles, "profiles", "", "folder for a CPU profile of each run")
	flag.BoolVar(&o.disk, "disk", false, "measure what a synced append costs, nothing else")
	flag.BoolVar(&o.list, "list", false, "list the peers")
	flag.StringVar(&o.job, "child", "", "internal")
	flag.Parse()
	o.nodes, o.windows = ints(o.nodesText), ints(o.windowsText)
	return o
}

// Main is the command line over specs. It returns the exit status.
func Main(specs []Spec) int {
	o := parseOptions()
	var err error
	switch {
	case o.job != "":
		child(specs, o.job)
	case o.list:
		for _, s := range specs {
			fmt.Printf("%-16s durable: %s; loss: %s\n", s.Name, s.Durable, s.Loss)
		}
	case o.disk:
		err = probeDisk(o.lock, o.tmp)
	case o.table != "":
		var results []Result
		if results, err = load(o.table); err == nil {
			PrintTables(os.Stdout, results, o.reference)
		}
	default:
		err = compare(specs, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// compare runs everything, interleaved: for each size and kind of load, all
// peers one after the other, then all again.
func compare(specs []Spec, o options) error {
	chosen, err := pick(specs, o.peers)
	if err != nil {
		return err
	}
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return err
		}
	}
	var results []Result
	for _, n := range o.nodes {
		for phase := range strings.SplitSeq(o.phases, ",") {
			for run := range o.runs {
				order := slices.Clone(chosen)
				if run%2 == 1 {
					// What drifts meanwhile favours nobody.
					slices.Reverse(order)
				}
				for _, s := range order {
					for _, j := range jobs(s, n, phase, run, o) {
						r := spawn(j, o.lock, o.tmp)
						results = append(results, r)
						if err := report(r, o); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	if !o.asJSON {
		PrintTables(os.Stdout, results, o.reference)
	}
	return nil
}

func report(r Result, o options) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if o.asJSON {
		fmt.Println(string(line))
	} else {
		fmt.Fprintln(os.Stderr, brief(r))
	}
	if o.save == "" {
		return nil
	}
	f, err := os.OpenFile(o.save, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func jobs(s Spec, n int, phase string, run int, o options) []Job {
	base := Job{Peer: s.Name, Phase: phase, N: n, Payload: o.payload, Run: run}
	profile := func(j Job) string {
		if o.profiles == "" {
			return ""
		}
		name := fmt.Sprintf("%s-%s-n%d-w%d-run%d.pprof", j.Peer, j.Phase, j.N, j.Window, j.Run)
		path, err := filepath.Abs(filepath.Join(o.profiles, name))
		if err != nil {
			return ""
		}
		return path
	}
	if phase == PhaseLatency {
		base.Rate, base.Count = o.rate, o.count
		base.Profile = profile(base)
		return []Job{base}
	}
	windows := o.windows
	if len(windows) == 0 {
		windows = s.Windows
	}
	var out []Job
	for _, w := range windows {
		j := base
		j.Window, j.Secs = w, o.secs
		j.Profile = profile(j)
		out = append(out, j)
	}
	return out
}

func pick(specs []Spec, names string) ([]Spec, error) {
	if names == "all" {
		return specs, nil
	}
	var out []Spec
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(specs, func(s Spec) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no peer %q; -list shows them", name)
		}
		out = append(out, specs[i])
	}
	return out, nil
}

func ints(list string) []int {
	var out []int
	for f := range strings.SplitSeq(list, ",") {
		if v, err := strconv.Atoi(strings.TrimSpace(f)); err == nil && v > 0 {
			out = append(out, v)
		}
	}
	return out
}

// probeDisk measures the disk in a folder of its own, under the lock.
func probeDisk(lock, tmp string) error {
	unlock, err := flock(lock)
	if err != nil {
		return err
	}
	defer unlock()
	dir, err := os.MkdirTemp(tmp, "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	probes, err := Disk(dir, 3*time.Second)
	if err != nil {
		return err
	}
	PrintDisk(os.Stdout, probes)
	return nil
}
