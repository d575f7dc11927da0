package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"time"
)

type benchCmd struct {
	Endpoints []string      `placeholder:"URL" help:"Nodes to publish through and to look at; none starts a mesh in this process."`
	Timeout   time.Duration `default:"10s" placeholder:"D" help:"How long one node may take to answer, and the last updates to be seen; 0 waits for ever."`
	TokenFile string        `placeholder:"FILE" help:"File with the bearer token to send."`

	Nodes    int           `default:"3" placeholder:"N" help:"Nodes of the mesh that it starts, where it does, 1 to 16."`
	Duration time.Duration `default:"10s" placeholder:"D" help:"How long to publish, at most 10m."`
	Rate     int           `default:"0" placeholder:"N" help:"Updates a second, all callers together; 0 is as fast as they can."`
	Callers  int           `default:"16" placeholder:"N" help:"Callers that publish side by side, each one update at a time, 1 to 1024."`
	Size     int           `default:"100" placeholder:"BYTES" help:"Size of what an update says, at most 32768."`
}

// Help is the long text of the command.
func (c *benchCmd) Help() string {
	return "Publishes through all endpoints for a while, each caller on a subject of its own below tidings-bench/, and looks at all endpoints" +
		" for what comes. It tells how long a publish took until its answer, and how long until the update was to be seen on every other" +
		" endpoint, both from when it was sent or, with --rate, due. In the end the subjects are ended; their updates stay in the chains" +
		" of nodes that are not its own. Without --endpoints it starts nodes on disk, in a temporary directory, and removes them."
}

// Bounds of a bench.
const (
	benchNodes    = 16
	benchCallers  = 1_024
	benchDuration = 10 * time.Minute
	benchSize     = 32 << 10
)

func (c *benchCmd) check() error {
	for _, f := range []struct {
		name            string
		value, min, max int
	}{{"nodes", c.Nodes, 1, benchNodes}, {"callers", c.Callers, 1, benchCallers}, {"size", c.Size, 0, benchSize}, {"rate", c.Rate, 0, 1_000_000}} {
		if f.value < f.min || f.value > f.max {
			return usagef("--%s: want %d to %d, got %d", f.name, f.min, f.max, f.value)
		}
	}
	if c.Duration <= 0 || c.Duration > benchDuration {
		return usagef("--duration: want more than 0 and at most %s, got %s", benchDuration, c.Duration)
	}
	return nil
}

// Run measures.
func (c *benchCmd) Run(s *session) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	if len(c.Endpoints) == 0 {
		mesh, err := startBenchMesh(s, c.Nodes)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, mesh.remove()) }()
		for _, n := range mesh.nodes {
			c.Endpoints = append(c.Endpoints, n.http)
		}
	}
	b, err := newBench(s, c)
	if err != nil {
		return err
	}
	defer b.close()
	result, err := b.run()
	if err := errors.Join(err, result.print(s)); err != nil {
		return err
	}
	switch {
	case s.ctx.Err() != nil:
		s.say("stopped after %s", time.Duration(result.Seconds*float64(time.Second)).Round(time.Millisecond))
	case result.Failed > 0:
		s.say("%d updates failed, the first: %v", result.Failed, b.failure)
	case result.Unseen > 0:
		s.say("%d updates were not seen on every other endpoint", result.Unseen)
	default:
		return nil
	}
	return errUnmet
}

// benchMesh is the nodes that a bench starts.
type benchMesh struct{ *demoMesh }

func startBenchMesh(s *session, nodes int) (*benchMesh, error) {
	dir, err := os.MkdirTemp("", "tidings-bench-")
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelError}))
	m := &benchMesh{&demoMesh{dir: dir, log: log}}
	for i := range nodes {
		if _, err := m.start(s.ctx, "bench-"+strconv.Itoa(i+1), m.running()...); err != nil {
			return nil, errors.Join(err, m.remove())
		}
	}
	if _, err := m.settle(s.ctx); err != nil {
		return nil, errors.Join(err, m.remove())
	}
	return m, nil
}

func (m *benchMesh) remove() error { return errors.Join(m.stop(), os.RemoveAll(m.dir)) }

// benchResult is what came of it.
type benchResult struct {
	Endpoints []string      `json:"endpoints"`
	Callers   int           `json:"callers"`
	Seconds   float64       `json:"seconds"` // of publishing
	Published int           `json:"published"`
	Failed    int           `json:"failed"`
	Rate      float64       `json:"rate"` // published a second
	Publish   benchLatency  `json:"publish"`
	Visible   *benchLatency `json:"visible,omitempty"` // where there is another endpoint
	Unseen    int           `json:"unseen"`            // published, and not seen on every other endpoint
	Ended     int           `json:"ended"`             // subjects
}

// benchLatency sums up some times.
type benchLatency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// latencyOf sums up times, by nearest rank. It sorts them.
func latencyOf(times []time.Duration) benchLatency {
	if len(times) == 0 {
		return benchLatency{}
	}
	slices.Sort(times)
	at := func(percent int) float64 {
		rank := (len(times)*percent + 99) / 100
		return round(float64(times[max(rank, 1)-1])/float64(time.Millisecond), 1000)
	}
	return benchLatency{at(50), at(99), at(100)}
}

func (r *benchResult) print(s *session) error {
	if s.json() {
		return s.printJSON(r)
	}
	t := s.newTable()
	t.row("endpoints", strconv.Itoa(len(r.Endpoints)))
	t.row("callers", strconv.Itoa(r.Callers))
	t.row("time", fmt.Sprintf("%.1fs", r.Seconds))
	t.row("published", strconv.Itoa(r.Published))
	t.row("failed", strconv.Itoa(r.Failed))
	t.paint(1, numberPaint(uint64(r.Failed)))
	t.row("rate", fmt.Sprintf("%.0f updates/s", r.Rate))
	if r.Visible != nil {
		t.row("not seen", strconv.Itoa(r.Unseen))
		t.paint(1, numberPaint(uint64(r.Unseen)))
	}
	t.row("subjects ended", strconv.Itoa(r.Ended))
	if err := t.flush(); err != nil {
		return err
	}
	if err := s.printLine(""); err != nil {
		return err
	}
	t = s.newTable("MILLISECONDS", "P50", "P99", "MAX")
	row := func(name string, l benchLatency) {
		t.row(name, fmt.Sprintf("%.2f", l.P50), fmt.Sprintf("%.2f", l.P99), fmt.Sprintf("%.2f", l.Max))
	}
	row("until answered", r.Publish)
	if r.Visible != nil {
		row("until seen on every other", *r.Visible)
	}
	return t.flush()
}

// detached is a context that outlives the command's interruption for a while:
// what was begun is cleaned up.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}
