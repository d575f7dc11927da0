package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// Violation is a breach of one of the invariants of docs/reliability.md.
type Violation struct {
	Invariant string // "C1" to "C10"
	// At is when it was seen: the end of the history for what only shows there.
	At    time.Duration
	Text  string
	IDs   []chain.ID // the updates in question
	Draft int        // the draft in question, -1 for none
}

func (v Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %s: %s", v.Invariant, v.At, v.Text)
	for i, id := range v.IDs {
		if i == violationIDs {
			fmt.Fprintf(&b, " and %d more", len(v.IDs)-i)
			break
		}
		fmt.Fprintf(&b, " %s", id)
	}
	if v.Draft >= 0 {
		fmt.Fprintf(&b, " (draft %d)", v.Draft)
	}
	return b.String()
}

// violationIDs bounds what the text of a violation lists.
const violationIDs = 8

// Check holds a history to C1 to C10 and returns every breach, in an order that
// depends on the history alone. It goes through the events once, in time linear
// in the events, in what was polled and in what the nodes hold at the end. Events
// are values of the types in this package, not pointers.
//
// What the history excuses is narrow, and told at the check that it is for:
// acknowledged updates of which every counted copy was lost (C1), the updates
// of a frozen chain above its freeze (C1, C2, C6, C8), own updates that a crash
// took before anyone else saw them (C2), keys that were lost with a disk (C8).
func Check(h *History) []Violation {
	j := newJudge(h)
	checks := []check{
		&checkAcked{drafts: map[int]*judgedDraft{}},
		&checkChains{},
		&checkCausal{},
		&checkSame{},
		&checkCursor{},
		&checkReads{},
		&checkConverged{},
		&checkReact{answers: map[judgedTrigger][]*sighted{}, begins: map[judgedHook]judgedBegin{}, news: map[judgedName]chain.Frontier{}},
	}
	for pos, e := range h.Events {
		j.pos, j.now = pos, e.when()
		j.sight(e)
		for _, c := range checks {
			c.see(j, e)
		}
		j.follow(e)
	}
	j.close()
	for _, c := range checks {
		c.end(j)
	}
	slices.SortStableFunc(j.found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Invariant, b.Invariant),
			cmp.Compare(a.Text, b.Text), slices.CompareFunc(a.IDs, b.IDs, chain.ID.Compare),
			cmp.Compare(a.Draft, b.Draft))
	})
	return j.found
}

// check looks for breaches of one or two invariants. It sees an event before
// the judge follows it, so that the nodes and consumers are as they were.
type check interface {
	see(j *judge, e Event)
	end(j *judge)
}

// report notes a breach that is about updates.
func (j *judge) report(invariant string, ids []chain.ID, format string, args ...any) {
	j.found = append(j.found, Violation{
		Invariant: invariant, At: j.now, Text: fmt.Sprintf(format, args...), IDs: ids, Draft: -1,
	})
}

// reportDraft notes a breach that is about a draft.
func (j *judge) reportDraft(invariant string, draft int, ids []chain.ID, format string, args ...any) {
	j.report(invariant, ids, format, args...)
	j.found[len(j.found)-1].Draft = draft
}

func one(id chain.ID) []chain.ID { return []chain.ID{id} }

// reportAt notes a breach that began with an update that was seen earlier.
func (j *judge) reportAt(s *sighted, invariant string, ids []chain.ID, format string, args ...any) {
	j.report(invariant, ids, format, args...)
	j.found[len(j.found)-1].At = s.at
}
