package sim

import (
	"maps"
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// checkChains is C2, an update is applied once and is the same everywhere, and
// C4, chains have no gap and nothing twice.
type checkChains struct {
	acked map[chain.ID][]judgedAck
}

func (c *checkChains) see(j *judge, e Event) {
	switch e := e.(type) {
	case Opened:
		c.opened(j, &e)
	case Took:
		c.took(j, &e)
	case Answered:
		if e.Acks > 0 && !e.Unchanged && e.Err == "" {
			if c.acked == nil {
				c.acked = map[chain.ID][]judgedAck{}
			}
			c.acked[e.ID] = append(c.acked[e.ID], judgedAck{Answered: e, pos: j.pos})
		}
	}
}

// opened: a node begins with no more than it had.
func (c *checkChains) opened(j *judge, e *Opened) {
	n := j.node(e.Node)
	for o, seq := range e.Applied {
		if seq > n.head(o) || !e.Durable {
			j.report("C4", one(chain.ID{Origin: o, Seq: seq}), "node %d begins life %d with what it never applied", e.Node, e.Life)
		}
	}
}

func (c *checkChains) took(j *judge, e *Took) {
	n, s := j.node(e.Node), j.took
	id := s.ID
	head := n.head(id.Origin)
	switch {
	case id.Seq <= head:
		j.report("C2", one(id), "node %d applied an update twice", e.Node)
	case id.Seq > head+1:
		j.report("C4", one(id), "node %d applied an update above a gap: it had %d", e.Node, head)
	case above(n.frozen, id):
		j.report("C4", one(id), "node %d applied an update above the freeze of its chain", e.Node)
	}
	if genesis := s.Subject == "" && s.Draft < 0; genesis != (id.Seq == 1) {
		j.report("C4", one(id), "a chain begins with its genesis, and has no other")
	}
	if prev := n.update(chain.ID{Origin: id.Origin, Seq: id.Seq - 1}); prev != nil && prev.HLC >= s.HLC {
		j.report("C4", []chain.ID{prev.ID, id}, "an update is not later than the one before it")
	}
}

func (c *checkChains) end(j *judge) {
	for _, f := range j.finals {
		c.final(j, f)
	}
	for _, o := range chain.Frontier(j.frozen).Origins() {
		c.frozen(j, o)
	}
	told := map[chain.ID]bool{}
	for _, s := range j.order {
		if !told[s.ID] && len(j.sighted[s.ID]) > 1 {
			told[s.ID] = true
			c.contents(j, s.ID)
		}
	}
}

// final: at the end a node has what it applied, all of it and nothing else.
func (c *checkChains) final(j *judge, f *judgedFinal) {
	n := j.node(f.Node)
	if !slices.IsSortedFunc(f.Log, func(a, b Update) int { return a.ID.Compare(b.ID) }) {
		j.report("C4", nil, "the log of node %d is not in the order of origin and seq", f.Node)
	}
	entries := 0
	for _, log := range f.logs {
		entries += len(log)
	}
	if entries != len(f.Log) {
		j.report("C4", nil, "the log of node %d has a gap, or something twice: %d of its %d updates follow on each other", f.Node, entries, len(f.Log))
	}
	origins := maps.Clone(f.Frontier)
	if origins == nil {
		origins = chain.Frontier{}
	}
	for o := range f.logs {
		origins[o] += 0
	}
	for o, log := range n.logs {
		if len(log) > 0 {
			origins[o] += 0
		}
	}
	for o, seq := range origins {
		if log := chain.Seq(len(f.logs[o])); log != seq || n.head(o) != seq {
			j.report("C4", one(chain.ID{Origin: o, Seq: seq}),
				"node %d ends with %d updates of a chain in its frontier, %d in its log, and applied %d", f.Node, seq, log, n.head(o))
		}
	}
	for o, log := range f.logs {
		for i, s := range log {
			if was := logged(n.logs[o], chain.Seq(i+1)); was != nil && was != s {
				j.report("C2", one(s.ID), "node %d ends with another content of an update than it applied", f.Node)
			}
		}
	}
}

// contents judges an ID that was seen with several contents. That must be
// proved by a freeze below it, except where the earlier was seen by its writer
// alone, in a life that was over before the later one: a crash took it before it
// was durable, or, if it was acknowledged as durable, with the disk.
func (c *checkChains) contents(j *judge, id chain.ID) {
	if above(j.frozen, id) {
		return
	}
	versions := j.sighted[id]
	for i, later := range versions[1:] {
		was := versions[i]
		if was.witnessed || j.endOf(was.writer) >= later.pos || c.kept(j, was, later) {
			j.reportAt(later, "C2", one(id), "one ID, and two contents: %.8s of draft %d and %.8s of draft %d",
				was.Hash, was.Draft, later.Hash, later.Draft)
		}
	}
}

// kept reports whether an update was acknowledged as durable, and its disk was
// not lost before another took its ID.
func (c *checkChains) kept(j *judge, was, later *sighted) bool {
	return slices.ContainsFunc(c.acked[was.ID], func(a judgedAck) bool {
		return a.Draft == was.Draft && a.pos < later.pos && !j.lostBetween(was.writer.node, a.pos, later.pos)
	})
}

// frozen: a chain is only frozen for a fault of its key, and in a mesh of honest
// nodes a key signs two updates of one seq only after its disk was lost or set
// back where nobody could tell, or on two nodes. Else a node sent what was not
// durable or did not ask, and the freeze would hide the loss. A freeze that takes
// nothing back does no harm.
func (c *checkChains) frozen(j *judge, o chain.Origin) {
	w := j.writers[o]
	if w == nil || len(w.nodes) > 1 || j.h.Forks && len(j.losses[w.nodes[0]]) > 0 {
		return
	}
	for _, s := range j.order {
		if s.ID.Origin == o && above(j.frozen, s.ID) {
			j.report("C2", one(s.ID), "a chain was frozen after %d, though nothing that befell the disk of node %d could not be told", j.frozen[o], w.nodes[0])
			return
		}
	}
}
