package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/tidings-mesh/tidings/test/bench/harness"
)

const (
	singleClients = 64
	batchClients  = 4
	batchItems    = 1000
)

// httpPublish publishes o.updates over HTTP: a tenth one by one, the rest in
// arrays and as NDJSON, half each.
func httpPublish(r *report, p *process, o options) error {
	singles := int64(o.updates / 10)
	batches := (int64(o.updates) - singles) / 2 / batchItems
	var published int64
	item := func(b []byte, i int64) []byte {
		b = append(b, `{"subject":"`...)
		b = append(b, subject(i, o.subjects)...)
		b = append(b, `","delta":`...)
		b = append(b, harness.NewPayload(o.payload, i)...)
		return append(b, '}')
	}
	forms := []struct {
		what    string
		clients int
		calls   int64
		do      func(c *conn, call int64) (int, error)
	}{
		{"one by one", singleClients, singles, func(c *conn, call int64) (int, error) {
			status, body, err := c.ask(post("application/json", item(nil, call)))
			if err == nil && status != 201 {
				err = fmt.Errorf("status %d: %s", status, body)
			}
			return 1, err
		}},
		{"arrays of 1,000", batchClients, batches, func(c *conn, call int64) (int, error) {
			from := singles + call*batchItems
			b := []byte{'['}
			for i := range int64(batchItems) {
				if i > 0 {
					b = append(b, ',')
				}
				b = item(b, from+i)
			}
			return accepted(c, post("application/json", append(b, ']')))
		}},
		{"NDJSON, 1,000 lines a request", batchClients, batches, func(c *conn, call int64) (int, error) {
			from := singles + (batches+call)*batchItems
			var b []byte
			for i := range int64(batchItems) {
				b = append(item(b, from+i), '\n')
			}
			return accepted(c, post("application/x-ndjson", b))
		}},
	}
	for _, f := range forms {
		profiled := p.profile(o.profiles, "publish "+f.what)
		n, took, p50, p99, err := load{addr: p.HTTP, clients: f.clients, calls: f.calls, do: f.do}.run()
		if err != nil {
			return fmt.Errorf("publish %s: %w", f.what, err)
		}
		profiled()
		published += n
		now, _ := p.memory()
		r.add(Row{
			What:  fmt.Sprintf("publish over HTTP, %s, %d clients", f.what, f.clients),
			Value: float64(n) / took.Seconds(), Unit: "/s", P50ms: p50, P99ms: p99, RSSMB: now,
		})
	}
	var mesh struct {
		Store struct{ Updates, Subjects, Bytes int64 }
	}
	if _, err := p.get("/v1/mesh", &mesh); err != nil {
		return err
	}
	if mesh.Store.Updates != published {
		return fmt.Errorf("the node has %d updates, %d were published", mesh.Store.Updates, published)
	}
	now, peak := p.memory()
	r.add(Row{
		What:  fmt.Sprintf("store: %d updates over %d subjects, on disk", mesh.Store.Updates, mesh.Store.Subjects),
		Value: float64(mesh.Store.Bytes) / 1e6, Unit: "MB", RSSMB: now,
	})
	r.add(Row{What: "peak memory while publishing", Value: peak, Unit: "MB"})
	return nil
}

func post(kind string, body []byte) []byte {
	b := append([]byte("POST /v1/updates HTTP/1.1\r\nHost: bench\r\nContent-Type: "), kind...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

// accepted asks and counts the items that were published; one that was not is
// an error.
func accepted(c *conn, request []byte) (int, error) {
	status, body, err := c.ask(request)
	if err != nil {
		return 0, err
	}
	if status != 200 {
		return 0, fmt.Errorf("status %d: %s", status, body)
	}
	n := bytes.Count(body, []byte(`"status":201`))
	if n != batchItems {
		return n, fmt.Errorf("%d of %d published: %.300s", n, batchItems, body)
	}
	return n, nil
}

// cursorOf reads the cursor and the updates' number of a batch of the feed.
func cursorOf(body []byte) (cursor string, upToDate bool, updates int, err error) {
	// The updates are most of it and are not needed: their number is told by
	// their IDs.
	var batch struct {
		Cursor   string `json:"cursor"`
		UpToDate bool   `json:"up_to_date"`
	}
	i := bytes.LastIndex(body, []byte(`"cursor":`))
	if i < 0 {
		return "", false, 0, fmt.Errorf("no cursor in %.200s", body)
	}
	if err := json.Unmarshal(append([]byte{'{'}, body[i:]...), &batch); err != nil {
		return "", false, 0, err
	}
	return batch.Cursor, batch.UpToDate, bytes.Count(body[:i], []byte(`"subject":`)), nil
}
