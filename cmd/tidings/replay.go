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
	Views  int64   `json:"views"` // compared, over all nodes
	Wrong  int64   `json:"wrong"`
	Copies float64 `json:"copies"` // of an update that a node started here got from others; 1 is the least
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
	folder   *folder // nil without --verify
	phase    string
}

// open connects to the nodes that were named and starts the others.
func (p *replayRun) open(endpoints map[string]endpoint, outline *replayOutline) error {
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
	p.replayer = newReplayer(p.s.ctx, p.outlet, func(bad *badLine) { p.progress.note("%v", bad) })
	var total int64
	if outline != nil {
		total = outline.lines
	}
	start := time.Now()
	p.progress = startProgress(p.s.err, total, func() (string, int64) {
		lines := p.replayer.so().lines()
		return progressText(lines, total, time.Since(start)), lines
	})
	if p.cmd.Verify {
		p.folder = newFolder()
	}
	readErr := p.publish()
	err := p.replayer.end()
	if err == nil && p.s.ctx.Err() == nil {
		err = readErr
	}
	last := time.Now()
	count := p.replayer.so()
	r := &replayResult{
		Lines: count.lines(), Published: count.published, Unchanged: count.unchanged, Repeated: count.repeated, Failed: count.failed,
	}
	r.Subjects, r.Nodes = p.replayer.spoken()
	if p.s.ctx.Err() == nil && !errors.As(err, new(*replayBroken)) {
		var root string
		var agree error
		if root, agree = sameRoot(p.s.ctx, p.outlets()); agree == nil {
			r.Converged, r.Root = true, root
		}
		err = errors.Join(err, agree)
	}
	end := time.Now()
	r.ConvergedMs, r.Seconds = end.Sub(last).Milliseconds(), end.Sub(start).Seconds()
	r.Rate = float64(r.Lines) / max(r.Seconds, 1e-9)
	if p.folder != nil && r.Converged {
		err = errors.Join(err, p.verify(r))
	}
	r.PeakRSSBytes = peakRSS()
	p.progress.end()
	return errors.Join(p.finish(r, total, err))
}
