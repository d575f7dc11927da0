package gossip

import (
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// want is what others have of a chain beyond what is here.
type want struct {
	seq     chain.Seq // the highest that a connected peer has
	urgent  chain.Seq // up to which it is not on its way by itself
	first   time.Duration
	dep     bool          // wanted as a dependency
	depDue  time.Duration // then not before this
	prefer  chain.Origin  // who sent the dependant, or zero
	reports []report
	pull    *pull // what asks for it now
}

// report is a head that a live peer said it has, for convergence.
type report struct {
	seq chain.Seq
	at  time.Duration
}

// reportsMost bounds the reports kept of one chain.
const reportsMost = 16

// report notes that a peer has a chain up to a seq. urgent says that it is not
// on its way by itself.
func (e *Engine) report(p *peer, o chain.Origin, seq chain.Seq, urgent bool) {
	if seq == 0 {
		return
	}
	c := e.claimed(o)
	if c == nil {
		return
	}
	p.learn(c, seq)
	seq = c.believed(seq)
	if e.catchingUp && !p.vec.exchanged {
		c.goal = max(c.goal, seq)
	}
	if seq <= c.head.Seq {
		return
	}
	w := &c.want
	if w.seq == 0 {
		w.first = e.at.Mono
		e.wants = append(e.wants, c)
	}
	w.seq = max(w.seq, seq)
	if urgent {
		w.urgent = max(w.urgent, seq)
	}
	w.note(seq, e.at.Mono)
}

// note keeps a report. Reports of about the same time are one, and where there
// are too many, the two oldest become one: the later head under the earlier
// time, which errs towards not converged.
func (w *want) note(seq chain.Seq, at time.Duration) {
	n := len(w.reports)
	switch {
	case n > 0 && seq <= w.reports[n-1].seq:
	case n > 0 && at-w.reports[n-1].at < beaconEvery:
		w.reports[n-1].seq = seq
	case n == reportsMost:
		w.reports[0].seq = w.reports[1].seq
		copy(w.reports[1:], w.reports[2:])
		w.reports[n-1] = report{seq, at}
	default:
		w.reports = append(w.reports, report{seq, at})
	}
}

// reportMissing notes that an update depends on one that is not here. Who sent
// the dependant has it.
func (e *Engine) reportMissing(p *peer, dep chain.ID) {
	if dep.Seq <= e.headOf(dep.Origin).Seq {
		return
	}
	if p == nil || !p.ready() {
		return
	}
	e.report(p, dep.Origin, dep.Seq, false)
	c := e.chains[dep.Origin]
	if c == nil {
		return
	}
	if w := &c.want; w.seq > 0 && !w.dep {
		w.dep = true
		w.depDue = e.at.Mono + min(max(2*p.clock.rtt, graceLeast), depGraceMost)
		w.prefer = p.origin
	}
}

// cover takes from a chain's want what is here now.
func (e *Engine) cover(c *chainState) {
	w := &c.want
	if w.seq == 0 {
		return
	}
	if w.seq <= c.head.Seq {
		pull := w.pull
		*w = want{reports: w.reports[:0], pull: pull}
		e.wants = removeFrom(e.wants, c)
		return
	}
	n := 0
	for n < len(w.reports) && w.reports[n].seq <= c.head.Seq {
		n++
	}
	w.reports = append(w.reports[:0], w.reports[n:]...)
}

// recount brings the wants down to what connected peers have, after one left.
func (e *Engine) recount() {
	wants, gone := e.wants[:0], 0
	for _, c := range e.wants {
		w := &c.want
		most := chain.Seq(0)
		for _, p := range e.ranked {
			if p.ready() {
				most = max(most, p.knows(c))
			}
		}
		if most <= c.head.Seq && most < w.seq {
			*w = want{pull: w.pull}
			if e.unheard(c) {
				e.forget(c)
				gone++
			}
			continue
		}
		wants = append(wants, c)
		if most >= w.seq {
			continue
		}
		w.seq, w.urgent = most, min(w.urgent, most)
		n := 0
		for n < len(w.reports) && w.reports[n].seq < most {
			n++
		}
		if n < len(w.reports) {
			w.reports = w.reports[:n+1]
			w.reports[n].seq = most
		}
	}
	clear(e.wants[len(wants):])
	e.wants = wants
	if gone > 0 {
		// In one pass, for it may be thousands.
		e.sorted = slices.DeleteFunc(e.sorted, func(c *chainState) bool { return e.chains[c.origin] != c })
	}
}

// due says up to which seq a chain may be asked for now, 0 if not yet, and then
// when. What is probably on its way from the chain's origin is given a short
// grace, from the report or the origin's last push: so a copy that is only
// slow is not sent twice. It is longer where the origin may let its runs gather, of
// which early peers tell before they come: while this node is behind itself, and while
// its last fetch is known to have been too early.
func (e *Engine) due(c *chainState, behind bool) (to chain.Seq, when time.Duration) {
	w := &c.want
	when = w.first
	if o := e.peers[c.origin]; o != nil && o.ready() {
		when = max(when, c.pushedAt) + min(max(2*o.clock.rtt, graceLeast), graceMost)
		if behind || e.at.Mono < c.patientUntil {
			when += gatherMost
		}
	}
	if w.dep {
		when = max(when, w.depDue)
	}
	when = max(when, c.refused)
	switch {
	case when <= e.at.Mono:
		return w.seq, when
	case w.urgent > c.pending && c.refused <= e.at.Mono:
		return w.urgent, e.at.Mono
	}
	return 0, when
}
