package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/node/api/reply"
	"github.com/tidings-mesh/tidings/node/client"
)

// demoConsumer polls the feed, each time at another node, and checks what it
// gets: nothing twice, nothing before what it depends on.
type demoConsumer struct {
	d      *demo
	cursor string
	seen   map[string]bool
	turn   int
}

// demoPage is small, so that the cursor moves often.
const demoPage = "4"

// drain polls, at one running node after the other, until there is no more.
func (c *demoConsumer) drain() error {
	for idle := 0; idle < len(c.d.mesh.running()); {
		up := c.d.mesh.running()
		n := up[c.turn%len(up)]
		c.turn++
		a, err := n.get(c.d.ctx, "/v1/changes", url.Values{"since": {c.cursor}, "limit": {demoPage}})
		if err != nil {
			return err
		}
		var b client.Batch
		if err := a.Decode(&b); err != nil {
			return err
		}
		since := c.cursor
		c.cursor = b.Cursor
		if len(b.Updates) == 0 {
			idle++
			continue
		}
		idle = 0
		got := c.take(b.Updates)
		c.d.line("GET %-9s /v1/changes?since=%-9s -> %s", n.authority, short(since), c.d.ids(got))
	}
	return nil
}

func (c *demoConsumer) take(updates []client.Update) (got []string) {
	for _, u := range updates {
		id := u.ID.String()
		c.d.expect(!c.seen[id], "the poll repeats nothing: "+id)
		for _, dep := range u.Deps {
			c.d.expect(c.seen[dep.String()], "the poll brings "+dep.String()+" before "+id)
		}
		c.seen[id] = true
		got = append(got, id)
	}
	return got
}

// short is the end of a cursor, which tells it from others.
func short(cursor string) string {
	if len(cursor) <= 12 {
		return cursor
	}
	return "…" + cursor[len(cursor)-8:]
}

// whole checks that the poll brought all that was published, and no more.
func (c *demoConsumer) whole() {
	for _, id := range c.d.sent {
		c.d.expect(c.seen[id], "the poll loses nothing: "+id)
	}
	c.d.expect(len(c.seen) == len(c.d.sent), "the poll makes nothing up")
	c.d.line("All %d updates came once, each after what it depends on.", len(c.seen))
}

// consume is what a consumer does with the mesh.
func (d *demo) consume(statuses map[string]json.RawMessage) error {
	d.head("5. What a consumer sees: the status of an order, from any node")
	_, a, err := d.view(d.mesh.of("payments"), "order/1003", "")
	if err != nil {
		return err
	}
	d.body("GET payments /v1/subjects/order/1003", a.Body)
	d.head("6. How it came about: its stitched history, the same on every node")
	if err := d.history("order/1001"); err != nil {
		return err
	}
	d.head("7. What is new: one cursor that moves from node to node")
	c := &demoConsumer{d: d, cursor: "start", seen: map[string]bool{}}
	if err := c.drain(); err != nil {
		return err
	}
	c.whole()
	if err := d.without(c); err != nil {
		return err
	}
	return d.agree(statuses)
}

// history shows the stitched history of a subject, and compares nodes.
func (d *demo) history(subject string) error {
	var first []byte
	for i, n := range d.mesh.nodes {
		a, err := n.get(d.ctx, "/v1/history/"+subject, nil)
		if err != nil {
			return err
		}
		if i > 0 {
			d.expect(string(a.Body) == string(first), n.authority+" tells the history of "+subject+" byte for byte as the others do")
			continue
		}
		first = a.Body
		var h reply.History
		if err := a.Decode(&h); err != nil {
			return err
		}
		d.line("GET %s /v1/history/%s", n.authority, subject)
		for _, u := range h.Updates {
			after := ""
			if len(u.Deps) > 0 {
				after = "  after " + d.ids(idTexts(u.Deps))
			}
			d.line("%s  %-12s %s%s", u.Time.UTC().Format("15:04:05.000"), d.id(u.ID.String()), u.Delta, after)
		}
	}
	return nil
}

// without: one node is stopped, the others go on, and it catches up.
func (d *demo) without(c *demoConsumer) error {
	d.head("8. The fleet's node is stopped: the others serve and publish")
	fleet := d.mesh.of("fleet")
	if err := fleet.stop(); err != nil {
		return err
	}
	if err := d.tell("without fleet"); err != nil {
		return err
	}
	if err := c.drain(); err != nil {
		return err
	}
	d.head("9. It comes back, on its own directory, and catches up before it is ready")
	began, origin := time.Now(), fleet.origin
	if _, err := d.mesh.start(d.ctx, "fleet", d.mesh.running()...); err != nil {
		return err
	}
	if err := d.ready(fleet); err != nil {
		return err
	}
	d.line("fleet      %s  ready after %d ms", fleet.http, time.Since(began).Milliseconds())
	d.expect(fleet.origin == origin, "the fleet goes on with its own chain")
	_, missed, err := d.view(fleet, "order/1004", "")
	d.expect(err == nil && missed.Status == http.StatusOK, "the fleet is ready once it has what it missed")
	if err := d.same(began); err != nil {
		return err
	}
	if err := d.tell("back"); err != nil {
		return err
	}
	if err := d.same(time.Now()); err != nil {
		return err
	}
	if err := c.drain(); err != nil {
		return err
	}
	c.whole()
	return nil
}

// ready waits until a node says that it is.
func (d *demo) ready(n *demoNode) error {
	for start := time.Now(); ; {
		_, err := n.get(d.ctx, "/readyz", nil)
		if err == nil || time.Since(start) > demoTimeout {
			return err
		}
		if err := sleep(d.ctx, retryFirst); err != nil {
			return err
		}
	}
}

// agree checks every status, and that all nodes give the same bytes.
func (d *demo) agree(statuses map[string]json.RawMessage) error {
	d.head("10. In the end: every order, on every node, byte for byte")
	for _, subject := range slices.Sorted(maps.Keys(statuses)) {
		var first *client.Answer
		for _, n := range d.mesh.nodes {
			v, a, err := d.view(n, subject, "")
			if err != nil {
				return err
			}
			if first == nil {
				first = a
				d.line("%s  %s", subject, v.Status)
			}
			d.expect(string(v.Status) == string(statuses[subject]), fmt.Sprintf("%s has the status %s at %s", subject, statuses[subject], n.authority))
			d.expect(string(a.Body) == string(first.Body), "the view of "+subject+" at "+n.authority+" is byte for byte that of the others")
			d.expect(a.Header.Get("ETag") != "" && a.Header.Get("ETag") == first.Header.Get("ETag"), "the ETag of "+subject+" at "+n.authority+" is that of the others")
		}
	}
	return nil
}
