package cluster

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// checks are what must never happen, each found exactly from the books.
var checks = []struct {
	name string
	find func(h *history, found func(format string, args ...any))
}{
	{"C1 acknowledged updates are everywhere", checkAcknowledged},
	{"C2 an update is applied once, and is the same everywhere", checkOnce},
	{"C3 a dependency comes before what depends on it", checkCausal},
	{"C4 chains are contiguous", checkContiguous},
	{"C5 once converged all have one root, and what that stands for", checkSame},
	{"C6 a cursor never skips, repeats or goes back", checkCursors},
	{"C7 a read contains what it asks for", checkReads},
	{"C8 nothing is made up", checkInvented},
	{"C9 convergence comes in bounded time", checkBounds},
}

// faults are all that the checks find, and at most ten of each.
func (h *history) faults() (faults []string) {
	for _, check := range checks {
		n := 0
		check.find(h, func(format string, args ...any) {
			if n++; n <= 10 {
				faults = append(faults, check.name+": "+fmt.Sprintf(format, args...))
			}
		})
	}
	return faults
}

func checkAcknowledged(h *history, found func(string, ...any)) {
	for _, r := range h.copies {
		held := map[string]*update{}
		for i := range r.feed {
			held[r.feed[i].ID] = &r.feed[i]
		}
		for _, it := range h.items {
			if it.id == "" || (h.gone[originOf(it.id)] && it.acks < 2) {
				continue
			}
			switch u := held[it.id]; {
			case u == nil:
				found("%s of %s, acknowledged by %d, is not on %s", it.id, it.field, it.acks, r.node)
			case u.Subject != it.subject || string(u.Delta) != it.delta:
				found("%s of %s is on %s as %s %s", it.id, it.field, r.node, u.Subject, u.Delta)
			}
		}
	}
}

func checkOnce(h *history, found func(string, ...any)) {
	first := map[string]string{}
	same := func(where string, updates []update) {
		for _, u := range updates {
			if was, ok := first[u.ID]; ok && was != u.raw {
				found("%s is %s, and for %s %s", u.ID, was, where, u.raw)
			}
			first[u.ID] = u.raw
		}
	}
	for _, r := range h.copies {
		times := map[string]int{}
		for _, u := range r.feed {
			if times[u.ID]++; times[u.ID] == 2 {
				found("%s is on %s twice", u.ID, r.node)
			}
		}
		same(r.node, r.feed)
	}
	for _, s := range h.streams {
		same(s.name, s.updates)
	}
}

// graph is every update that anybody saw, and its causal past.
type graph struct {
	chains map[string][]*update // by origin, ascending
	past   map[string]map[string]int
}

func (h *history) graph(found func(string, ...any)) *graph {
	g := &graph{chains: map[string][]*update{}, past: map[string]map[string]int{}}
	var all []*update
	known := map[string]bool{}
	add := func(updates []update) {
		for i := range updates {
			if u := &updates[i]; !known[u.ID] {
				known[u.ID] = true
				all = append(all, u)
			}
		}
	}
	for _, r := range h.copies {
		add(r.feed)
	}
	for _, s := range h.streams {
		add(s.updates)
	}
	slices.SortFunc(all, func(a, b *update) int {
		return cmp.Or(cmp.Compare(a.HLC, b.HLC), cmp.Compare(a.origin(), b.origin()), cmp.Compare(a.seq(), b.seq()))
	})
	for _, u := range all {
		past := map[string]int{}
		merge := func(id string) {
			for o, seq := range g.past[id] {
				past[o] = max(past[o], seq)
			}
			past[originOf(id)] = max(past[originOf(id)], seqOf(id))
		}
		if chain := g.chains[u.origin()]; len(chain) > 0 {
			merge(chain[len(chain)-1].ID)
		}
		for _, d := range u.Deps {
			if _, ok := g.past[d]; !ok {
				found("%s depends on %s, which nobody has or which does not sort before it", u.ID, d)
			}
			merge(d)
		}
		g.past[u.ID] = past
		g.chains[u.origin()] = append(g.chains[u.origin()], u)
	}
	return g
}

// admitted returns by origin the seqs that a filter admits, ascending.
func (g *graph) admitted(prefix string) map[string][]int {
	seqs := map[string][]int{}
	for o, chain := range g.chains {
		for _, u := range chain {
			if prefix == "" || u.Subject == prefix || strings.HasPrefix(u.Subject, prefix+"/") {
				seqs[o] = append(seqs[o], u.seq())
			}
		}
		slices.Sort(seqs[o])
	}
	return seqs
}

// ordered returns every sequence of updates that somebody was given.
func (h *history) ordered() []stream {
	all := slices.Clone(h.streams)
	for _, r := range h.copies {
		all = append(all, stream{name: "the feed of " + r.node, updates: r.feed, whole: true})
	}
	return all
}

func checkCausal(h *history, found func(string, ...any)) {
	g := h.graph(found)
	for _, s := range h.ordered() {
		admitted := g.admitted(s.prefix)
		upTo := map[string]int{} // highest seq that came
		for _, u := range s.updates {
			for o, seq := range g.past[u.ID] {
				// The newest that the filter admits of what u depends on.
				i, ok := slices.BinarySearch(admitted[o], seq)
				if !ok {
					i--
				}
				if i >= 0 && upTo[o] < admitted[o][i] && !(o == u.origin()) {
					found("%s: %s came before %s.%d", s.name, u.ID, o, admitted[o][i])
				}
			}
			upTo[u.origin()] = max(upTo[u.origin()], u.seq())
		}
	}
}

func checkContiguous(h *history, found func(string, ...any)) {
	for _, r := range h.copies {
		next := map[string]int{}
		for _, u := range r.feed {
			want := max(next[u.origin()], 2) // seq 1 is the genesis, in no feed
			if u.seq() != want {
				found("on %s %s is where seq %d was next", r.node, u.ID, want)
			}
			next[u.origin()] = u.seq() + 1
		}
	}
}

func checkSame(h *history, found func(string, ...any)) {
	for i, a := range h.copies {
		for _, b := range h.copies[i+1:] {
			// What they have is copied once all are converged.
			if a.root != b.root {
				found("%s and %s have the roots %s and %s", a.node, b.node, a.root, b.root)
				continue
			}
			if len(a.feed) != len(b.feed) {
				found("%s and %s have one root, and %d and %d updates", a.node, b.node, len(a.feed), len(b.feed))
			}
			if len(a.views) != len(b.views) {
				found("%s and %s have one root, and %d and %d views and histories", a.node, b.node, len(a.views), len(b.views))
			}
			for path, body := range a.views {
				if b.views[path] != body {
					found("%s and %s have one root, and of %s\n%s\n%s", a.node, b.node, path, body, b.views[path])
				}
			}
		}
	}
}

func checkCursors(h *history, found func(string, ...any)) {
	g := h.graph(func(string, ...any) {})
	held := map[string]bool{}
	for _, r := range h.copies {
		for _, u := range r.feed {
			held[u.ID] = true
		}
	}
	for _, s := range h.ordered() {
		admitted := g.admitted(s.prefix)
		came := map[string]int{} // how many
		for _, u := range s.updates {
			switch n, seqs := came[u.origin()], admitted[u.origin()]; {
			case n >= len(seqs):
				found("%s: %s came, and nothing more was there", s.name, u.ID)
			case u.seq() != seqs[n]:
				found("%s: %s came where seq %d was next", s.name, u.ID, seqs[n])
			}
			came[u.origin()]++
		}
		for o, seqs := range admitted {
			if !s.whole || came[o] >= len(seqs) {
				continue
			}
			// What a consumer got of a disk before that was destroyed may be
			// nobody's any more.
			if id := fmt.Sprintf("%s.%d", o, seqs[came[o]]); held[id] || !h.gone[o] {
				found("%s: %s never came", s.name, id)
			}
		}
	}
}

func checkReads(h *history, found func(string, ...any)) {
	for _, r := range h.reads {
		switch {
		case r.status == http.StatusOK && !r.contains:
			found("%s answers without it", r.what)
		case r.status != http.StatusOK && r.status != http.StatusServiceUnavailable:
			found("%s answers %d", r.what, r.status)
		}
	}
}

func checkInvented(h *history, found func(string, ...any)) {
	sent := map[string]*item{}
	for _, it := range h.items {
		sent[it.delta] = it
	}
	became := map[string]string{} // field to ID
	for _, s := range h.ordered() {
		for _, u := range s.updates {
			it := sent[string(u.Delta)]
			if it == nil || it.subject != u.Subject {
				found("%s: nobody published %s %s", s.name, u.Subject, u.Delta)
				continue
			}
			if was, ok := became[it.field]; ok && was != u.ID {
				found("%s was published once and is %s and %s", it.field, was, u.ID)
			}
			became[it.field] = u.ID
			if it.id != "" && it.id != u.ID {
				found("%s was acknowledged as %s and is %s", it.field, it.id, u.ID)
			}
		}
	}
}

func checkBounds(h *history, found func(string, ...any)) {
	for _, x := range h.healed {
		if x.took > x.bound {
			found("after %s it took %s, more than %s", x.fault, x.took, x.bound)
		}
	}
}
