package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidings-mesh/tidings/chain"
)

// checkSame is C5: equal frontiers and freezes make equal nodes, and what a node
// shows is what follows from its updates.
type checkSame struct{}

func (*checkSame) see(*judge, Event) {}

func (c *checkSame) end(j *judge) {
	first := map[string]*judgedFinal{}
	for _, f := range j.finals {
		c.stitched(j, f)
		standing := standingOf(f)
		like := first[standing]
		if like == nil {
			first[standing] = f
			c.folded(j, f, nil)
			continue
		}
		c.equal(j, like, f)
		c.folded(j, f, like)
	}
}

// standingOf is a text that is the same for nodes that ought to be the same.
func standingOf(f *judgedFinal) string {
	var b strings.Builder
	for _, o := range f.Frontier.Origins() {
		fmt.Fprintf(&b, "%s.%d ", o, f.Frontier[o])
	}
	for _, o := range chain.Frontier(f.Frozen).Origins() {
		fmt.Fprintf(&b, "!%s.%d ", o, f.Frozen[o])
	}
	return b.String()
}

func (c *checkSame) equal(j *judge, a, b *judgedFinal) {
	differ := func(what string, ids []chain.ID) {
		j.report("C5", ids, "nodes %d and %d have the same frontier, and differ in %s", a.Node, b.Node, what)
	}
	if a.Root != b.Root {
		differ("their roots", nil)
	}
	for _, subject := range subjectsOf(a.Views, b.Views) {
		if a.Views[subject] != b.Views[subject] {
			differ("the view of "+subject, nil)
		}
	}
	for _, subject := range subjectsOf(a.histories, b.histories) {
		// Equal contents are one: see sightUpdate.
		if !slices.Equal(a.histories[subject], b.histories[subject]) {
			differ("the history of "+subject, nil)
		}
	}
	for _, o := range a.Frontier.Origins() {
		if !slices.Equal(a.logs[o], b.logs[o]) {
			differ("the chain "+o.String(), nil)
		}
	}
}

func subjectsOf[V any](maps ...map[string]V) []string {
	all := map[string]bool{}
	for _, m := range maps {
		for subject := range m {
			all[subject] = true
		}
	}
	return sortedKeys(all)
}

// stitched: the history of a subject is exactly what is applied of it, by HLC,
// origin and seq.
func (c *checkSame) stitched(j *judge, f *judgedFinal) {
	want := map[string][]*sighted{}
	for _, o := range slices.SortedFunc(maps.Keys(f.logs), chain.Origin.Compare) {
		for _, s := range f.logs[o] {
			if s.Subject != "" {
				want[s.Subject] = append(want[s.Subject], s)
			}
		}
	}
	for _, subject := range sortedKeys(f.Views) {
		if want[subject] == nil {
			j.report("C5", nil, "node %d has a view of %s, and no update", f.Node, subject)
		}
	}
	for _, subject := range subjectsOf(want, f.histories) {
		slices.SortFunc(want[subject], compareStitched)
		if !slices.Equal(want[subject], f.histories[subject]) {
			j.report("C5", differing(want[subject], f.histories[subject]),
				"the history of %s on node %d is not what it applied of it, in stitched order", subject, f.Node)
		}
		if _, ok := f.Views[subject]; !ok {
			j.report("C5", nil, "node %d has no view of %s", f.Node, subject)
		}
	}
}

func compareStitched(a, b *sighted) int {
	return chain.Stamp{HLC: a.HLC, ID: a.ID}.Compare(chain.Stamp{HLC: b.HLC, ID: b.ID})
}

// differing are the first two updates in which two histories part.
func differing(a, b []*sighted) (ids []chain.ID) {
	for i := range max(len(a), len(b)) {
		if i < len(a) && i < len(b) && a[i] == b[i] {
			continue
		}
		if i < len(a) {
			ids = append(ids, a[i].ID)
		}
		if i < len(b) {
			ids = append(ids, b[i].ID)
		}
		break
	}
	return ids
}

// folded holds each view to a fold of the history that is shown beside it. What
// is the same as on a node that was looked at is not folded again.
func (c *checkSame) folded(j *judge, f, like *judgedFinal) {
	for _, subject := range sortedKeys(f.Views) {
		if like != nil && like.Views[subject] == f.Views[subject] && slices.Equal(like.histories[subject], f.histories[subject]) {
			continue
		}
		if wrong := j.viewFault(subject, f.Views[subject], f.histories[subject]); wrong != "" {
			j.report("C5", nil, "the view of %s on node %d: %s", subject, f.Node, wrong)
		}
	}
}
