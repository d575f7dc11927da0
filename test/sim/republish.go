package sim

import (
	"crypto/ed25519"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/core"
)

// republishMost is small, so that crashes come between batches.
const republishMost = 2

// noteOfRepublished is how the store's keys begin of what was published again.
const noteOfRepublished = "prepublished/"

// ownIsBack lets drafts onto the own chain, after what is owed from before, as
// package node does.
func (p *process) ownIsBack() {
	r := &core.Republisher{Archive: p.archive, Ledger: p.ledger, Most: republishMost}
	for _, key := range p.m.disk.former {
		r.Former = append(r.Former, chain.OriginOf(key.Public().(ed25519.PublicKey)))
	}
	again, err := r.Next()
	p.must(err)
	if again == nil || p.w.has(RepublishForgotten) {
		p.own = true
		p.kick()
		return
	}
	var refused error
	p.calls = append(p.calls, call{func() (err error) {
		if refused = errClock; p.clocks && p.mayPublish() == nil {
			refused, err = r.Publish(again, p.writerWall())
		}
		return err
	}, func(err error) {
		switch {
		case err != nil: // its store failed
		case refused == errClock:
			p.after(lookEvery, p.ownIsBack)
		case refused != nil:
			p.w.say(p.m.index, "publishes nothing again: %v", refused)
		default:
			p.w.note("republished", p.m.index, uint64(p.w.number(again.Was)), uint64(len(again.Updates)))
			p.ownIsBack()
		}
	}})
	p.kick()
}

// callOperator has somebody come, in a while, who restarts this node: its own
// chain is frozen, and it says that this is what it takes.
func (p *process) callOperator() {
	w, m := p.w, p.m
	if m.called {
		return
	}
	m.called = true
	w.after(between(w.rand.member, 500*time.Millisecond, 4*time.Second), func() {
		m.called = false
		if q := m.proc; q != nil && q.archive.Frozen(q.origin) != nil {
			m.crash(w.opt.Faults.Has(TornTails) && w.troubled())
			m.start()
		}
	})
}
