package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/node/api/reply"
	"github.com/tidings-mesh/tidings/node/client"
)

type demoCmd struct {
	Stay bool `help:"Stay up afterwards, with the addresses printed, until SIGINT or SIGTERM."`
}

// Help is the long text of the command.
func (c *demoCmd) Help() string {
	return "Three nodes on disk, in a temporary directory, join over loopback, and a small history of orders goes through them:" +
		" with two authorities that contradict each other, a dependency, and a cancelled order. Then it shows what a consumer" +
		" sees, by real HTTP calls, and checks it: the exit status is 1 if anything does not come out as it should."
}

// demo is one run of it.
type demo struct {
	ctx   context.Context
	out   io.Writer
	mesh  *demoMesh
	lines []demoLine

	last  map[string]string // newest update of a subject
	named map[string]string // update by the name that the history gives it
	sent  []string          // IDs of all that was published
	wrong []string          // what did not come out as it should
	right int
}

// demoResult is what -o json prints, with the transcript on standard error.
type demoResult struct {
	OK      bool       `json:"ok"`
	Checks  int        `json:"checks"`
	Wrong   []string   `json:"wrong"`
	Seconds float64    `json:"seconds"`
	Nodes   []demoAddr `json:"nodes"`
}

type demoAddr struct {
	Authority string `json:"authority"`
	Origin    string `json:"origin"`
	HTTP      string `json:"http"`
}

// Run runs the demo.
func (c *demoCmd) Run(s *session) (err error) {
	lines, statuses, err := readDemo()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tidings-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelError}))
	d := &demo{
		ctx: s.ctx, out: s.out, lines: lines, mesh: &demoMesh{dir: dir, log: log},
		last: map[string]string{}, named: map[string]string{},
	}
	if s.json() {
		d.out = s.err
	}
	defer func() { err = errors.Join(err, d.mesh.stop()) }()
	start := time.Now()
	for _, scene := range []func() error{
		d.apart, d.together, d.causes,
		func() error { return d.consume(statuses) },
	} {
		if err := scene(); err != nil {
			return err
		}
	}
	r := &demoResult{OK: len(d.wrong) == 0, Checks: d.right + len(d.wrong), Wrong: append([]string{}, d.wrong...), Seconds: round(time.Since(start).Seconds(), 1000)}
	for _, n := range d.mesh.nodes {
		r.Nodes = append(r.Nodes, demoAddr{n.authority, n.origin, string(n.http)})
	}
	d.head("Done: %d of %d checks as they should be, in %.1f s", d.right, r.Checks, r.Seconds)
	for _, what := range d.wrong {
		d.line("NOT SO: %s", what)
	}
	if s.json() {
		if err := s.printJSON(r); err != nil {
			return err
		}
	}
	if c.Stay {
		d.stay()
	}
	if !r.OK {
		return errUnmet
	}
	return nil
}

// stay keeps the nodes up until the first signal.
func (d *demo) stay() {
	d.head("The nodes stay up until Ctrl-C: try")
	n := d.mesh.nodes
	d.line("curl %s/v1/subjects/order/1002", n[0].http)
	d.line("curl %s/v1/history/order/1001", n[1].http)
	d.line("curl '%s/v1/changes?since=start&limit=3'", n[2].http)
	d.line(`curl -d '{"subject":"order/1002","delta":{"state":"shipped"}}' -H 'Content-Type: application/json' %s/v1/updates`, n[0].http)
	d.line("curl '%s/v1/changes?since=now'   # then, with its cursor: ?since=CURSOR&wait=30s", n[1].http)
	d.line("curl %s/v1/mesh", n[2].http)
	d.line("tidings watch --endpoints %s,%s,%s", n[0].http, n[1].http, n[2].http)
	<-d.ctx.Done()
}

// apart: two authorities that do not hear of each other change one order.
func (d *demo) apart() error {
	d.head("1. The warehouse and the fleet, cut off from each other")
	for _, authority := range []string{"warehouse", "fleet"} {
		n, err := d.mesh.start(d.ctx, authority)
		if err != nil {
			return err
		}
		d.line("%-9s  %s  origin %s", authority, n.http, n.origin)
	}
	d.line("An update's ID is ORIGIN.SEQ. To read well, origins are shown as their authority's name below.")
	d.line("")
	if err := d.tell("apart"); err != nil {
		return err
	}
	v, _, err := d.view(d.mesh.of("warehouse"), "order/1002", "")
	if err != nil {
		return err
	}
	d.expect(v.Updates == 1, "the warehouse has not heard of the fleet's update")
	return nil
}

// together: a third node joins both, and the contradiction shows.
func (d *demo) together() error {
	d.head("2. Payments joins both, and all three become one mesh")
	began := time.Now()
	n, err := d.mesh.start(d.ctx, "payments", d.mesh.nodes...)
	if err != nil {
		return err
	}
	d.line("%-9s  %s  origin %s", "payments", n.http, n.origin)
	if err := d.same(began); err != nil {
		return err
	}
	d.head("3. Two authorities have contradicted each other: every node says so, and shows the same")
	for _, n := range d.mesh.nodes {
		v, a, err := d.view(n, "order/1002", "")
		if err != nil {
			return err
		}
		if n.authority == "payments" {
			d.body("GET payments /v1/subjects/order/1002", a.Body)
		}
		ok := len(v.Conflicts) == 1 && v.Conflicts[0].Path == "/delivery/day" && len(v.Conflicts[0].Writes) == 2
		d.expect(ok, n.authority+" shows the conflict over the day of delivery")
	}
	d.line("")
	d.line("The fleet, which has seen both by now, settles it:")
	if err := d.tell("settled"); err != nil {
		return err
	}
	for _, n := range d.mesh.nodes {
		v, _, err := d.view(n, "order/1002", d.last["order/1002"])
		if err != nil {
			return err
		}
		d.expect(len(v.Conflicts) == 0, n.authority+" shows no conflict any more")
	}
	return nil
}

// causes: what depends on what is kept, whoever publishes it where.
func (d *demo) causes() error {
	d.head("4. Payment on delivery, and a cancelled order that is refunded")
	if err := d.tell("together"); err != nil {
		return err
	}
	return d.same(time.Now())
}

// same waits until all nodes that run are the same.
func (d *demo) same(since time.Time) error {
	root, err := d.mesh.settle(d.ctx)
	if err != nil {
		return err
	}
	d.line("%d nodes are converged after %d ms: the root of each is %s…", len(d.mesh.running()), time.Since(since).Milliseconds(), root[:16])
	return nil
}

// view gets a subject at a node, waiting until an update is applied there.
func (d *demo) view(n *demoNode, subject, atLeast string) (*reply.View, *client.Answer, error) {
	query := url.Values{}
	if atLeast != "" {
		query = url.Values{"at_least": {atLeast}, "wait": {demoWait.String()}}
	}
	a, err := n.get(d.ctx, "/v1/subjects/"+subject, query)
	if err != nil {
		return nil, nil, err
	}
	var v reply.View
	return &v, a, a.Decode(&v)
}

// The transcript.

func (d *demo) head(format string, args ...any) {
	fmt.Fprintf(d.out, "\n%s\n\n", fmt.Sprintf(format, args...))
}

func (d *demo) line(format string, args ...any) {
	text := "  " + fmt.Sprintf(format, args...)
	fmt.Fprintln(d.out, strings.TrimRight(text, " "))
}

// body shows an answer, indented.
func (d *demo) body(title string, text []byte) {
	var b bytes.Buffer
	if json.Indent(&b, text, "  ", "  ") != nil {
		b.Reset()
		b.Write(text)
	}
	d.line("%s", title)
	d.line("%s", d.id(b.String()))
}

// id shows origins as authorities.
func (d *demo) id(text string) string {
	for _, n := range d.mesh.nodes {
		text = strings.ReplaceAll(text, n.origin, n.authority)
	}
	return text
}

func (d *demo) ids(list []string) string { return d.id(strings.Join(list, ", ")) }

// expect notes whether something is as it should be.
func (d *demo) expect(ok bool, what string) {
	if ok {
		d.right++
		return
	}
	d.wrong = append(d.wrong, what)
	d.line("NOT SO: %s", what)
}
