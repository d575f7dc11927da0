package main

import (
	"fmt"
	"time"
)

const readClients = 32

func get(path, header string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: bench\r\n" + header + "\r\n")
}

// reads measures what consumers ask for, beside what net/http alone does.
func reads(r *report, p *process, o options) error {
	expect := func(c *conn, request []byte, want int) (int, error) {
		status, body, err := c.ask(request)
		if err == nil && status != want {
			err = fmt.Errorf("status %d, want %d: %.200s", status, want, body)
		}
		return 1, err
	}
	constant := get("/constant", "")
	constant304 := get("/constant", "If-None-Match: \"constant\"\r\n")
	tags := make([]string, 1000)
	if _, _, _, _, err := (load{addr: p.HTTP, clients: 1, calls: int64(len(tags)), do: func(c *conn, i int64) (int, error) {
		n, err := expect(c, get("/v1/subjects/"+subject(i, o.subjects), ""), 200)
		tags[i] = string(c.etag)
		return n, err
	}}).run(); err != nil {
		return err
	}
	var base, base304 float64
	for _, f := range []struct {
		what   string
		short  string
		do     func(c *conn, i int64) (int, error)
		beside *float64
		is     *float64
	}{
		{"net/http alone, a constant of 700 B", "constant", func(c *conn, _ int64) (int, error) { return expect(c, constant, 200) }, nil, &base},
		{"GET a view, of all subjects in turn", "view", func(c *conn, i int64) (int, error) {
			return expect(c, get("/v1/subjects/"+subject(i, o.subjects), ""), 200)
		}, &base, nil},
		{"GET a view, of 1,000 subjects", "view of 1,000", func(c *conn, i int64) (int, error) {
			return expect(c, get("/v1/subjects/"+subject(i%int64(len(tags)), o.subjects), ""), 200)
		}, &base, nil},
		{"net/http alone, 304", "constant 304", func(c *conn, _ int64) (int, error) { return expect(c, constant304, 304) }, nil, &base304},
		{"GET a view that did not change: 304, of 1,000 subjects", "304", func(c *conn, i int64) (int, error) {
			i %= int64(len(tags))
			return expect(c, get("/v1/subjects/"+subject(i, o.subjects), "If-None-Match: "+tags[i]+"\r\n"), 304)
		}, &base304, nil},
		{"GET a history, of all subjects in turn", "history", func(c *conn, i int64) (int, error) {
			return expect(c, get("/v1/history/"+subject(i, o.subjects), ""), 200)
		}, &base, nil},
		{"GET a page of 1,000 subjects", "subjects", func(c *conn, _ int64) (int, error) {
			return expect(c, get("/v1/subjects?prefix=order&limit=1000", ""), 200)
		}, nil, nil},
	} {
		profiled := p.profile(o.profiles, "read "+f.short)
		cpu := p.cpu()
		n, took, p50, p99, err := load{addr: p.HTTP, clients: readClients, length: o.length, do: f.do}.run()
		if err != nil {
			return fmt.Errorf("%s: %w", f.what, err)
		}
		profiled()
		now, _ := p.memory()
		row := Row{What: fmt.Sprintf("%s, %d clients", f.what, readClients), Value: float64(n) / took.Seconds(), Unit: "/s", P50ms: p50, P99ms: p99, RSSMB: now, CPUus: (p.cpu() - cpu) / float64(n)}
		if f.is != nil {
			*f.is = row.Value
		}
		if f.beside != nil {
			row.Beside, row.Ratio = "net/http alone", row.Value / *f.beside
		}
		r.add(row)
	}
	return nil
}

// feed reads the whole feed from its start.
func feed(r *report, p *process, o options) error {
	for _, limit := range []int{1000, 10000} {
		c, err := dial(p.HTTP)
		if err != nil {
			return err
		}
		profiled := p.profile(o.profiles, fmt.Sprint("feed by ", limit))
		cpu := p.cpu()
		cursor, updates, calls := "start", 0, 0
		began := time.Now()
		for done := false; !done; calls++ {
			status, body, err := c.ask(get(fmt.Sprintf("/v1/changes?limit=%d&since=%s", limit, cursor), ""))
			if err == nil && status != 200 {
				err = fmt.Errorf("status %d: %s", status, body)
			}
			if err != nil {
				return fmt.Errorf("feed: %w", err)
			}
			n := 0
			if cursor, done, n, err = cursorOf(body); err != nil {
				return fmt.Errorf("feed: %w", err)
			}
			updates += n
		}
		took := time.Since(began)
		profiled()
		now, _ := p.memory()
		r.add(Row{
			What: fmt.Sprintf("GET the feed from its start, batches of %d, one client", limit), Value: float64(updates) / took.Seconds(), Unit: "updates/s",
			P50ms: took.Seconds() * 1e3 / float64(calls), P99ms: took.Seconds() * 1e3 / float64(calls), RSSMB: now, CPUus: (p.cpu() - cpu) / float64(updates),
		})
		c.c.Close()
	}
	return nil
}
