package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

type replayCmd struct {
	File      string        `arg:"" help:"Lines of time, authority, subject and delta; - for standard input. Gzip is understood."`
	Speed     string        `default:"max" placeholder:"X|max" help:"How many times faster than the lines' times to go."`
	DataDir   string        `placeholder:"DIR" help:"Where the nodes started here keep their data, a directory for each; without, in memory."`
	Endpoint  []string      `placeholder:"AUTHORITY=URL" help:"A running node to publish an authority's lines through."`
	Verify    bool          `help:"Then compare every view on every node with a fold of the file made independently of the nodes."`
	Timeout   time.Duration `default:"10s" placeholder:"D" help:"How long an endpoint may stay away; 0 waits for ever."`
	TokenFile string        `placeholder:"FILE" help:"File with the bearer token for endpoints."`

	CPUProfile string `name:"cpu-profile" hidden:"" placeholder:"FILE" help:"Write a CPU profile."`
}

// Help is the long text of the command.
func (c *replayCmd) Help() string {
	return "Each authority publishes through a node of its own: one of --endpoint, or one that is started in this process." +
		" Lines of one subject go in the order of the file, each once the one before is applied at its node." +
		" It ends when all nodes have the same root. Each line has a key made of its number and content, so what an earlier" +
		" replay published to the same nodes is counted as repeated. Bad lines are reported and skipped; the exit status is then 1."
}

// replayResult is what a replay came to. The names are the contract's.
type replayResult struct {
	Lines        int64   `json:"lines"`
	Published    int64   `json:"published"`
	Unchanged    int64   `json:"unchanged"`
	Repeated     int64   `json:"repeated"`
	Failed       int64   `json:"failed"`
	Nodes        int     `json:"nodes"`
	Subjects     int     `json:"subjects"`
	Converged    bool    `json:"converged"`
	ConvergedMs  int64   `json:"converged_ms"` // from the last line to the same root everywhere
	Seconds      float64 `json:"seconds"`      // from the first line to the same root everywhere
	Rate         float64 `json:"rate"`         // lines a second, over those
	PeakRSSBytes int64   `json:"peak_rss_bytes"`
	Root         string  `json:"root"` // empty if not converged

	Verified *replayVerified `json:"verified,omitempty"`
}

// replayVerified is what --verify adds.
type replayVerified struct {
	Views int64 `json:"views"` // compared, over all nodes
	Wrong int64 `json:"wrong"`
	// Copies of an update that a node started here got from others, 1 the least;
	// 0 if no node was started here.
	Copies float64 `json:"copies,omitzero"`
}

// Run replays a file.
func (c *replayCmd) Run(s *session) (err error) {
	speed, err := parseSpeed(c.Speed)
	if err != nil {
		return err
	}
	endpoints, err := parseReplayEndpoints(c.Endpoint)
	if err != nil {
		return err
	}
	if c.CPUProfile != "" {
		f, err := os.Create(c.CPUProfile)
		if err != nil {
			return usagef("--cpu-profile: %w", err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	outline, err := outlineReplay(s.ctx, c.File)
	if err != nil {
		return err
	}
	source, err := openReplay(c.File, s.in)
	if err != nil {
		return err
	}
	p := &replayRun{s: s, cmd: c, speed: speed, source: source}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.open(endpoints, outline); err != nil {
		return err
	}
	return p.run(outline)
}

// parseSpeed reads how many times faster than real time to go, 0 for max.
func parseSpeed(text string) (float64, error) {
	if text == "max" {
		return 0, nil
	}
	x, err := strconv.ParseFloat(strings.TrimSuffix(text, "x"), 64)
	if err != nil || !(x > 0) || math.IsInf(x, 0) {
		return 0, usagef("--speed %q: want a number above 0, or max", text)
	}
	return x, nil
}

// replayRun is one replay: its file, its nodes and its progress.
type replayRun struct {
	s      *session
	cmd    *replayCmd
	speed  float64
	source *replaySource

	remotes  remotes
	fleet    *fleet
	replayer *replayer
	progress *progress
	folder   *folder                // nil without --verify
	phase    atomic.Pointer[string] // what goes on after the last line, nil before
}

// open connects to the nodes that were named and starts the others.
func (p *replayRun) open(endpoints map[string]string, outline *replayOutline) error {
	flags := clientFlags{Timeout: p.cmd.Timeout, TokenFile: p.cmd.TokenFile}
	var err error
	if p.remotes, err = dialAll(p.s.ctx, endpoints, flags); err != nil {
		return err
	}
	p.fleet = &fleet{
		connect: connectReplay(p.remotes), dir: p.cmd.DataDir, berths: map[string]*berth{},
		// What a node has to say to its operator is not for whoever replays.
		log: slog.New(slog.NewTextHandler(p.s.err, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	var own []string
	if outline != nil {
		for _, authority := range outline.authorities {
			if p.remotes[authority] == nil {
				own = append(own, authority)
			}
		}
	}
	return p.fleet.openAll(p.s.ctx, own)
}

// connectReplay says how nodes started here meet: among themselves by a hub,
// or in the mesh of those that were named.
func connectReplay(named remotes) func(*node.Config) {
	if len(named) == 0 {
		hub := gossip.NewHub()
		return func(c *node.Config) { c.Hub = hub }
	}
	var join []string
	for _, o := range named {
		if o.addr != "" {
			join = append(join, o.addr)
		}
	}
	slices.Sort(join)
	return func(c *node.Config) { c.Bind, c.Join = "127.0.0.1:0", join }
}

func (p *replayRun) outlet(ctx context.Context, authority string) (outlet, error) {
	if o := p.remotes[authority]; o != nil {
		return o, nil
	}
	return p.fleet.get(ctx, authority)
}

// outlets are all nodes that have to agree in the end: each of those that run
// here, and of those that were named.
func (p *replayRun) outlets() []outlet {
	var all []outlet
	for _, o := range p.remotes {
		all = append(all, o)
	}
	for _, o := range p.fleet.all() {
		all = append(all, o)
	}
	return all
}

func (p *replayRun) close() error {
	if p.progress != nil {
		p.progress.end()
	}
	p.remotes.close()
	var err error
	if p.fleet != nil {
		err = p.fleet.close()
	}
	return errors.Join(err, p.source.close())
}

// run publishes the file, waits until all nodes are the same, and prints what
// it came to.
func (p *replayRun) run(outline *replayOutline) error {
	var total int64
	if outline != nil {
		total = outline.lines
	}
	p.replayer = newReplayer(p.s.ctx, p.outlet, func(bad *badLine) { p.progress.note("%v", bad) })
	if p.cmd.Verify {
		p.folder = newFolder()
		p.replayer.said = p.folder.add
	}
	start := time.Now()
	p.progress = startProgress(p.s.err, total, func() (string, int64) {
		lines := p.replayer.so().lines()
		if phase := p.phase.Load(); phase != nil {
			return fmt.Sprintf("%d lines, %s", lines, *phase), lines
		}
		return progressText(lines, total, time.Since(start)), lines
	})
	read := p.publish()
	err := p.replayer.end()
	last := time.Now()
	r := &replayResult{}
	if err == nil {
		p.enter("waiting until all nodes are the same")
		if r.Root, err = sameRoot(p.s.ctx, p.outlets()); err == nil {
			r.Converged, err = true, read
		}
	}
	end := time.Now()
	count := p.replayer.so()
	r.Lines, r.Published, r.Unchanged, r.Repeated, r.Failed = count.lines(), count.published, count.unchanged, count.repeated, count.failed
	r.Subjects, r.Nodes = p.replayer.spoken()
	r.ConvergedMs, r.Seconds = end.Sub(last).Milliseconds(), round(end.Sub(start).Seconds(), 1000)
	r.Rate = round(float64(r.Lines)/max(end.Sub(start).Seconds(), 1e-9), 10)
	if p.folder != nil && r.Converged {
		p.enter("comparing every view with the file")
		err = errors.Join(err, p.verify(r))
	}
	r.PeakRSSBytes = peakRSS()
	p.progress.end()
	return p.finish(r, total, err)
}

func (p *replayRun) enter(phase string) { p.phase.Store(&phase) }

func round(x, parts float64) float64 { return math.Round(x*parts) / parts }

// publish hands over the lines of the file, each when its time has come.
func (p *replayRun) publish() error {
	start, first := time.Now(), time.Time{}
	return p.source.each(p.replayer.soft, func(l *replayLine, bad *badLine) error {
		if p.speed > 0 && bad == nil {
			if first.IsZero() {
				first = l.time
			}
			due := time.Duration(float64(l.time.Sub(first)) / p.speed)
			if ahead := due - time.Since(start); ahead > 0 {
				if err := sleep(p.replayer.soft, ahead); err != nil {
					return err
				}
			}
		}
		return p.replayer.take(l, bad)
	})
}

// verify compares what the nodes show with what the file says.
func (p *replayRun) verify(r *replayResult) error {
	check, err := p.folder.check(p.s.ctx, p.outlets(), p.progress.note)
	if err != nil {
		return err
	}
	copies, err := p.fleet.copies()
	r.Verified = &replayVerified{Views: check.views, Wrong: check.wrong, Copies: round(copies, 1000)}
	if err == nil && check.wrong > 0 {
		err = fmt.Errorf("%d of %d views differ from the file", check.wrong, check.views)
	}
	return err
}

// finish prints the result, and says what is amiss.
func (p *replayRun) finish(r *replayResult, total int64, err error) error {
	if printed := p.print(r); printed != nil {
		return errors.Join(err, printed)
	}
	if r.Failed > 0 {
		p.s.say("%d of %d lines failed", r.Failed, r.Lines)
	}
	if p.s.ctx.Err() != nil {
		of := ""
		if total > 0 {
			of = fmt.Sprintf(" of %d", total)
		}
		p.s.say("stopped after %d%s lines", r.Lines, of)
		return errUnmet
	}
	if err == nil && r.Failed > 0 {
		return errUnmet
	}
	return err
}

func (p *replayRun) print(r *replayResult) error {
	if p.s.json() {
		return p.s.printJSON(r)
	}
	t := p.s.newTable()
	for _, row := range []struct {
		name  string
		value any
	}{
		{"lines", r.Lines},
		{"published", r.Published},
		{"unchanged", r.Unchanged},
		{"repeated", r.Repeated},
		{"failed", r.Failed},
		{"nodes", r.Nodes},
		{"subjects", r.Subjects},
		{"converged", r.Converged},
		{"converged after", time.Duration(r.ConvergedMs) * time.Millisecond},
		{"time", time.Duration(r.Seconds * float64(time.Second)).Round(time.Millisecond)},
		{"rate", fmt.Sprintf("%.0f lines/s", r.Rate)},
		{"peak memory", fmt.Sprintf("%.1f MB", float64(r.PeakRSSBytes)/1e6)},
		{"root", r.Root},
	} {
		t.row(row.name, fmt.Sprint(row.value))
	}
	if v := r.Verified; v != nil {
		t.row("views compared", fmt.Sprint(v.Views))
		t.row("views that differ", fmt.Sprint(v.Wrong))
		if v.Copies > 0 {
			t.row("copies received", fmt.Sprintf("%.3f an update", v.Copies))
		}
	}
	return t.flush()
}

// progressText says how far a replay is.
func progressText(lines, total int64, since time.Duration) string {
	of := ""
	if total > 0 {
		of = fmt.Sprintf(" of %d", total)
	}
	return fmt.Sprintf("%d%s lines, %.0f/s", lines, of, float64(lines)/max(since.Seconds(), 1e-3))
}

// rootEvery is how often nodes are asked whether they are the same.
const rootEvery = 20 * time.Millisecond

// sameRoot waits until all nodes have the same root, and returns it. It gives
// up once they differ without any of them moving for replayPatience.
func sameRoot(ctx context.Context, outlets []outlet) (string, error) {
	if len(outlets) == 0 {
		return chain.Hash{}.String(), nil
	}
	roots, moved := make([]string, len(outlets)), time.Now()
	for {
		same := true
		var lost error
		for i, o := range outlets {
			root, err := o.root(ctx)
			if err != nil {
				lost, same = err, false
				continue
			}
			if root != roots[i] {
				roots[i], moved = root, time.Now()
			}
			same = same && root == roots[0]
		}
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case same:
			return roots[0], nil
		case time.Since(moved) > replayPatience && lost != nil:
			return "", lost
		case time.Since(moved) > replayPatience:
			return "", fmt.Errorf("not converged: nodes have different roots, and none has moved for %s", replayPatience)
		}
		if err := sleep(ctx, rootEvery); err != nil {
			return "", err
		}
	}
}
