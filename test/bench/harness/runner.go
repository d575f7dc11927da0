package harness

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Main is the command line shared by the programs of this folder. The peers of
// others, folders with a main package of their own, are measured as well.
func Main(specs []Spec, others ...string) {
	var (
		peer    = flag.String("peer", "all", "comma list of peers, or all")
		nodes   = flag.String("nodes", "3,16", "comma list of node counts")
		payload = flag.Int("payload", 256, "bytes per update")
		n       = flag.Int("n", 500, "updates in a latency run")
		rate    = flag.Int("rate", 100, "updates per second in a latency run")
		secs    = flag.Float64("secs", 7, "length of a throughput run")
		phases  = flag.String("phase", "latency,throughput", "phases to run")
		windows = flag.String("windows", "", "comma list of windows per node, in place of the peer's own")
		asJSON  = flag.Bool("json", false, "print one JSON object per run, not a table")
		save    = flag.String("save", "", "also append the JSON lines to this file")
		lock    = flag.String("lock", "", "file to flock around every run, for a shared machine")
		tmp     = flag.String("tmp", "", "where stores go (default: the system's temporary folder)")
		disk    = flag.Bool("disk", false, "measure fsync only")
		list    = flag.Bool("list", false, "list the peers")
		table   = flag.String("table", "", "print the table of a file written with -save, measure nothing")
		asSpecs = flag.Bool("specs", false, "internal")
		child   = flag.String("child", "", "internal")
	)
	flag.Parse()
	if *child != "" {
		Child(specs, *child)
	}
	if *asSpecs {
		json.NewEncoder(os.Stdout).Encode(specs)
		return
	}
	built, err := os.MkdirTemp("", "peers-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer os.RemoveAll(built)
	specs = append(specs, build(built, others)...)
	if *list {
		for _, s := range specs {
			fmt.Printf("%-18s durable: %s; loss: %s\n", s.Name, s.Durable, s.Loss)
		}
		return
	}
	if *disk {
		if err := probeDisk(*lock, *tmp); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if *table != "" {
		results, err := load(*table)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		PrintTable(os.Stdout, results)
		return
	}
	var results []Result
	for _, s := range pick(specs, *peer) {
		for _, nn := range ints(*nodes) {
			for _, j := range jobs(s, nn, *phases, *rate, *n, *payload, *secs, ints(*windows)) {
				r := spawn(s.Exe, j, *lock, *tmp)
				results = append(results, r)
				line, _ := json.Marshal(r)
				if *asJSON {
					fmt.Println(string(line))
				} else {
					fmt.Fprintf(os.Stderr, "%s\n", brief(r))
				}
				if *save != "" {
					appendLine(*save, line)
				}
			}
		}
	}
	if !*asJSON {
		PrintTable(os.Stdout, results)
	}
}

func pick(specs []Spec, names string) []Spec {
	if names == "all" {
		return specs
	}
	var out []Spec
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, s := range specs {
			if s.Name == name {
				out, found = append(out, s), true
			}
		}
		if !found {
			fmt.Fprintf(os.Stderr, "no peer %q\n", name)
			os.Exit(2)
		}
	}
	return out
}

func ints(list string) []int {
	var out []int
	for f := range strings.SplitSeq(list, ",") {
		if v, err := strconv.Atoi(f); err == nil && v > 0 {
			out = append(out, v)
		}
	}
	return out
}

func jobs(s Spec, n int, phases string, rate, count, payload int, secs float64, windows []int) []Job {
	var out []Job
	base := Job{Peer: s.Name, N: n, Payload: payload, Secs: secs}
	if strings.Contains(phases, "latency") {
		for _, r := range append([]int{rate}, s.Rates...) {
			j := base
			j.Phase, j.Rate, j.Count = "latency", r, count
			// A slower run gets as many updates as fit in 10 seconds.
			j.Count = min(count, max(r*10, 40))
			out = append(out, j)
		}
	}
	if strings.Contains(phases, "throughput") {
		if len(windows) == 0 {
			windows = s.Windows
		}
		for _, w := range windows {
			j := base
			j.Phase, j.Window = "throughput", w
			out = append(out, j)
		}
	}
	return out
}

// spawn runs one job in a child process, in a network namespace of its own
// where the system allows that.
func spawn(exe string, j Job, lock, tmp string) Result {
	fail := func(err error) Result {
		return Result{Peer: j.Peer, Phase: j.Phase, N: j.N, Rate: j.Rate, Window: j.Window, Failure: err.Error()}
	}
	unlock, err := flock(lock)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	dir, err := os.MkdirTemp(tmp, "peers-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	j.Dir = dir
	var r Result
	for _, ns := range []bool{true, false} {
		j.NetNS = ns
		if r, err = spawnOnce(exe, j); err == nil {
			return r
		}
		if !strings.Contains(err.Error(), "operation not permitted") {
			break
		}
	}
	return fail(err)
}

func spawnOnce(exe string, j Job) (Result, error) {
	// Pdeathsig watches the starting thread, so that thread has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var err error
	if exe == "" {
		if exe, err = os.Executable(); err != nil {
			return Result{}, err
		}
	}
	arg, err := json.Marshal(j)
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	rd, wr, err := os.Pipe()
	if err != nil {
		return Result{}, err
	}
	defer rd.Close()
	cmd := exec.CommandContext(ctx, exe, "-child", string(arg))
	cmd.ExtraFiles = []*os.File{wr}
	tail := &tailBuffer{}
	cmd.Stdout, cmd.Stderr = tail, tail
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if j.NetNS {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	if err := cmd.Start(); err != nil {
		wr.Close()
		return Result{}, err
	}
	wr.Close()
	out, _ := io.ReadAll(rd)
	werr := cmd.Wait()
	var r Result
	if err := json.Unmarshal(out, &r); err != nil {
		return Result{}, fmt.Errorf("child: %v: %s", werr, tail.String())
	}
	return r, nil
}

// tailBuffer keeps the last output of a child, for when it fails.
type tailBuffer struct{ b []byte }

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > 4096 {
		t.b = t.b[len(t.b)-2048:]
	}
	return len(p), nil
}

func (t *tailBuffer) String() string { return string(bytes.TrimSpace(t.b)) }

func appendLine(path string, line []byte) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// load reads saved results; a repeated run replaces the earlier one.
func load(path string) ([]Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []Result
	order := map[string]int{}
	for line := range bytes.Lines(data) {
		var r Result
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, err
		}
		if _, known := order[r.Peer]; !known {
			order[r.Peer] = len(order)
		}
		same := func(o Result) bool {
			return o.Peer == r.Peer && o.Phase == r.Phase && o.N == r.N && o.Rate == r.Rate && o.Window == r.Window
		}
		if i := slices.IndexFunc(out, same); i >= 0 {
			out[i] = r
			continue
		}
		out = append(out, r)
	}
	// Rows of one peer stand together, in the order the peers first came.
	slices.SortStableFunc(out, func(a, b Result) int {
		return cmp.Or(cmp.Compare(order[a.Peer], order[b.Peer]), cmp.Compare(a.N, b.N))
	})
	return out, nil
}

// probeDisk measures fsync in a folder of its own, under the lock.
func probeDisk(lock, tmp string) error {
	unlock, err := flock(lock)
	if err != nil {
		return err
	}
	defer unlock()
	dir, err := os.MkdirTemp(tmp, "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return Disk(os.Stdout, dir, 3*time.Second)
}

// flock takes the lock file, if there is one, and returns how to give it back.
func flock(path string) (func(), error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// build compiles the programs of other folders and asks them for their peers.
// One that does not build is reported and left out.
func build(into string, dirs []string) []Spec {
	var all []Spec
	for _, dir := range dirs {
		exe := filepath.Join(into, filepath.Base(dir))
		if out, err := exec.Command("go", "build", "-C", dir, "-o", exe, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v: %s\n", dir, err, bytes.TrimSpace(out))
			continue
		}
		out, err := exec.Command(exe, "-specs").Output()
		var specs []Spec
		if err == nil {
			err = json.Unmarshal(out, &specs)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", dir, err)
			continue
		}
		for _, s := range specs {
			s.Exe = exe
			all = append(all, s)
		}
	}
	return all
}
