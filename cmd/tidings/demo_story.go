package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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
const demoWait = "5s"

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
		query := url.Values{"at_least": {last}, "wait": {demoWait}}
		if _, err := n.get(d.ctx, "/v1/subjects/"+l.Subject, query); err != nil {
			return err
		}
	}
	dr := draft{Subject: l.Subject, Delta: l.Delta, Key: fmt.Sprintf("demo %s %s", l.Subject, l.Delta)}
	for _, name := range l.Deps {
		id := d.named[name]
		if id == "" {
			return fmt.Errorf("order history: %q comes before what it depends on", name)
		}
		dr.Deps = append(dr.Deps, id)
	}
	body, err := dr.body()
	if err != nil {
		return err
	}
	a, err := n.caller().deliver(d.ctx, request{
		method: http.MethodPost, path: "/v1/updates", query: url.Values{"wait": {demoWait}},
		header: http.Header{"Content-Type": {"application/json"}}, body: body,
	})
	if err != nil {
		return err
	}
	var r struct {
		ID   string   `json:"id"`
		Deps []string `json:"deps"`
	}
	if err := a.decode(&r); err != nil {
		return err
	}
	d.last[l.Subject], d.sent = r.ID, append(d.sent, r.ID)
	if l.As != "" {
		d.named[l.As] = r.ID
	}
	after := ""
	if len(r.Deps) > 0 {
		after = "  after " + d.ids(r.Deps)
	}
	d.line("%-9s  %s  %s", l.Authority, l.Subject, l.Delta)
	d.line("           -> %d %s%s", a.status, d.id(r.ID), after)
	d.expect(a.status == http.StatusCreated, "published once")
	for _, id := range dr.Deps {
		d.expect(slices.Contains(r.Deps, id), "the dependency that the caller named is kept")
	}
	return nil
}
