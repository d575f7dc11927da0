package harness

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
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
	repeat                 string
	limit                  time.Duration
	resume                 bool
	svg                    string
	asJSON                 bool
	save, lock, tmp, table string
	profiles               string
	disk, list, specs      bool
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
	flag.StringVar(&o.repeat, "repeat", "all", "comma list of the peers that all runs are made of, or all; of others there is the first run alone")
	flag.DurationVar(&o.limit, "for", 0, "begin no run after this long (default: no limit)")
	flag.BoolVar(&o.asJSON, "json", false, "print one JSON object for each run, no tables")
	flag.StringVar(&o.save, "save", "", "also write the JSON objects to this new file, each as soon as it is there")
	flag.BoolVar(&o.resume, "resume", false, "go on with the file of -save: what it has is not run again")
	flag.StringVar(&o.svg, "svg", "", "also draw latency and throughput into this file")
	flag.StringVar(&o.lock, "lock", "", "file to lock around every run, for a machine that others measure on")
	flag.StringVar(&o.tmp, "tmp", "", "where stores go (default: the system's temporary folder)")
	flag.StringVar(&o.table, "table", "", "print the tables, and with -svg draw the picture, of a file written with -save; measure nothing")
	flag.StringVar(&o.profiles, "profiles", "", "folder for a CPU profile of each run")
	flag.BoolVar(&o.disk, "disk", false, "measure what a synced append costs, nothing else")
	flag.BoolVar(&o.list, "list", false, "list the peers")
	flag.BoolVar(&o.specs, "specs", false, "internal")
	flag.StringVar(&o.job, "child", "", "internal")
	flag.Parse()
	o.nodes, o.windows = ints(o.nodesText), ints(o.windowsText)
	return o
}

// Main is the command line over specs, and over those of the programs that lie
// beside this one and call Main with their own. It returns the exit status.
func Main(specs []Spec, programs ...string) int {
	o := parseOptions()
	err := run(specs, programs, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func run(specs []Spec, programs []string, o options) error {
	switch {
	case o.job != "":
		child(specs, o.job)
	case o.specs:
		return json.NewEncoder(os.Stdout).Encode(specs)
	case o.disk:
		return probeDisk(o.lock, o.tmp)
	case o.table != "":
		results, err := load(o.table)
		if err != nil {
			return err
		}
		return show(results, o)
	}
	all, err := withPrograms(specs, programs)
	if err != nil {
		return err
	}
	if o.list {
		for _, s := range all {
			fmt.Printf("%-22s durable: %s; loss: %s\n", s.Name, s.Durable, s.Loss)
		}
		return nil
	}
	return compare(all, o)
}

// withPrograms asks the programs beside this one for their peers.
func withPrograms(specs []Spec, programs []string) ([]Spec, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	all := slices.Clone(specs)
	for _, name := range programs {
		path := filepath.Join(filepath.Dir(exe), name)
		out, err := exec.Command(path, "-specs").Output()
		if err != nil {
			return nil, fmt.Errorf("ask %s for its peers: %w; make builds it", path, err)
		}
		var theirs []Spec
		if err := json.Unmarshal(out, &theirs); err != nil {
			return nil, fmt.Errorf("the peers of %s: %w", path, err)
		}
		for i := range theirs {
			theirs[i].program = path
		}
		all = append(all, theirs...)
	}
	return all, nil
}

// show prints the tables and draws the picture.
func show(results []Result, o options) error {
	if !o.asJSON {
		PrintTables(os.Stdout, results, o.reference)
	}
	if o.svg == "" {
		return nil
	}
	return os.WriteFile(o.svg, draw(results), 0o644)
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
