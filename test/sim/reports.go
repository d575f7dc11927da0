package sim

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// reports are the heads that came on a stream, each as it rose, kept beside the
// engine so that what the node says of itself can be held against them.
type reports map[chain.Origin][]report

type report struct {
	seq chain.Seq
	at  time.Duration
}

// settledAfter is how old a report is that a node must take account of.
const settledAfter = time.Second

// take notes what a frame says that its sender has.
func (r reports) take(f gossip.Frame, sender chain.Origin, at time.Duration) {
	note := func(o chain.Origin, seq chain.Seq) {
		of := r[o]
		if n := len(of); seq > 0 && (n == 0 || of[n-1].seq < seq) {
			r[o] = append(of, report{seq, at})
		}
	}
	switch f := f.(type) {
	case *gossip.Hello:
		note(sender, f.Own.Seq)
	case *gossip.Heads:
		for _, id := range f.Heads {
			note(id.Origin, id.Seq)
		}
	case *gossip.Digest:
		for _, id := range f.Heads {
			note(id.Origin, id.Seq)
		}
	}
}

// settled adds what was reported more than settledAfter ago.
func (r reports) settled(to chain.Frontier, now time.Duration) {
	for o, of := range r {
		for _, it := range of {
			if now-it.at > settledAfter {
				to[o] = max(to[o], it.seq)
			}
		}
	}
}

// sayConverged records that the node says so, and what the live members that it
// hears had told it by then.
func (p *process) sayConverged() {
	if !p.converged() {
		return
	}
	e := SaidConverged{Moment: p.moment(), Reported: chain.Frontier{}}
	live := map[chain.Origin]bool{}
	for _, o := range p.live() {
		live[o] = true
	}
	for _, link := range p.links {
		if live[link.peer()] {
			link.reports.settled(e.Reported, p.w.now)
		}
	}
	p.w.record(e)
}
