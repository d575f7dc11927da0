package sim

import (
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// Publishing again what a freeze took back: each once (C8), and all of it (C1).

// again counts how often a draft was published again: under an origin under which
// it was not sent. That is once for each time that it was on a chain that was
// frozen below it, however often its node starts and under however many origins
// it goes on. What says that it was done is lost with the disk.
func (c *checkAcked) again(j *judge, number int) {
	d := c.drafts[number]
	takenBack := map[chain.ID]bool{}
	var last *sighted
	var ids []chain.ID
	for _, s := range d.updates { // in the order in which they were first seen
		sent := slices.ContainsFunc(d.sends, func(send judgedSend) bool { return send.origin == s.ID.Origin })
		switch {
		case sent && above(j.frozen, s.ID):
			takenBack[s.ID] = true
		case sent || above(j.frozen, s.ID) || slices.Contains(ids, s.ID) || !s.witnessed:
		case last != nil && j.lostBetween(s.writer.node, last.pos, s.pos):
			last, ids = s, []chain.ID{s.ID}
		default:
			last, ids = s, append(ids, s.ID)
		}
		if len(ids) > len(takenBack) {
			j.reportDraft("C8", number, slices.Clone(ids), "published again %d times, and was taken back %d times", len(ids), len(takenBack))
			return
		}
	}
}

// republished: what a node acknowledged, and a freeze took back, it has published
// again by the end, if it began a life under a new origin that knew of the freeze
// What went with its disk it cannot.
func (c *checkAcked) republished(j *judge) {
	reported := map[int]bool{}
	for i := range c.acks {
		a := &c.acks[i]
		if !a.durable || a.Unchanged || reported[a.Draft] || !above(j.frozen, a.ID) || !c.owes(j, a) {
			continue
		}
		done := slices.ContainsFunc(c.drafts[a.Draft].updates, func(s *sighted) bool {
			return s.ID.Origin != a.ID.Origin && j.sameWriter(s.ID.Origin, a.ID.Origin)
		})
		if !done {
			reported[a.Draft] = true
			j.reportDraft("C1", a.Draft, one(a.ID), "acknowledged, taken back by a freeze, and not published again")
		}
	}
}

// owes reports whether the node that acknowledged an update has to publish it
// again by the end: it still has the disk, and runs under another origin, in a
// life that knew from its start of a freeze below the update.
func (c *checkAcked) owes(j *judge, a *judgedAck) bool {
	n := j.node(a.Node)
	opens := j.opens[a.Node]
	if !n.up || len(opens) == 0 || j.lostBetween(a.Node, a.pos, len(j.h.Events)) {
		return false
	}
	last := j.h.Events[opens[len(opens)-1]].(Opened)
	after, knew := last.Frozen[a.ID.Origin]
	return j.h.ConvergedAt != 0 && knew && a.ID.Seq > after && last.Origin != a.ID.Origin
}
