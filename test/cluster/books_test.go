package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var httpClient = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// update is one update of an answer.
type update struct {
	ID        string          `json:"id"`
	Subject   string          `json:"subject"`
	Authority string          `json:"authority"`
	HLC       string          `json:"hlc"`
	Deps      []string        `json:"deps"`
	Delta     json.RawMessage `json:"delta"`
}

func (u *update) origin() string { o, _, _ := strings.Cut(u.ID, "."); return o }
func (u *update) seq() int {
	_, s, _ := strings.Cut(u.ID, ".")
	n, _ := strconv.Atoi(s)
	return n
}

// producer publishes to one agent, and keeps what was acknowledged. Each item
// is retried under its key until it is, so the books have every item once.
type producer struct {
	agent *agent
	mu    sync.Mutex
	acked map[string]string // update ID to delta
}

// publish publishes n items from a number of clients and returns once all are
// acknowledged. stop ends it early.
func (p *producer) publish(ctx context.Context, t *testing.T, clients, n int, label string) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(n) || ctx.Err() != nil {
					return
				}
				subject := fmt.Sprintf("%s/%d", label, i%97)
				delta := fmt.Sprintf(`{"c%d":%d}`, c, i)
				key := fmt.Sprintf("%s-%d", label, i)
				if id := p.one(ctx, t, subject, delta, key); id != "" {
					p.mu.Lock()
					if was, ok := p.acked[id]; ok && was != delta {
						t.Errorf("%s was acknowledged for %s and for %s", id, was, delta)
					}
					p.acked[id] = delta
					p.mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
}

// one publishes an item, again and again until it is acknowledged.
func (p *producer) one(ctx context.Context, t *testing.T, subject, delta, key string) string {
	body := fmt.Sprintf(`{"subject":%q,"delta":%s,"key":%q}`, subject, delta, key)
	for ctx.Err() == nil {
		resp, err := httpClient.Post(p.agent.url("/v1/updates"), "application/json", strings.NewReader(body))
		if err == nil {
			var got struct{ ID string }
			b, readErr := io.ReadAll(resp.Body)
			resp.Body.Close()
			switch {
			case readErr != nil:
			case resp.StatusCode == http.StatusCreated || resp.StatusCode == http.StatusOK:
				if json.Unmarshal(b, &got) == nil && got.ID != "" {
					return got.ID
				}
			case resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusTooManyRequests:
				t.Errorf("publish: %s: %s", resp.Status, b)
				return ""
			}
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return ""
}

// consumer polls agents in turn with one cursor, and checks all that it gets:
// no update is skipped, repeated or before one that it depends on.
type consumer struct {
	agents  []*agent
	cursor  string
	seen    map[string]int // origin to seq
	deltas  map[string]string
	changed int
	faults  []string
}

func newConsumer(agents ...*agent) *consumer {
	return &consumer{agents: agents, cursor: "start", seen: map[string]int{}, deltas: map[string]string{}}
}

// poll asks the next agent for one batch. It reports whether that answered
// that there is no more.
func (c *consumer) poll(i, limit int, wait string) (upToDate bool) {
	q := url.Values{"since": {c.cursor}, "limit": {strconv.Itoa(limit)}, "wait": {wait}}
	var page struct {
		Updates  []update
		Cursor   string
		UpToDate bool `json:"up_to_date"`
		Behind   []string
	}
	if !c.agents[i%len(c.agents)].get("/v1/changes?"+q.Encode(), &page) || page.Cursor == "" {
		return false
	}
	for _, u := range page.Updates {
		c.take(&u)
	}
	if page.Cursor != c.cursor {
		c.changed++
	}
	c.cursor = page.Cursor
	return page.UpToDate && len(page.Behind) == 0
}

func (c *consumer) take(u *update) {
	want := max(c.seen[u.origin()]+1, 2) // seq 1 is the genesis, in no feed
	if u.seq() != want {
		c.faults = append(c.faults, fmt.Sprintf("%s came where seq %d was next", u.ID, want))
	}
	for _, d := range u.Deps {
		dep := update{ID: d}
		if c.seen[dep.origin()] < dep.seq() {
			c.faults = append(c.faults, fmt.Sprintf("%s came before %s", u.ID, d))
		}
	}
	c.seen[u.origin()] = u.seq()
	c.deltas[u.ID] = string(u.Delta)
}

// follow polls until ctx ends, going from agent to agent.
func (c *consumer) follow(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		if c.poll(i, 50+i%200, "20ms") {
			continue
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// finish polls on until there is no more, and checks the books: all that was
// acknowledged was seen, with the content that was published.
func (c *consumer) finish(t *testing.T, producers ...*producer) {
	t.Helper()
	until(t, 30*time.Second, "the consumer is up to date", func() bool { return c.poll(0, 1000, "0") })
	require.Empty(t, c.faults)
	for _, p := range producers {
		for id, delta := range p.acked {
			require.Equal(t, delta, c.deltas[id], "update %s was acknowledged", id)
		}
	}
}

// command runs the binary as a user does, and returns its standard output.
func command(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, err := runCommand(args...)
	require.NoError(t, err, "tidings %s: %s", strings.Join(args, " "), errs)
	return out
}

func runCommand(args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := commandContext(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}
