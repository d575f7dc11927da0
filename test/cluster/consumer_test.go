package cluster

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
	"testing"
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

	raw string // as it came
}

func (u *update) UnmarshalJSON(b []byte) error {
	type plain update
	u.raw = string(b)
	return json.Unmarshal(b, (*plain)(u))
}

func (u *update) origin() string { o, _, _ := strings.Cut(u.ID, "."); return o }
func (u *update) seq() int       { return seqOf(u.ID) }

func originOf(id string) string { o, _, _ := strings.Cut(id, "."); return o }
func seqOf(id string) int {
	_, s, _ := strings.Cut(id, ".")
	n, _ := strconv.Atoi(s)
	return n
}

// consumer polls agents in turn with one cursor and writes down what it gets.
type consumer struct {
	agents []*agent
	prefix string
	cursor string
	got    []update
	// gone are origins whose disk was destroyed: what it got of them from that
	// node alone no other one has, or ever will.
	gone map[string]bool
}

func newConsumer(agents ...*agent) *consumer { return &consumer{agents: agents, cursor: "start"} }

// stream is what the consumer got so far.
func (c *consumer) stream(whole bool) stream {
	name := "the consumer of " + c.agents[0].name
	if len(c.agents) > 1 {
		name = fmt.Sprintf("the consumer of %d nodes", len(c.agents))
	}
	return stream{name: name, prefix: c.prefix, updates: c.got, whole: whole}
}

// poll asks the next agent for one batch. It reports whether that answered
// that there is no more.
func (c *consumer) poll(i, limit int, wait string) (upToDate bool) {
	q := url.Values{"since": {c.cursor}, "limit": {strconv.Itoa(limit)}, "wait": {wait}}
	if c.prefix != "" {
		q.Set("prefix", c.prefix)
	}
	var page struct {
		Updates   []update
		Cursor    string
		UpToDate  bool `json:"up_to_date"`
		Behind    []string
		Retracted []json.RawMessage
	}
	if !c.agents[i%len(c.agents)].get("/v1/changes?"+q.Encode(), &page) || page.Cursor == "" {
		return false
	}
	c.got = append(c.got, page.Updates...)
	c.cursor = page.Cursor
	return page.UpToDate && !slices.ContainsFunc(page.Behind, func(origin string) bool { return !c.gone[origin] })
}

// follow polls until ctx ends, going from agent to agent.
func (c *consumer) follow(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		if !c.poll(i, 50+i%200, "20ms") {
			sleep(ctx, 2*time.Millisecond)
		}
	}
}

// finish polls on until there is no more, and checks the books: all that was
// acknowledged came, once, in order, and nothing else.
func (c *consumer) finish(t *testing.T, producers ...*producer) {
	t.Helper()
	c.drain(t)
	h := &history{copies: []replica{{node: "all", feed: c.got}}, streams: []stream{c.stream(true)}}
	h.take(producers...)
	require.Empty(t, h.faults())
}

// drain polls on until there is no more.
func (c *consumer) drain(t *testing.T) {
	t.Helper()
	until(t, 30*time.Second, "the consumer is up to date", func() bool { return c.poll(0, 1000, "0") })
}

// reader asks any agent for what was just acknowledged by any, under at_least.
type reader struct {
	agents    []*agent
	producers []*producer
	reads     []read
}

func (r *reader) follow(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		it, ok := r.producers[rand.IntN(len(r.producers))].newest()
		if ok {
			r.read(r.agents[i%len(r.agents)], &it, i%2 == 0)
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

// read reads a view or a history. Only an answer 200 promises anything.
func (r *reader) read(a *agent, it *item, history bool) {
	path := "/v1/subjects/" + it.subject
	if history {
		path = "/v1/history/" + it.subject
	}
	resp, err := a.client.Get(a.url(path + "?wait=100ms&at_least=" + it.id))
	if err != nil {
		return
	}
	defer resp.Body.Close()
	var got struct {
		Status  map[string]any
		Updates json.RawMessage // of a view a number, of a history a list
	}
	if resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(&got) != nil {
		return // cut off by a crash
	}
	_, contains := got.Status[it.field]
	if history {
		var updates []update
		_ = json.Unmarshal(got.Updates, &updates)
		for _, u := range updates {
			contains = contains || u.ID == it.id
		}
	}
	r.reads = append(r.reads, read{
		what: fmt.Sprintf("%s of %s on %s", path, it.id, a.name), status: resp.StatusCode, contains: contains,
	})
}
