package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-mesh/tidings/node/api/reply"
	"github.com/tidings-mesh/tidings/node/client"
)

// bench is one run: callers publish through the endpoints in turn, and a
// follower looks at each endpoint.
type bench struct {
	s         *session
	c         *benchCmd
	prefix    string
	desks     []*benchDesk
	sightings *sightings
	due       atomic.Int64 // updates that were begun
	start     time.Time

	mu      sync.Mutex // protects what follows
	failure error      // the first
}

// benchDesk is an endpoint.
type benchDesk struct {
	asks *client.Client // this endpoint only
	url  string
	from string // cursor from before the first update
}

// newBench asks every endpoint for its place, so that it is known to be there.
func newBench(s *session, c *benchCmd) (*bench, error) {
	b := &bench{s: s, c: c, prefix: "tidings-bench/" + strings.ToLower(rand.Text()), sightings: newSightings()}
	transport := &http.Transport{MaxIdleConnsPerHost: c.Callers + 1}
	names := map[string]string{}
	for _, endpoint := range c.Endpoints {
		asks, err := newClient(&clientFlags{Endpoints: []string{endpoint}, Timeout: c.Timeout, TokenFile: c.TokenFile}, client.Config{Transport: transport})
		if err != nil {
			return nil, err
		}
		d := &benchDesk{asks: asks, url: endpoint}
		b.desks = append(b.desks, d)
		var place reply.Batch
		a, err := get(s.ctx, asks, "/v1/changes", url.Values{"since": {"now"}, "prefix": {b.prefix}}, &place)
		if err != nil {
			b.close()
			return nil, err
		}
		d.from = place.Cursor
		name := a.Header.Get("Tidings-Node")
		if other, ok := names[name]; ok {
			b.close()
			return nil, usagef("--endpoints: %s and %s are one node, %s", other, endpoint, plain(name))
		}
		names[name] = endpoint
	}
	return b, nil
}

func (b *bench) close() {
	for _, d := range b.desks {
		d.asks.Close()
	}
}

// run publishes, waits until all is seen, and ends the subjects. Where an endpoint
// goes away, the result is of what came until then.
func (b *bench) run() (*benchResult, error) {
	ctx, cancel := context.WithCancel(b.s.ctx)
	defer cancel()
	var followers sync.WaitGroup
	errs := make([]error, len(b.desks))
	if len(b.desks) > 1 {
		for i, d := range b.desks {
			followers.Go(func() {
				if errs[i] = b.follow(ctx, i, d); errs[i] != nil {
					cancel() // there is nothing to wait for any more
				}
			})
		}
	}
	b.start = time.Now()
	shown := startProgress(b.s.err, b.c.Duration.Milliseconds(), b.progress)
	until, stop := context.WithTimeout(ctx, b.c.Duration)
	used := make([]bool, b.c.Callers)
	var callers sync.WaitGroup
	for i := range b.c.Callers {
		callers.Go(func() { used[i] = b.publish(ctx, until, i) })
	}
	callers.Wait()
	stop()
	took := time.Since(b.start)
	if len(b.desks) > 1 {
		b.sightings.wait(ctx, b.c.Timeout)
	}
	shown.end()
	cancel()
	followers.Wait()
	ended, err := b.end(used)
	return b.sightings.result(&benchResult{
		Endpoints: b.c.Endpoints, Callers: b.c.Callers, Seconds: round(took.Seconds(), 1000), Ended: ended,
	}, len(b.desks) > 1), errors.Join(append(errs, err)...)
}

func (b *bench) progress() (string, int64) {
	since := time.Since(b.start)
	published := b.sightings.published()
	return fmt.Sprintf("%d updates, %.0f/s", published, float64(published)/max(since.Seconds(), 1e-3)), since.Milliseconds()
}

func (b *bench) subject(caller int) string { return fmt.Sprintf("%s/%d", b.prefix, caller) }

func (b *bench) desk(caller int) *benchDesk { return b.desks[caller%len(b.desks)] }

// publish is a caller: it publishes one update after the other. It reports
// whether anything may have been published.
func (b *bench) publish(ctx, until context.Context, caller int) (used bool) {
	asks, subject := b.desk(caller).asks, b.subject(caller)
	text := strings.Repeat("x", b.c.Size)
	for n := 1; ; n++ {
		sent := time.Now()
		if b.c.Rate > 0 {
			sent = b.start.Add(time.Duration(b.due.Add(1)-1) * time.Second / time.Duration(b.c.Rate))
			// The context may be told late that its time is over.
			if sent.Sub(b.start) >= b.c.Duration || sleep(until, time.Until(sent)) != nil {
				return used
			}
		}
		if until.Err() != nil {
			return used
		}
		used = true
		update := sighting{subject, n}
		b.sightings.sent(update, sent, len(b.desks)-1)
		_, err := asks.Publish(ctx, client.Draft{Subject: subject, Delta: fmt.Appendf(nil, `{"n":%d,"text":%q}`, n, text)})
		if ctx.Err() != nil {
			b.sightings.forget(update)
			return used
		}
		b.sightings.answered(update, sent, err)
		if err != nil {
			b.fail(err)
			if sleep(until, retryLast) != nil {
				return used
			}
		}
	}
}

func (b *bench) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failure == nil {
		b.failure = err
	}
}

// follow looks at what comes to an endpoint from callers of others.
func (b *bench) follow(ctx context.Context, i int, d *benchDesk) error {
	for batch, err := range d.asks.Changes(ctx, client.Since(d.from), client.Prefix(b.prefix), client.Patience(b.c.Timeout)) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", d.url, err)
		}
		now := time.Now()
		for u := range batch.Updates {
			var delta struct{ N int }
			var caller int
			u := &batch.Updates[u]
			if json.Unmarshal(u.Delta, &delta) != nil || delta.N == 0 {
				continue // the end of a subject
			}
			if _, err := fmt.Sscanf(u.Subject[len(b.prefix):], "/%d", &caller); err == nil && caller%len(b.desks) != i {
				b.sightings.seen(sighting{u.Subject, delta.N}, now)
			}
		}
	}
	return nil
}

// end ends the subjects that were published to, also where the command was
// interrupted.
func (b *bench) end(used []bool) (ended int, err error) {
	ctx, cancel := detached(b.s.ctx)
	defer cancel()
	errs := make([]error, len(used))
	var wg sync.WaitGroup
	for caller, used := range used {
		if !used {
			continue
		}
		wg.Go(func() {
			_, errs[caller] = b.desk(caller).asks.Publish(ctx, client.Draft{Subject: b.subject(caller), Delta: []byte(`{"n":null,"text":null}`)})
		})
	}
	wg.Wait()
	for caller, used := range used {
		if used && errs[caller] == nil {
			ended++
		} else if used {
			err = errs[caller]
		}
	}
	if err != nil {
		err = fmt.Errorf("some subjects below %s are not ended: %w", b.prefix, err)
	}
	return ended, err
}
