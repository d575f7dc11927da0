package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// compare runs what is planned, shows each run as it ends, and all in the end. A
// signal breaks it off: what there is by then is shown.
func compare(specs []Spec, o options) error {
	chosen, err := pick(specs, o.peers)
	if err != nil {
		return err
	}
	repeated, err := pick(specs, o.repeat)
	if err != nil {
		return fmt.Errorf("-repeat: %w", err)
	}
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return err
		}
	}
	results, err := saved(o)
	if err != nil {
		return err
	}
	left := missing(plan(chosen, repeated, o), results)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := progress{began: time.Now(), total: len(left), limit: o.limit}
	for _, j := range left {
		if p.over() {
			break
		}
		r := spawn(ctx, j, o.lock, o.tmp)
		if ctx.Err() != nil {
			break // the run was broken off
		}
		results = append(results, r)
		p.done++
		if err := report(r, p, o); err != nil {
			return err
		}
	}
	if err := show(results, o); err != nil {
		return err
	}
	if p.done < p.total {
		return fmt.Errorf("broken off after %d of %d runs; -save with -resume makes the others", p.done, p.total)
	}
	return nil
}

// saved is what the file of -save has from before.
func saved(o options) ([]Result, error) {
	if o.save == "" {
		if o.resume {
			return nil, errors.New("-resume: -save FILE is what it goes on with")
		}
		return nil, nil
	}
	results, err := load(o.save)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !o.resume && len(results) > 0:
		return nil, fmt.Errorf("-save %s: it has %d runs; -resume goes on with it, another name begins anew", o.save, len(results))
	}
	return results, nil
}

// plan is the runs in their order: for each size and kind of load all peers, one
// after the other; then all again. So a ratio compares what was measured within
// minutes, and what is broken off has fewer runs of each row, not fewer rows.
func plan(chosen, repeated []Spec, o options) []Job {
	var out []Job
	for run := range o.runs {
		order := slices.DeleteFunc(slices.Clone(chosen), func(s Spec) bool {
			return run > 0 && !slices.ContainsFunc(repeated, func(r Spec) bool { return r.Name == s.Name })
		})
		if run%2 == 1 {
			// What drifts meanwhile favours nobody.
			slices.Reverse(order)
		}
		for _, n := range o.nodes {
			for phase := range strings.SplitSeq(o.phases, ",") {
				for _, s := range order {
					out = append(out, jobs(s, n, phase, run, o)...)
				}
			}
		}
	}
	return out
}

// missing is those jobs of which results have no run that shows something.
func missing(jobs []Job, results []Result) []Job {
	return slices.DeleteFunc(jobs, func(j Job) bool {
		return slices.ContainsFunc(results, func(r Result) bool {
			return !r.failed() && r.Peer == j.Peer && r.Phase == j.Phase && r.N == j.N && r.Run == j.Run &&
				r.Rate == j.Rate && r.Window == j.Window && r.Payload == j.Payload
		})
	})
}

func jobs(s Spec, n int, phase string, run int, o options) []Job {
	base := Job{Peer: s.Name, Phase: phase, N: n, Payload: o.payload, Run: run, Synced: s.Synced, program: s.program}
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

// progress is how far a comparison is.
type progress struct {
	began       time.Time
	done, total int
	limit       time.Duration // zero: none
}

// over reports whether no run is to begin any more.
func (p progress) over() bool { return p.limit > 0 && time.Since(p.began) > p.limit }

func (p progress) String() string {
	took := time.Since(p.began)
	left := took / time.Duration(max(p.done, 1)) * time.Duration(p.total-p.done)
	return fmt.Sprintf("[%d of %d, %s, about %s left]", p.done, p.total, took.Round(time.Second), left.Round(time.Second))
}

func report(r Result, p progress, o options) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if o.asJSON {
		fmt.Println(string(line))
	}
	fmt.Fprintln(os.Stderr, p, brief(r))
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
