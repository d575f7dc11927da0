package sim

import (
	"fmt"
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// Concerning are the lines of a history that have to do with a violation: its
// draft, its updates and what depends on them, and the lives of the nodes.
func Concerning(h *History, v Violation) []string {
	about := func(id chain.ID) bool { return slices.Contains(v.IDs, id) }
	aboutAny := func(ids []chain.ID) bool { return slices.ContainsFunc(ids, about) }
	covers := func(since, cursor chain.Frontier) bool {
		return slices.ContainsFunc(v.IDs, func(id chain.ID) bool { return since[id.Origin] != cursor[id.Origin] })
	}
	var lines []string
	add := func(m Moment, format string, args ...any) {
		lines = append(lines, fmt.Sprintf("%12s n%d/%d %s", m.At, m.Node, m.Life, fmt.Sprintf(format, args...)))
	}
	for _, e := range h.Events {
		switch e := e.(type) {
		case Opened:
			add(e.Moment, "opens as %s, with %d chains applied", e.Origin, len(e.Applied))
		case Ended:
			add(e.Moment, "ends, disk lost: %v", e.Lost)
		case Reacts:
			add(e.Moment, "hook %s begins, new: %v, lost: %v, with what is beyond %v", e.Hook, e.New, e.Lost, e.Place)
		case Froze:
			add(e.Moment, "freezes %s after %d", e.Origin, e.After)
		case Sent:
			if e.Draft == v.Draft {
				add(e.Moment, "is sent draft %d of %s, key %q, deps %v: %s", e.Draft, e.Subject, e.Key, e.Deps, e.Delta)
			}
		case Answered:
			if e.Draft == v.Draft || about(e.ID) {
				add(e.Moment, "answers draft %d: %s, unchanged %v, repeated %v, acks %d %s", e.Draft, e.ID, e.Unchanged, e.Repeated, e.Acks, e.Err)
			}
		case Took:
			if e.Update.Draft == v.Draft && v.Draft >= 0 || about(e.Update.ID) || aboutAny(e.Update.Deps) {
				add(e.Moment, "applies %s at %s, draft %d, hash %.8s, deps %v, by hook %q", e.Update.ID, e.Update.HLC, e.Update.Draft, e.Update.Hash, e.Update.Deps, e.Update.Hook)
			}
		case Polled:
			if covers(e.Since, e.Cursor) || slices.ContainsFunc(e.Updates, func(u Update) bool { return about(u.ID) }) {
				var ids []chain.ID
				for _, u := range e.Updates {
					ids = append(ids, u.ID)
				}
				add(e.Moment, "gives consumer %d %v, from %v to %v", e.Consumer, ids, e.Since, e.Cursor)
			}
		case Read:
			if aboutAny(e.AtLeast) {
				add(e.Moment, "is read %s with %v: %v %v", e.Subject, e.AtLeast, e.Answered, e.Holds)
			}
		}
	}
	return lines
}
