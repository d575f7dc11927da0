package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var httpClient = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// item is one status change that a producer means to publish. Its delta has a
// field that no other one has, so what it became can be told anywhere.
type item struct {
	node, subject, field, delta string

	id   string // as it was acknowledged; empty if it was not, or not yet
	acks int    // on how many nodes it was durable then
}

// producer publishes to one agent, and keeps its books: what it tried, and what
// was acknowledged. An item is tried under its key until it is acknowledged.
type producer struct {
	agent *agent
	ack   int           // ask for so many durable copies; 0 does not ask
	once  bool          // try each item once: it may or may not be published
	pace  time.Duration // least time between two items
	until chan struct{} // go on until it is closed, not to a number of items; may be nil

	mu    sync.Mutex
	items []*item
}

func newProducer(a *agent) *producer { return &producer{agent: a} }

// acked returns the items that were acknowledged.
func (p *producer) acked() (items []*item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, it := range p.items {
		if it.id != "" {
			items = append(items, it)
		}
	}
	return items
}

// newest returns a copy of an item that was acknowledged lately.
func (p *producer) newest() (it item, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.items) - 1; i >= 0; i-- {
		if p.items[i].id != "" {
			return *p.items[i], true
		}
	}
	return item{}, false
}

// publish publishes n items, or as long as until says, from a number of clients
// and returns once all are acknowledged, or were tried once. The end of ctx ends
// it early.
func (p *producer) publish(ctx context.Context, t *testing.T, clients, n int, label string) {
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range clients {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if p.enough(i, n) || !sleep(ctx, time.Until(began.Add(time.Duration(i)*p.pace))) {
					return
				}
				p.one(ctx, t, label, int(i))
			}
		})
	}
	wg.Wait()
}

func (p *producer) enough(i int64, n int) bool {
	if p.until == nil {
		return i > int64(n)
	}
	select {
	case <-p.until:
		return true
	default:
		return false
	}
}

// sleep waits, and reports whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

// one publishes item i, again and again until it is acknowledged. All nodes
// write the same subjects and, with what goes by "last", the same field, so
// there are dependencies and conflicts between chains. Every fourth item
// depends on what its client saw of another subject besides.
func (p *producer) one(ctx context.Context, t *testing.T, label string, i int) {
	subjectOf := func(i int) string { return fmt.Sprintf("%s/%c/%d", label, "ab"[i%2], i%97) }
	it := &item{node: p.agent.name, subject: subjectOf(i), field: fmt.Sprintf("%s-%s-%d", p.agent.name, label, i)}
	it.delta = fmt.Sprintf(`{%q:%d,"last":%d}`, it.field, i, i)
	p.mu.Lock()
	p.items = append(p.items, it)
	p.mu.Unlock()

	deps := []string{}
	if i%4 == 0 {
		var view struct{ Heads []string }
		if p.agent.get("/v1/subjects/"+subjectOf(i+1), &view) {
			deps = view.Heads
		}
	}
	depsJSON, _ := json.Marshal(deps)
	body := fmt.Sprintf(`{"subject":%q,"delta":%s,"key":%q,"deps":%s}`, it.subject, it.delta, it.field, depsJSON)
	for ctx.Err() == nil {
		if id, acks, ok := p.post(t, body); ok {
			p.mu.Lock()
			it.id, it.acks = id, acks
			p.mu.Unlock()
			return
		}
		if p.once {
			return
		}
		sleep(ctx, 10*time.Millisecond)
	}
}

func (p *producer) post(t *testing.T, body string) (id string, acks int, ok bool) {
	path := "/v1/updates"
	if p.ack > 0 {
		path += "?" + url.Values{"ack": {fmt.Sprint(p.ack)}, "wait": {"2s"}}.Encode()
	}
	resp, err := p.agent.client.Post(p.agent.url(path), "application/json", strings.NewReader(body))
	if err != nil {
		return "", 0, false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", 0, false
	}
	var got struct {
		ID   string
		Acks int
		Code string
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Errorf("publish on %s: %s: %q", p.agent.name, resp.Status, b)
		return "", 0, false
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted:
		if resp.StatusCode == http.StatusCreated && got.Acks < p.ack {
			t.Errorf("publish on %s with ack=%d: 201 with %d", p.agent.name, p.ack, got.Acks)
		}
		return got.ID, got.Acks, got.ID != ""
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return "", 0, false
	case http.StatusConflict:
		// A crash may have taken back what was applied but not acknowledged; it
		// comes again from the others.
		if got.Code == "unknown_dependency" {
			return "", 0, false
		}
	}
	t.Errorf("publish on %s: %s: %s", p.agent.name, resp.Status, b)
	return "", 0, false
}
