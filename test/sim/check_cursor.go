package sim

import (
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// checkCursor is C6: a consumer gets everything that its filter admits, once.
type checkCursor struct {
	batch map[chain.ID]bool
}

func (c *checkCursor) see(j *judge, e Event) {
	if p, ok := e.(Polled); ok {
		c.polled(j, &p)
	}
}

// pollCheck is one poll that is being looked at.
type pollCheck struct {
	*Polled
	j     *judge
	node  *judgedNode
	to    *judgedConsumer
	since chain.Frontier // what the consumer has after retractions
	told  chain.Frontier // the freezes that it knows with this poll
	batch map[chain.ID]bool
}

func (c *checkCursor) polled(j *judge, e *Polled) {
	p := &pollCheck{
		Polled: e, j: j, node: j.node(e.Node), to: j.consumer(e),
		since: chain.Frontier{}, told: chain.Frontier{}, batch: c.batch,
	}
	if p.batch == nil {
		p.batch = map[chain.ID]bool{}
		c.batch = p.batch
	}
	clear(p.batch)
	p.goesOn()
	p.takesBack()
	p.saysBehind()
	p.delivers()
	p.advances()
	if e.UpToDate {
		p.upToDate()
	}
}

func (p *pollCheck) report(ids []chain.ID, format string, args ...any) {
	p.j.report("C6", ids, "consumer %d on node %d: "+format, append([]any{p.Consumer, p.Node}, args...)...)
}

// goesOn: a consumer goes on from the cursor that it was given, with the filter
// that it began with.
func (p *pollCheck) goesOn() {
	if !p.to.cursor.Covers(p.Since) || !p.Since.Covers(p.to.cursor) {
		p.report(nil, "it does not go on from its cursor")
	}
	if p.Prefix != p.to.prefix || !slices.Equal(p.Authority, p.to.authority) {
		p.report(nil, "its cursor was accepted with another filter")
	}
}

// takesBack: a consumer that has updates above a freeze that the node knows is
// told so, and stands at the freeze then. This alone takes a cursor back.
func (p *pollCheck) takesBack() {
	lowerAll(p.told, p.to.told)
	lowerAll(p.told, p.node.frozen)
	for o, seq := range p.Since {
		p.since[o] = seq
		if after, ok := p.node.frozen[o]; ok && seq > after {
			p.since[o] = after
			if at, told := p.Retracted[o]; !told || at != after {
				p.report(one(chain.ID{Origin: o, Seq: seq}), "not told that the chain was frozen after %d", after)
			}
		}
	}
	for o, at := range p.Retracted {
		if after, ok := p.node.frozen[o]; !ok || at != after {
			p.report(one(chain.ID{Origin: o, Seq: at}), "told of a freeze that the node does not have")
		}
	}
}

// saysBehind: a node names the chains of which the consumer has more than it,
// and those of which it lacks a freeze that the consumer was told of.
func (p *pollCheck) saysBehind() {
	for o, seq := range p.since {
		if _, clamped := p.Retracted[o]; seq > p.node.head(o) && !clamped && !slices.Contains(p.Behind, o) {
			p.report(one(chain.ID{Origin: o, Seq: seq}), "the node has %d of the chain, and does not say that it is behind", p.node.head(o))
		}
	}
	for _, o := range p.Behind {
		after, told := p.to.told[o]
		at, frozen := p.node.frozen[o]
		if lacks := told && (!frozen || at > after); p.since[o] <= p.node.head(o) && !lacks {
			p.report(one(chain.ID{Origin: o, Seq: p.since[o]}), "the node says that it is behind, and has %d of the chain", p.node.head(o))
		}
	}
}

// delivers: what comes is new, was applied there, and passes the filter.
func (p *pollCheck) delivers() {
	for _, s := range p.j.polled {
		id := one(s.ID)
		switch {
		case p.batch[s.ID] || p.to.got[s.ID]:
			p.report(id, "delivered again")
		case p.since.Has(s.ID):
			p.report(id, "delivered from before its cursor")
		case !p.Cursor.Has(s.ID):
			p.report(id, "delivered, and left beyond its cursor")
		case above(p.told, s.ID):
			p.report(id, "delivered above the freeze of its chain")
		case !p.j.admits(p.to, s):
			p.report(id, "delivered against its filter")
		}
		if p.node.head(s.ID.Origin) < s.ID.Seq {
			p.j.report("C8", id, "consumer %d got an update that node %d had not applied", p.Consumer, p.Node)
		}
		p.batch[s.ID] = true
	}
}

// advances: the cursor does not go back, nor past what was not delivered.
func (p *pollCheck) advances() {
	for o, seq := range p.since {
		if p.Cursor[o] < seq {
			p.report(one(chain.ID{Origin: o, Seq: seq}), "its cursor goes back to %d", p.Cursor[o])
		}
	}
	var skipped []chain.ID
	for o, seq := range p.Cursor {
		from := p.since[o]
		if seq <= from {
			continue
		}
		if head := p.node.head(o); seq > head {
			p.report(one(chain.ID{Origin: o, Seq: seq}), "its cursor goes beyond what is applied there, which is %d", head)
			seq = head
		}
		skipped = append(skipped, p.owed(o, from, seq)...)
	}
	if len(skipped) > 0 {
		slices.SortFunc(skipped, chain.ID.Compare)
		p.report(skipped, "its cursor passes what was not delivered")
	}
}

// owed are the updates of a chain between two seqs that the filter admits and
// the poll has not delivered.
func (p *pollCheck) owed(o chain.Origin, from, to chain.Seq) (ids []chain.ID) {
	for seq := from + 1; seq <= to; seq++ {
		id := chain.ID{Origin: o, Seq: seq}
		if !p.batch[id] && p.j.admits(p.to, p.node.update(id)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// upToDate: nothing more was applied there that the filter admits, but for what
// is withheld because the node lacks a freeze.
func (p *pollCheck) upToDate() {
	var left []chain.ID
	for o := range p.node.logs {
		head := p.node.head(o)
		if after, ok := p.told[o]; ok {
			head = min(head, after)
		}
		from := max(p.Cursor[o], p.to.passed[o])
		if from >= head {
			continue
		}
		ids := p.owed(o, from, head)
		left = append(left, ids...)
		if len(ids) == 0 {
			p.to.passed[o] = head
		}
	}
	if len(left) > 0 {
		slices.SortFunc(left, chain.ID.Compare)
		p.report(left, "said to be up to date, with updates left")
	}
}

// end: who was up to date after the mesh had converged has got everything that
// there is, and knows what was taken back.
func (c *checkCursor) end(j *judge) {
	for number, to := range j.consumers {
		if !to.last.UpToDate || j.h.ConvergedAt == 0 || to.last.At < j.h.ConvergedAt {
			continue
		}
		for _, f := range j.finals {
			if f.Node == to.last.Node {
				c.complete(j, number, to, f)
			}
		}
	}
}

func (c *checkCursor) complete(j *judge, number int, to *judgedConsumer, f *judgedFinal) {
	var missed, kept []chain.ID
	for o, log := range f.logs {
		for _, s := range log[min(to.base[o], chain.Seq(len(log))):] {
			if !to.got[s.ID] && j.admits(to, s) {
				missed = append(missed, s.ID)
			}
		}
	}
	if len(f.Frozen) > 0 {
		for id := range to.got {
			if after, told := to.retracted[id.Origin]; above(f.Frozen, id) && (!told || after > f.Frozen[id.Origin]) {
				kept = append(kept, id)
			}
		}
	}
	slices.SortFunc(missed, chain.ID.Compare)
	slices.SortFunc(kept, chain.ID.Compare)
	if len(missed) > 0 {
		j.report("C6", missed, "consumer %d never got updates, up to date as it is", number)
	}
	if len(kept) > 0 {
		j.report("C6", kept, "consumer %d was not told that updates were taken back", number)
	}
}
