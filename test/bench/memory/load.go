package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-mesh/tidings/test/bench/agent"
	"github.com/tidings-mesh/tidings/test/bench/harness"
)

// load has clients work on an agent until ctx ends or a call fails.
type load struct {
	clients int
	do      func(c *client, call int64) error
	done    atomic.Int64 // what was counted by calls
}

// client is one connection of a load.
type client struct {
	http *http.Client
	base string
	load *load
}

// run returns what went wrong first. That ctx ended is no error.
func (l *load) run(ctx context.Context, a *agent.Agent) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range l.clients {
		wg.Go(func() {
			transport := &http.Transport{MaxIdleConnsPerHost: 1}
			defer transport.CloseIdleConnections()
			c := &client{http: &http.Client{Transport: transport}, base: "http://" + a.HTTP, load: l}
			for ctx.Err() == nil {
				if err := l.do(c, next.Add(1)-1); err != nil {
					stop(err)
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != context.DeadlineExceeded && err != context.Canceled {
		return err
	}
	return nil
}

// measured runs a load for length, and adds a row of it.
func (l *load) measured(r *report, a *agent.Agent, what string, length time.Duration) error {
	if err := a.ForgetPeak(); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), length)
	defer stop()
	began := time.Now()
	if err := l.run(ctx, a); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	took := time.Since(began).Seconds()
	u, err := a.Usage()
	if err != nil {
		return err
	}
	r.add(Row{What: what, RSSMB: u.RSS, PeakMB: u.PeakRSS, PerSec: float64(l.done.Load()) / took})
	return nil
}

// get asks for what is at path and throws the answer away.
func (c *client) get(path string) error {
	res, err := c.http.Get(c.base + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, res.Status)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

var created = []byte(`"status":201`)

// publish sends items as one array and counts those that were published. The
// others are refused, as a node that is busy may.
func (c *client) publish(items int, subject func(i int) int64, payload int) error {
	body := make([]byte, 0, items*(payload+48))
	for i := range items {
		sep := byte(',')
		if i == 0 {
			sep = '['
		}
		body = appendItem(append(body, sep), subject(i), payload)
	}
	return c.post("application/json", append(body, ']'))
}

// stream sends items as a stream of lines, and counts as publish does.
func (c *client) stream(items int, subject func(i int) int64, payload int) error {
	body := make([]byte, 0, items*(payload+48))
	for i := range items {
		body = append(appendItem(body, subject(i), payload), '\n')
	}
	return c.post("application/x-ndjson", body)
}

// path is the subject of a number: a thousand folders share them.
func path(subject int64) string { return fmt.Sprintf("fill/%03d/%d", subject%1000, subject) }

func appendItem(b []byte, subject int64, payload int) []byte {
	return fmt.Appendf(b, `{"subject":"%s","delta":%s}`, path(subject), harness.NewPayload(payload, subject))
}

// publishOne publishes one update by itself.
func (c *client) publishOne(s int64, payload int) error {
	return c.post("application/json", appendItem(nil, s, payload))
}

func (c *client) post(kind string, body []byte) error {
	res, err := c.http.Post(c.base+"/v1/updates", kind, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	switch res.StatusCode {
	case http.StatusCreated:
		c.load.done.Add(1)
	case http.StatusOK:
		c.load.done.Add(int64(bytes.Count(answer, created)))
	case http.StatusTooManyRequests:
		time.Sleep(10 * time.Millisecond)
	default:
		return fmt.Errorf("POST /v1/updates: %s: %.300s", res.Status, answer)
	}
	return nil
}
