package cluster

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// history is what the books of one mesh say: all that was published, read and
// polled, and what each live node holds in the end. The checks read nothing
// else.
type history struct {
	items   []*item
	streams []stream
	reads   []read
	copies  []replica
	healed  []healing

	// gone are the origins whose disk was destroyed: of their updates only
	// those are promised that were acknowledged by a second node.
	gone map[string]bool
}

// stream is what one consumer got, in order.
type stream struct {
	name, prefix string
	updates      []update
	whole        bool // it was followed to the end
}

// read is an answer to a read under at_least.
type read struct {
	what     string
	status   int
	contains bool // the update that it asked for
}

// replica is all that one node holds.
type replica struct {
	node, root string
	feed       []update          // by a poll from the start
	views      map[string]string // and histories: path to the answer's bytes
}

// healing is how long a mesh took to converge after a fault was over.
type healing struct {
	fault       string
	took, bound time.Duration
}

// take adds the books of producers.
func (h *history) take(producers ...*producer) {
	for _, p := range producers {
		p.mu.Lock()
		h.items = append(h.items, p.items...)
		p.mu.Unlock()
	}
}

// copyOf reads everything that a node holds.
func copyOf(t *testing.T, a *agent) replica {
	t.Helper()
	c := newConsumer(a)
	until(t, time.Minute, a.name+" gives its whole feed", func() bool { return c.poll(0, 10_000, "0") })
	m, ok := a.mesh()
	require.True(t, ok)
	r := replica{node: a.name, root: m.Root, feed: c.got, views: map[string]string{}}
	for page := ""; ; {
		var got struct {
			Subjects []json.RawMessage
			NextPage *string `json:"next_page"`
		}
		q := url.Values{"limit": {"1000"}}
		if page != "" {
			q.Set("page", page)
		}
		require.True(t, a.get("/v1/subjects?"+q.Encode(), &got))
		for _, view := range got.Subjects {
			var name struct{ Subject string }
			require.NoError(t, json.Unmarshal(view, &name))
			r.views[name.Subject] = string(view)
			_, r.views["/v1/history/"+name.Subject] = a.raw(t, "/v1/history/"+name.Subject)
		}
		if got.NextPage == nil {
			return r
		}
		page = *got.NextPage
	}
}
