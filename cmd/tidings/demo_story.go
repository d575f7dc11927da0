package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/client"
)

//go:embed demo/orders.ndjson
var demoOrders []byte

//go:embed demo/statuses.json
var demoStatuses []byte

// demoLine is a status change of the order history that the program carries.
type demoLine struct {
	Part      string          `json:"part"` // of the demo, in which it is published
	Authority string          `json:"authority"`
	Subject   string          `json:"subject"`
	Delta     json.RawMessage `json:"delta"`
	As        string          `json:"as"`   // what later lines call it
	Deps      []string        `json:"deps"` // lines that it depends on, by that
}

// readDemo reads the order history, and the statuses that it must lead to.
func readDemo() (lines []demoLine, statuses map[string]json.RawMessage, err error) {
	for text := range bytes.Lines(demoOrders) {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		var l demoLine
		if err := d.Decode(&l); err != nil {
			return nil, nil, fmt.Errorf("order history: %w", err)
		}
		lines = append(lines, l)
	}
	return lines, statuses, json.Unmarshal(demoStatuses, &statuses)
}

// demoWait is how long a node may take to get what another one has.
const demoWait = 5 * time.Second

// tell publishes the lines of one part of the history, each at its authority's
// node, once that has seen what was said of the subject before.
func (d *demo) tell(part string) error {
	for i := range d.lines {
		l := &d.lines[i]
		if l.Part != part {
			continue
		}
		if err := d.publish(l); err != nil {
			return fmt.Errorf("%s on %s: %w", l.Authority, l.Subject, err)
		}
	}
	return nil
}

func (d *demo) publish(l *demoLine) error {
	n := d.mesh.of(l.Authority)
	if last := d.last[l.Subject]; last != "" && l.Part != "apart" {
		query := url.Values{"at_least": {last}, "wait": {demoWait.String()}}
		if _, err := n.get(d.ctx, "/v1/subjects/"+l.Subject, query); err != nil {
			return err
		}
	}
	dr := client.Draft{Subject: l.Subject, Delta: l.Delta, Key: fmt.Sprintf("demo %s %s", l.Subject, l.Delta), Wait: demoWait}
	for _, name := range l.Deps {
		id := d.named[name]
		if id == "" {
			return fmt.Errorf("order history: %q comes before what it depends on", name)
		}
		dep, err := chain.ParseID(id)
		if err != nil {
			return err
		}
		dr.Deps = append(dr.Deps, dep)
	}
	r, err := n.client().Publish(d.ctx, dr)
	if err != nil {
		return err
	}
	id := r.ID.String()
	d.last[l.Subject], d.sent = id, append(d.sent, id)
	if l.As != "" {
		d.named[l.As] = id
	}
	after := ""
	if len(r.Deps) > 0 {
		after = "  after " + d.ids(idTexts(r.Deps))
	}
	d.line("%-9s  %s  %s", l.Authority, l.Subject, l.Delta)
	d.line("           -> %d %s%s", r.Status, d.id(id), after)
	d.expect(r.Status == http.StatusCreated, "published once")
	for _, id := range dr.Deps {
		d.expect(slices.Contains(r.Deps, id), "the dependency that the caller named is kept")
	}
	return nil
}
