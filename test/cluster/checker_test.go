package cluster

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// goodBooks are of a mesh of two nodes that did everything right. The chains a
// and b have three updates each; b.3 depends on a.3, c is the filtered consumer
// that sees subjects below s/x only.
func goodBooks() *history {
	mk := func(id, hlc, subject string, deps ...string) update {
		delta := fmt.Sprintf(`{"f-%s":1}`, id)
		return update{
			ID: id, HLC: hlc, Subject: subject, Deps: deps, Delta: []byte(delta),
			raw: fmt.Sprintf("%s %s %s %s", id, hlc, subject, delta),
		}
	}
	a2, a3, a4 := mk("a.2", "01", "s/x/1"), mk("a.3", "03", "s/y/1"), mk("a.4", "06", "s/x/1")
	b2, b3, b4 := mk("b.2", "02", "s/x/2"), mk("b.3", "04", "s/x/2", "a.3"), mk("b.4", "05", "s/y/1", "a.3")
	h := &history{gone: map[string]bool{}}
	for _, u := range []update{a2, a3, a4, b2, b3, b4} {
		h.items = append(h.items, &item{
			node: u.origin(), subject: u.Subject, field: "f-" + u.ID, delta: string(u.Delta), id: u.ID, acks: 1,
		})
	}
	views := func() map[string]string { return map[string]string{"s/x/1": "v1", "/v1/history/s/x/1": "h1"} }
	h.copies = []replica{
		{node: "n1", root: "r", feed: []update{a2, a3, b2, b3, b4, a4}, views: views()},
		{node: "n2", root: "r", feed: []update{b2, a2, a3, a4, b3, b4}, views: views()},
	}
	h.streams = []stream{
		{name: "all", updates: []update{a2, b2, a3, b3, b4, a4}, whole: true},
		{name: "filtered", prefix: "s/x", updates: []update{b2, a2, b3, a4}, whole: true},
	}
	h.reads = []read{{"a read", http.StatusOK, true}, {"not yet", http.StatusServiceUnavailable, false}}
	h.healed = []healing{{"a partition", time.Second, 2 * time.Second}}
	return h
}

// Good books have no fault; each wrong one has the fault that was planted, and
// the check that is meant to finds it.
func TestChecksFindFaults(t *testing.T) {
	require.Empty(t, goodBooks().faults())
	swap := func(u []update, i, j int) { u[i], u[j] = u[j], u[i] }
	for _, c := range []struct {
		name, check, says string
		plant             func(h *history)
	}{
		{"an acknowledged update is not on one node", "C1", "a.4 of f-a.4, acknowledged by 1, is not on n1", func(h *history) {
			h.copies[0].feed = h.copies[0].feed[:5]
		}},
		{"a second node acknowledged what a lost disk had", "C1", "acknowledged by 2, is not on n2", func(h *history) {
			h.gone["a"], h.items[2].acks = true, 2
			h.copies[1].feed = slices.Delete(h.copies[1].feed, 3, 4)
		}},
		{"another content than was acknowledged", "C1", `a.2 of f-a.2 is on n1 as s/x/1 {"f-b.2":1}`, func(h *history) {
			h.copies[0].feed[0].Delta = []byte(`{"f-b.2":1}`)
		}},
		{"twice on one node", "C2", "b.2 is on n2 twice", func(h *history) {
			h.copies[1].feed = append(h.copies[1].feed, h.copies[1].feed[0])
		}},
		{"one ID, other bytes on two nodes", "C2", "b.2 is", func(h *history) { h.copies[1].feed[0].raw += " " }},
		{"one ID, other bytes for a consumer", "C2", "a.2 is", func(h *history) { h.streams[0].updates[0].raw += " " }},
		{"before its dependency", "C3", "all: b.3 came before a.3", func(h *history) { swap(h.streams[0].updates, 2, 3) }},
		{"before its dependency on a node", "C3", "the feed of n2: b.3 came before a.3", func(h *history) {
			u := h.copies[1].feed
			swap(u, 2, 4)
		}},
		{"before what its dependency depends on, of what the filter admits", "C3", "filtered: b.3 came before a.2", func(h *history) {
			swap(h.streams[1].updates, 1, 2)
		}},
		{"a dependency that nobody has", "C3", "a.4 depends on b.9, which nobody has", func(h *history) {
			h.copies[0].feed[5].Deps = []string{"b.9"}
		}},
		{"a dependency that sorts after it", "C3", "a.2 depends on b.4", func(h *history) {
			h.copies[0].feed[0].Deps = []string{"b.4"}
		}},
		{"a seq is skipped", "C4", "on n1 a.4 is where seq 3 was next", func(h *history) {
			h.copies[0].feed = slices.Delete(h.copies[0].feed, 1, 2)
		}},
		{"a chain begins in the middle", "C4", "on n2 b.3 is where seq 2 was next", func(h *history) {
			h.copies[1].feed = h.copies[1].feed[1:]
		}},
		{"the genesis in a feed", "C4", "on n1 a.1 is where seq 2 was next", func(h *history) {
			h.copies[0].feed = append([]update{{ID: "a.1"}}, h.copies[0].feed...)
		}},
		{"other roots", "C5", "n1 and n2 have the roots r and q", func(h *history) { h.copies[1].root = "q" }},
		{"one root, other views", "C5", "n1 and n2 have one root, and of s/x/1\nv1\nv2", func(h *history) {
			h.copies[1].views["s/x/1"] = "v2"
		}},
		{"one root, other histories", "C5", "/v1/history/s/x/1", func(h *history) {
			h.copies[0].views["/v1/history/s/x/1"] = "h2"
		}},
		{"one root, a view more", "C5", "2 and 3 views", func(h *history) { h.copies[1].views["s/z"] = "v" }},
		{"one root, an update less", "C5", "6 and 5 updates", func(h *history) {
			h.copies[1].feed = h.copies[1].feed[:5]
		}},
		{"a cursor skips", "C6", "all: a.3 came where seq 2 was next", func(h *history) {
			h.streams[0].updates = h.streams[0].updates[1:]
		}},
		{"a cursor skips of what its filter admits", "C6", "filtered: a.4 came where seq 2 was next", func(h *history) {
			h.streams[1].updates = slices.Delete(h.streams[1].updates, 1, 2)
		}},
		{"a cursor repeats", "C6", "all: a.2 came where seq 3 was next", func(h *history) {
			u := h.streams[0].updates
			h.streams[0].updates = slices.Insert(slices.Clone(u), 1, u[0])
		}},
		{"a cursor goes back", "C6", "all: a.2 came, and nothing more was there", func(h *history) {
			h.streams[0].updates = append(h.streams[0].updates, h.streams[0].updates[0])
		}},
		{"a cursor stops early", "C6", "all: a.4 never came", func(h *history) {
			h.streams[0].updates = h.streams[0].updates[:5]
		}},
		{"what a filter does not admit", "C6", "filtered: a.3 came where seq 4 was next", func(h *history) {
			h.streams[1].updates[3] = h.copies[0].feed[1]
		}},
		{"a read without what it asked for", "C7", "a read answers without it", func(h *history) { h.reads[0].contains = false }},
		{"a read that is refused", "C7", "not yet answers 500", func(h *history) { h.reads[1].status = 500 }},
		{"an update that nobody published", "C8", `the feed of n1: nobody published s/q {"f-a.2":1}`, func(h *history) {
			h.copies[0].feed[0].Subject = "s/q"
		}},
		{"an answer that was lost, published twice", "C8", "f-b.4 was published once and is b.4 and b.5", func(h *history) {
			h.items[5].id = ""
			again := h.copies[0].feed[4]
			again.ID, again.HLC = "b.5", "07"
			h.copies[0].feed = append(h.copies[0].feed, again)
		}},
		{"acknowledged under another ID", "C8", "f-b.4 was acknowledged as b.9 and is b.4", func(h *history) { h.items[5].id = "b.9" }},
		{"late", "C9", "after a partition it took 3s, more than 2s", func(h *history) { h.healed[0].took = 3 * time.Second }},
	} {
		h := goodBooks()
		c.plant(h)
		require.True(t, slices.ContainsFunc(h.faults(), func(f string) bool {
			return strings.HasPrefix(f, c.check) && strings.Contains(f, c.says)
		}), "%s: want %s: …%s…, got\n%s", c.name, c.check, c.says, strings.Join(h.faults(), "\n"))
	}
	// What only a disk had that is lost is not promised, though one consumer may
	// have got it from there.
	h := goodBooks()
	for i := range h.copies {
		h.copies[i].feed = slices.DeleteFunc(h.copies[i].feed, func(u update) bool { return u.ID == "a.4" })
	}
	h.streams[1].updates = h.streams[1].updates[:3]
	require.NotEmpty(t, h.faults())
	h.gone["a"] = true
	require.Empty(t, h.faults())
}
