package sim

import (
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// checkReact is C10: a hook of a node answers each of its triggers once, neither
// twice nor never, and what answers depends on what it answers.
//
// It excuses what a node cannot know, or cannot have any more: an answer that went
// with its disk, what came before the place of a hook that is new, of what was there
// when a disk was lost that which comes before all that was answered, or before the
// hook was new to a node of the authority, and an answer of another node of its
// authority that a freeze took back once it was seen.
type checkReact struct {
	answers map[judgedTrigger][]*sighted // in the order in which they were first seen
	begins  map[judgedHook]judgedBegin
	news    map[judgedName]chain.Frontier // where hooks began that were new
}

// judgedName is a hook of all nodes of an authority.
type judgedName struct{ authority, hook string }

type judgedTrigger struct {
	authority, hook string
	cause           chain.ID
}

type judgedHook struct {
	node int
	hook string
}

// judgedBegin is where a hook began on a node.
type judgedBegin struct {
	pos  int // of the last Reacts
	base chain.Frontier
}

func (c *checkReact) see(j *judge, e Event) {
	switch e := e.(type) {
	case Reacts:
		c.began(j, &e)
	case Took:
		c.answered(j, &e)
	}
}

// began: a name is new once on a disk.
func (c *checkReact) began(j *judge, e *Reacts) {
	key := judgedHook{e.Node, e.Hook}
	name := judgedName{j.writers[j.node(e.Node).origin].authority, e.Hook}
	was, known := c.begins[key]
	if known && e.New && !j.lostBetween(e.Node, was.pos, j.pos) {
		j.report("C10", nil, "node %d has lost the place of hook %s", e.Node, e.Hook)
	}
	switch {
	case known && e.Lost:
		was.base = c.before(j, e, name, was.base)
	case !known || e.New:
		was.base = e.Place
	}
	if e.New && !e.Lost {
		if c.news[name] == nil {
			c.news[name] = chain.Frontier{}
		}
		for o, seq := range e.Place {
			c.news[name][o] = max(c.news[name][o], seq)
		}
	}
	was.pos = j.pos
	c.begins[key] = was
}

// before is a base, and what a node with a new place leaves out besides: of what it
// has, all that is not after the first in stitched order that its authority answered,
// and all that was there when the hook was new to one of its nodes, or one of their
// former lives: what that answered later on looks as if this had been dealt with.
func (c *checkReact) before(j *judge, e *Reacts, name judgedName, base chain.Frontier) chain.Frontier {
	n := j.node(e.Node)
	var first chain.Stamp
	for key, by := range c.answers {
		if key.authority != name.authority || key.hook != name.hook {
			continue
		}
		cause := n.update(key.cause)
		if cause == nil || !slices.ContainsFunc(by, func(s *sighted) bool { return n.update(s.ID) == s }) {
			continue
		}
		if at := (chain.Stamp{HLC: cause.HLC, ID: cause.ID}); first.IsZero() || at.Compare(first) < 0 {
			first = at
		}
	}
	base = base.Clone()
	for o, seq := range e.Place {
		base[o] = max(base[o], min(seq, c.news[name][o]))
		for _, s := range n.logs[o][:min(int(seq), len(n.logs[o]))] {
			if s != nil && s.ID.Seq > base[o] && (chain.Stamp{HLC: s.HLC, ID: s.ID}).Compare(first) <= 0 {
				base[o] = s.ID.Seq
			}
		}
	}
	return base
}

// answered looks at an answer when it is first seen: its writer had no other.
func (c *checkReact) answered(j *judge, e *Took) {
	s, n := j.took, j.node(e.Node)
	w := j.writers[s.ID.Origin]
	if s.Hook == "" || s.pos != j.pos || w == nil {
		return
	}
	if !slices.Contains(s.Deps, s.Cause) && s.Cause.Origin != s.ID.Origin {
		j.report("C10", []chain.ID{s.Cause, s.ID}, "an answer does not depend on what it answers")
	}
	if s.Depth == 0 || s.Depth > chain.MaxReactions {
		j.report("C10", one(s.ID), "an answer at depth %d", s.Depth)
	}
	key := judgedTrigger{w.authority, s.Hook, s.Cause}
	before := c.answers[key]
	c.answers[key] = append(before, s)
	if n.origin != s.ID.Origin {
		return // what its writer had then is not known any more
	}
	// What is published again was answered before others were seen to.
	again := slices.ContainsFunc(before, func(b *sighted) bool { return j.sameWriter(b.ID.Origin, s.ID.Origin) && above(n.frozen, b.ID) })
	for _, b := range before {
		had := n.update(b.ID) == b
		switch {
		case had && j.sameWriter(b.ID.Origin, s.ID.Origin):
			j.report("C10", []chain.ID{s.Cause, b.ID, s.ID}, "hook %s of node %d answered an update again, and had its answer", s.Hook, e.Node)
		case had && !again && !j.openedNow(e.Moment):
			j.report("C10", []chain.ID{s.Cause, b.ID, s.ID}, "hook %s of node %d answered an update, and had seen that its authority had", s.Hook, e.Node)
		case !had && j.sameWriter(b.ID.Origin, s.ID.Origin) && !above(j.frozen, b.ID) && !j.lostBetween(e.Node, b.pos, j.pos):
			j.report("C10", []chain.ID{s.Cause, b.ID, s.ID}, "hook %s of node %d answered an update twice", s.Hook, e.Node)
		}
	}
}

// openedNow reports whether a life begins in this very instant: what it finds on
// its disk was not applied in the order in which it is told.
func (j *judge) openedNow(m Moment) bool {
	opens := j.opens[m.Node]
	return len(opens) > 0 && slices.ContainsFunc(opens, func(pos int) bool {
		e := j.h.Events[pos].(Opened)
		return e.Life == m.Life && e.At == m.At
	})
}

// end: once all is calm, each trigger that a node has is answered.
func (c *checkReact) end(j *judge) {
	if j.h.ConvergedAt == 0 {
		return
	}
	for _, f := range j.finals {
		for _, h := range hooks(f.Node) {
			begin, began := c.begins[judgedHook{f.Node, h.name}]
			if !began {
				continue
			}
			for _, o := range f.Frontier.Origins() {
				for _, s := range f.logs[o] {
					c.owed(j, f, &h, begin.base, s)
				}
			}
		}
	}
}

// owed looks for the answer to an update, if it is a trigger of the hook.
func (c *checkReact) owed(j *judge, f *judgedFinal, h *hook, base chain.Frontier, s *sighted) {
	w, own := j.writers[s.ID.Origin], j.writers[f.Origin]
	if s.Subject == "" || w == nil || own == nil || w.authority == own.authority || base.Has(s.ID) || s.Depth == chain.MaxReactions ||
		!h.prefix.Contains(s.Subject) || !h.wants(f.Node, w.authority, &s.Update) {
		return
	}
	for _, b := range c.answers[judgedTrigger{own.authority, h.name, s.ID}] {
		if logged(f.logs[b.ID.Origin], b.ID.Seq) == b || above(j.frozen, b.ID) && !j.sameWriter(b.ID.Origin, f.Origin) {
			return
		}
	}
	j.report("C10", one(s.ID), "hook %s of node %d has not answered an update", h.name, f.Node)
}
