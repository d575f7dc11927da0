package sim

import "github.com/tidings-mesh/tidings/chain"

// checkCausal is C3: what an update depends on comes before it, where a node
// applies it and wherever a poll is cut off.
type checkCausal struct {
	batch map[chain.ID]bool // what the poll delivered so far
}

func (c *checkCausal) see(j *judge, e Event) {
	switch e := e.(type) {
	case Took:
		c.took(j, &e)
	case Polled:
		c.polled(j, &e)
	}
}

func (c *checkCausal) took(j *judge, e *Took) {
	n, s := j.node(e.Node), j.took
	for _, id := range s.Deps {
		if n.head(id.Origin) < id.Seq && !above(n.frozen, id) && !j.freezesNow(e.Moment, id) {
			j.report("C3", []chain.ID{id, s.ID}, "node %d applied an update before one that it depends on", e.Node)
		}
		// Above a freeze there may be another update than the one that was meant.
		if dep := n.update(id); dep != nil && dep.HLC >= s.HLC && !above(j.frozen, id) {
			j.report("C3", []chain.ID{id, s.ID}, "an update is not later than one that it depends on")
		}
	}
}

// freezesNow reports whether the node freezes that chain below the update in
// this very instant: of one commit, what it applied may be told first.
func (j *judge) freezesNow(m Moment, id chain.ID) bool {
	for _, e := range j.h.Events[j.pos+1:] {
		if e.when() != m.At {
			return false
		}
		if f, ok := e.(Froze); ok && f.lifeOf() == m.lifeOf() && f.Origin == id.Origin && id.Seq > f.After {
			return true
		}
	}
	return false
}

// polled looks at each update of the batch as if the poll had ended with it.
// Among what comes before an update is the one before it on its own chain.
func (c *checkCausal) polled(j *judge, e *Polled) {
	n, to := j.node(e.Node), j.consumer(e)
	if c.batch == nil {
		c.batch = map[chain.ID]bool{}
	}
	clear(c.batch)
	newest := chain.Frontier{}
	for _, s := range j.polled {
		if c.batch[s.ID] {
			continue // C6
		}
		if last := newest[s.ID.Origin]; last > s.ID.Seq {
			j.report("C3", []chain.ID{s.ID, {Origin: s.ID.Origin, Seq: last}},
				"consumer %d got an update after a later one of its chain", e.Consumer)
		}
		newest[s.ID.Origin] = max(newest[s.ID.Origin], s.ID.Seq)
		for _, id := range s.Deps {
			if !c.batch[id] && !to.got[id] && !to.base.Has(id) && c.missed(j, n, to, id) {
				j.report("C3", []chain.ID{id, s.ID}, "consumer %d got an update before one that it depends on", e.Consumer)
			}
		}
		c.batch[s.ID] = true
	}
}

// missed reports whether a consumer ought to have had an update: not if a freeze
// took it back, nor if the filter leaves it out. A node that delivers what
// depends on an update that is not here has broken the rule, too.
func (c *checkCausal) missed(j *judge, n *judgedNode, to *judgedConsumer, id chain.ID) bool {
	if above(n.frozen, id) || above(to.told, id) {
		return false
	}
	if n.head(id.Origin) < id.Seq {
		return true
	}
	return j.admits(to, n.update(id))
}

func (c *checkCausal) end(*judge) {}
