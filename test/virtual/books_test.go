package virtual

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
)

// update is one update of an answer.
type update struct {
	ID      string          `json:"id"`
	Subject string          `json:"subject"`
	HLC     string          `json:"hlc"`
	Deps    []string        `json:"deps"`
	Delta   json.RawMessage `json:"delta"`
}

func parseID(id string) (origin string, seq int) {
	origin, text, _ := strings.Cut(id, ".")
	seq, _ = strconv.Atoi(text)
	return origin, seq
}

// books are what producers had acknowledged, and what they tried.
type books struct {
	mu    sync.Mutex        // protects both
	acked map[string]update // by ID
	tried map[string]bool   // deltas, each of which is published once
	// Reads that had what was asked for, and that said "not yet". Of the reader.
	read, notYet int
}

func newBooks() *books { return &books{acked: map[string]update{}, tried: map[string]bool{}} }

// publish posts one update, whose delta is no other's, and enters it.
func (b *books) publish(w *world, m *member, subject string) (id string, ok bool) {
	b.mu.Lock()
	delta := fmt.Sprintf(`{%q:%d}`, "by_"+m.Name(), len(b.tried))
	b.tried[delta] = true
	b.mu.Unlock()
	a := m.call(http.MethodPost, "/v1/updates", fmt.Sprintf(`{"subject":%q,"delta":%s}`, subject, delta), "Content-Type", "application/json")
	if a.Code != http.StatusCreated {
		var p problem
		a.into(w.t, http.StatusServiceUnavailable, &p)
		return p.Code, false
	}
	var got update
	a.into(w.t, http.StatusCreated, &got)
	got.Subject, got.Delta = subject, json.RawMessage(delta)
	b.mu.Lock()
	defer b.mu.Unlock()
	require.NotContains(w.t, b.acked, got.ID, "a seq was given out twice")
	b.acked[got.ID] = got
	return got.ID, true
}

// count is the number of updates that were acknowledged.
func (b *books) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.acked)
}

// produce publishes on each node, every so often, until stop is called.
func (b *books) produce(w *world, every time.Duration, nodes ...*member) (stop func()) {
	return w.meanwhile(len(nodes), func(ctx context.Context, i int) {
		for k := 0; ctx.Err() == nil; k++ {
			b.publish(w, nodes[i], fmt.Sprintf("order/%d", (k+i)%7))
			pause(ctx, every/2+rand.N(every))
		}
	})
}

// readBack reads, on one node after the other, what was acknowledged on any: the
// answer has it, or says "not yet" (C7).
func (b *books) readBack(w *world, nodes ...*member) (stop func()) {
	return w.meanwhile(1, func(ctx context.Context, _ int) {
		for i := 0; ctx.Err() == nil; i++ {
			b.mu.Lock()
			u := anyOf(b.acked)
			b.mu.Unlock()
			if u.ID != "" {
				b.readOne(w, nodes[i%len(nodes)], u)
			}
			pause(ctx, 70*time.Millisecond)
		}
	})
}

func (b *books) readOne(w *world, m *member, u update) {
	a := m.get("/v1/history/" + u.Subject + "?wait=100ms&at_least=" + u.ID)
	var p problem
	var h struct{ Updates []update }
	switch {
	case a.Code == http.StatusOK && json.Unmarshal(a.Body.Bytes(), &h) == nil:
		if !slices.ContainsFunc(h.Updates, func(o update) bool { return o.ID == u.ID }) {
			w.t.Errorf("%s: %s was asked for, and is not in %s", m.Name(), u.ID, a.Body)
		}
		b.read++
	case a.Code == http.StatusServiceUnavailable && json.Unmarshal(a.Body.Bytes(), &p) == nil && p.Code == "behind":
		b.notYet++
	default:
		w.t.Errorf("%s: %d %s", m.Name(), a.Code, a.Body)
	}
}

// meanwhile runs n goroutines until stop is called, which waits for them, or
// the test ends.
func (w *world) meanwhile(n int, run func(ctx context.Context, i int)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { run(ctx, i) })
	}
	stop = func() { cancel(); wg.Wait() }
	w.stops = append(w.stops, stop)
	return stop
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// consumer follows the feed with one cursor, on another node with each call,
// and checks what it gets: nothing is skipped, repeated, or before what it
// depends on. It may be told of an update that no node it goes to next has.
type consumer struct {
	nodes  []*member
	cursor string
	seen   map[string]int // origin to seq
	got    map[string]update
	faults []string
	behind int // answers that named origins of which the node has less than the cursor
}

func newConsumer(nodes ...*member) *consumer {
	return &consumer{nodes: nodes, cursor: "start", seen: map[string]int{}, got: map[string]update{}}
}

// page is an answer of the feed.
type page struct {
	Updates   []update
	Cursor    string
	UpToDate  bool `json:"up_to_date"`
	Behind    []string
	Retracted []json.RawMessage
}

// poll asks a node for one page.
func (c *consumer) poll(m *member, limit int, wait string) (upToDate bool) {
	q := url.Values{"since": {c.cursor}, "limit": {strconv.Itoa(limit)}, "wait": {wait}}
	a := m.get("/v1/changes?" + q.Encode())
	var p page
	if err := json.Unmarshal(a.Body.Bytes(), &p); a.Code != http.StatusOK || err != nil {
		c.fault("%s: %d %s", m.Name(), a.Code, a.Body)
		return false
	}
	for _, u := range p.Updates {
		c.take(u)
	}
	if len(p.Retracted) > 0 {
		c.fault("%s took back %s", m.Name(), p.Retracted)
	}
	if len(p.Behind) > 0 {
		c.behind++
	}
	c.cursor = p.Cursor
	return p.UpToDate && len(p.Behind) == 0
}

func (c *consumer) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

func (c *consumer) take(u update) {
	origin, seq := parseID(u.ID)
	if want := max(c.seen[origin]+1, 2); seq != want { // seq 1 is the genesis, in no feed
		c.fault("%s came where seq %d was next", u.ID, want)
	}
	for _, d := range u.Deps {
		if o, s := parseID(d); c.seen[o] < s {
			c.fault("%s came before %s", u.ID, d)
		}
	}
	c.seen[origin] = seq
	c.got[u.ID] = u
}

// follow polls one node after the other until stop is called.
func (c *consumer) follow(w *world) (stop func()) {
	return w.meanwhile(1, func(ctx context.Context, _ int) {
		for i := 0; ctx.Err() == nil; i++ {
			c.poll(c.nodes[i%len(c.nodes)], 1+i%50, "50ms")
			pause(ctx, 50*time.Millisecond)
		}
	})
}

// finish polls to the end, and checks the books: all that was acknowledged came,
// with what was published, and nothing else (C1, C2, C3, C4, C6, C8).
func (c *consumer) finish(w *world, b *books) {
	w.t.Helper()
	w.within(10*time.Second, "the consumer is up to date", func() bool { return c.poll(c.nodes[0], 1000, "0") })
	require.Empty(w.t, c.faults)
	require.Empty(w.t, b.faults(c.got))
}

// faults compares what came with what was published.
func (b *books) faults(got map[string]update) (faults []string) {
	for id, want := range b.acked {
		if u, ok := got[id]; !ok {
			faults = append(faults, id+" was acknowledged and is not there")
		} else if u.Subject != want.Subject || string(u.Delta) != string(want.Delta) {
			faults = append(faults, fmt.Sprintf("%s is %s %s, and was published as %s %s", id, u.Subject, u.Delta, want.Subject, want.Delta))
		}
	}
	deltas := map[string]bool{}
	for id, u := range got {
		if !b.tried[string(u.Delta)] {
			faults = append(faults, fmt.Sprintf("%s was never published: %s", id, u.Delta))
		}
		if deltas[string(u.Delta)] {
			faults = append(faults, fmt.Sprintf("%s is there twice", u.Delta))
		}
		deltas[string(u.Delta)] = true
	}
	return faults
}

// settle waits until nodes are converged under one root, and reports how long
// that took.
func (w *world) settle(limit time.Duration, nodes ...*member) time.Duration {
	w.t.Helper()
	return w.within(limit, "all are converged under one root", func() bool {
		for _, m := range nodes {
			if p := m.mesh(); !p.Converged || p.Root != nodes[0].mesh().Root {
				return false
			}
		}
		return true
	})
}

// same checks that nodes have all that was acknowledged applied and show the
// same bytes and tags of every subject: view, history, feed and each update (C1, C2, C5).
func (w *world) same(b *books, nodes ...*member) {
	w.t.Helper()
	paths := map[string]bool{"/v1/subjects?limit=1000": true, "/v1/changes?since=start&limit=10000": true}
	for id, u := range b.acked {
		paths["/v1/updates/"+id] = true
		paths["/v1/subjects/"+u.Subject] = true
		paths["/v1/history/"+u.Subject] = true
	}
	for path := range paths {
		want := nodes[0].get(path)
		require.Equal(w.t, http.StatusOK, want.Code, "%s: %s", path, want.Body)
		if strings.HasPrefix(path, "/v1/updates/") {
			var u struct{ Applied bool }
			want.into(w.t, http.StatusOK, &u)
			require.True(w.t, u.Applied, path)
		}
		for _, m := range nodes[1:] {
			got := m.get(path)
			require.Equal(w.t, want.Body.String(), got.Body.String(), "%s on %s", path, m.Name())
			require.Equal(w.t, want.Header().Get("ETag"), got.Header().Get("ETag"), "%s on %s", path, m.Name())
		}
	}
	require.NotEmpty(w.t, nodes[0].get("/v1/subjects/"+anyOf(b.acked).Subject).Header().Get("ETag"))
}

func anyOf(acked map[string]update) (u update) {
	for _, u = range acked {
		break
	}
	return u
}
