package sim

import (
	"maps"
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// checkAcked is C8, that nothing is made up and a publish appears at most once,
// and hands what was acknowledged to C1 (check_lost.go).
type checkAcked struct {
	drafts map[int]*judgedDraft
	acks   []judgedAck
}

type judgedDraft struct {
	sends   []judgedSend
	updates []*sighted // that carry it
	answers []judgedAck
}

type judgedSend struct {
	Sent
	pos              int
	origin           chain.Origin // of the node then
	era              int
	answered, failed bool
}

// judgedAck is an answer that gave an update's ID.
type judgedAck struct {
	Answered
	pos     int
	durable bool // the node that gave it is
}

func (c *checkAcked) see(j *judge, e Event) {
	m := e.(interface{ moment() Moment }).moment()
	n := j.node(m.Node)
	if _, opens := e.(Opened); opens == n.up || (!opens && n.life != m.lifeOf()) {
		j.report("C8", nil, "node %d, life %d: %T, when it did not run, or ran already", m.Node, m.Life, e)
	}
	switch e := e.(type) {
	case Opened, Ended, Froze, Read, Reacts, SaidConverged:
	case Sent:
		d := c.draft(e.Draft)
		d.sends = append(d.sends, judgedSend{Sent: e, pos: j.pos, origin: n.origin, era: j.eraOf(e.Node, j.pos)})
	case Answered:
		c.answered(j, n, &e)
	case Took:
		c.carry(j, j.took)
		c.refused(j, &e)
	case Polled:
		for _, s := range j.polled {
			c.carry(j, s)
		}
	default:
		panic("history: event of an unknown type")
	}
}

func (c *checkAcked) draft(number int) *judgedDraft {
	d := c.drafts[number]
	if d == nil {
		d = &judgedDraft{}
		c.drafts[number] = d
	}
	return d
}

func (c *checkAcked) answered(j *judge, n *judgedNode, a *Answered) {
	d := c.draft(a.Draft)
	i := slices.IndexFunc(d.sends, func(s judgedSend) bool { return !s.answered && s.lifeOf() == a.lifeOf() })
	if i < 0 {
		j.reportDraft("C8", a.Draft, nil, "an answer to what was not asked")
		return
	}
	d.sends[i].answered, d.sends[i].failed = true, a.Err != ""
	switch {
	case a.Err != "":
		if !a.ID.IsZero() {
			j.reportDraft("C8", a.Draft, one(a.ID), "a refusal that names an update")
		}
	case a.Unchanged:
		// Its delta carries its number, so it can only alter nothing where it was
		// published before.
		if len(d.updates) == 0 {
			j.reportDraft("C1", a.Draft, nil, "called unchanged, but was never published")
		}
	default:
		ack := judgedAck{*a, j.pos, n.durable}
		c.acks = append(c.acks, ack)
		d.answers = append(d.answers, ack)
	}
}

// refused looks for a refused draft that was applied all the same. Only in the
// same life: what a failed sync left on the disk may be found at the next start.
func (c *checkAcked) refused(j *judge, t *Took) {
	if t.Update.Draft < 0 || t.Update.ID.Origin != j.node(t.Node).origin {
		return
	}
	d := c.draft(t.Update.Draft)
	open := slices.ContainsFunc(d.sends, func(s judgedSend) bool { return s.lifeOf() != t.lifeOf() || !s.failed })
	if len(d.sends) > 0 && !open {
		j.reportDraft("C8", t.Update.Draft, one(t.Update.ID), "was refused and is applied")
	}
}

// carry holds a new update to the draft that it says it came of.
func (c *checkAcked) carry(j *judge, s *sighted) {
	if s.pos != j.pos || s.Draft < 0 {
		return
	}
	d := c.draft(s.Draft)
	if slices.Contains(d.updates, s) {
		return
	}
	if !c.given(j, d, s) {
		j.reportDraft("C8", s.Draft, one(s.ID), "an update of a draft that its node was not given before")
	} else if want := &d.sends[0]; s.Subject != want.Subject || !sameJSON(s.Delta, want.Delta) || !carriesDeps(j, s, want.Deps) {
		j.reportDraft("C8", s.Draft, one(s.ID), "an update that does not say what its draft says")
	}
	d.updates = append(d.updates, s)
}

// given reports whether the draft was given to the writer of the update under
// that origin, or under an earlier one whose chain was frozen below where it
// was published first: such a node publishes it again under a new origin.
func (c *checkAcked) given(j *judge, d *judgedDraft, s *sighted) bool {
	w := j.writers[s.ID.Origin]
	for i := range d.sends {
		send := &d.sends[i]
		if send.origin == s.ID.Origin {
			return true
		}
		takenBack := func(id chain.ID) bool { return id.Origin == send.origin && above(j.frozen, id) }
		if w != nil && slices.Contains(w.nodes, send.Node) &&
			(slices.ContainsFunc(d.updates, func(u *sighted) bool { return takenBack(u.ID) }) ||
				slices.ContainsFunc(d.answers, func(a judgedAck) bool { return takenBack(a.ID) })) {
			return true
		}
	}
	return false
}

// carriesDeps reports whether the update has the deps that the caller named on
// other chains, but for those that a freeze took back. It has those that the node
// found, too. One that was published again has, for all that was before it on the
// chain that it was on, the last that still counts there.
func carriesDeps(j *judge, s *sighted, deps []chain.ID) bool {
	for _, id := range deps {
		before := func(dep chain.ID) bool {
			return dep == id || j.sameWriter(dep.Origin, s.ID.Origin) && dep.Origin == id.Origin && dep.Seq > id.Seq
		}
		if id.Origin != s.ID.Origin && !above(j.frozen, id) && !slices.ContainsFunc(s.Deps, before) {
			return false
		}
	}
	return true
}

// sameWriter reports whether one node wrote both chains.
func (j *judge) sameWriter(a, b chain.Origin) bool {
	wa, wb := j.writers[a], j.writers[b]
	return wa != nil && wb != nil && slices.ContainsFunc(wa.nodes, func(n int) bool { return slices.Contains(wb.nodes, n) })
}

func (c *checkAcked) end(j *judge) {
	for _, s := range j.order {
		c.carry(j, s)
	}
	for _, number := range slices.Sorted(maps.Keys(c.drafts)) {
		c.repeated(j, number)
		c.again(j, number)
		c.answers(j, number)
	}
	c.lost(j)
	c.republished(j)
}

// repeated counts the updates of a draft, on each chain that it was sent to: one for its key, or
// one each time that it was sent without. A disk that was lost or set back took
// the keys with it. An update that only its writer ever saw, and that is not
// there at the end, is none.
func (c *checkAcked) repeated(j *judge, number int) {
	d := c.drafts[number]
	byOrigin := map[chain.Origin][]chain.ID{}
	for _, s := range d.updates {
		if ids := byOrigin[s.ID.Origin]; s.witnessed && !above(j.frozen, s.ID) && !slices.Contains(ids, s.ID) {
			byOrigin[s.ID.Origin] = append(ids, s.ID)
		}
	}
	for o, ids := range byOrigin {
		if len(ids) == 1 || !slices.ContainsFunc(d.sends, func(s judgedSend) bool { return s.origin == o }) {
			continue // what it was not sent under is looked at by again
		}
		keyed, sent, eras := false, 0, map[int]bool{}
		for _, s := range d.sends {
			keyed = keyed || s.Key != ""
			if s.origin == o {
				eras[s.era] = true
				if !s.failed {
					sent++
				}
			}
		}
		most := sent
		if keyed {
			most = len(eras)
		}
		together := keyed && slices.ContainsFunc(j.finals, func(f *judgedFinal) bool {
			n := 0
			for _, id := range ids {
				if s := logged(f.logs[o], id.Seq); s != nil && s.Draft == number {
					n++
				}
			}
			return n > 1
		})
		if together || len(ids) > max(most, 1) {
			slices.SortFunc(ids, chain.ID.Compare)
			j.reportDraft("C8", number, ids, "appears %d times", len(ids))
		}
	}
}

// answers holds what callers were told to what there is: an ID names an update
// of the draft, and a key's retry gives the same one, unless the key was lost
// with the disk in between, or with the chain.
func (c *checkAcked) answers(j *judge, number int) {
	d := c.drafts[number]
	for i := range d.answers {
		a := &d.answers[i]
		if !slices.ContainsFunc(d.updates, func(s *sighted) bool { return s.ID == a.ID }) {
			j.reportDraft("C8", number, one(a.ID), "the answer names an update that is not the draft's")
		}
		if i == 0 || !slices.ContainsFunc(d.sends, func(s judgedSend) bool { return s.Key != "" }) {
			continue
		}
		was := &d.answers[i-1]
		if was.ID.Origin == a.ID.Origin && was.ID != a.ID && !j.lostBetween(a.Node, was.pos, a.pos) {
			j.reportDraft("C8", number, []chain.ID{was.ID, a.ID}, "two answers under one key name two updates")
		}
	}
}
