package sim

import (
	"errors"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node/core"
)

// readiness is how far a start has come, and whether the clock lets the node
// publish: what package node does in its files recovery, clock and readiness.
type readiness struct {
	serving  bool // callers are heard
	own      bool // the own chain is as long as it ever was
	clocks   bool // the wall clock was compared, or there was nobody to compare with
	caughtUp bool
	reading  core.Reading // of the mesh's clocks
	heldBack bool         // by the clock
}

var errClock = errors.New("clock is off")

func (p *process) mayPublish() error {
	if p.w.has(ClockRefusalIgnored) {
		return nil
	}
	if p.heldBack || core.ClockIsOff(p.clockNow(), maxClockSkew) {
		return errClock
	}
	return nil
}

// clockNow is how the clocks compare at the moment of the writer.
func (p *process) clockNow() gossip.Clock {
	return p.reading.Now(gossip.At{Mono: p.w.now - p.lag, Wall: p.writerWall()})
}

// timeLimit is the latest time that is applied, in Unix milliseconds.
func (p *process) timeLimit(now int64) int64 {
	return core.TimeLimit(now, p.clockNow(), !p.clocks || !p.caughtUp, maxClockSkew)
}

// lookAtClock compares the wall clock with the mesh's, and applies what the
// clock holds back no longer.
func (p *process) lookAtClock() {
	p.reading = core.Reading{Clock: p.engine.Clock(p.at(), p.voters()), At: p.at()}
	off := core.ClockIsOff(p.reading.Clock, maxClockSkew)
	if off != p.heldBack {
		p.w.note("clock", p.m.index, bit(off), uint64(p.reading.Offset), uint64(p.reading.Count))
	}
	p.heldBack = off
	held := p.archive.Summary().Held
	var ids []chain.ID
	for _, h := range held {
		if h.Reason == chain.HeldClock {
			ids = append(ids, h.ID)
		}
	}
	applied := p.engine.ClockHeld(p.at(), ids)
	p.act()
	if len(held) == 0 {
		return
	}
	others := p.known.Origins()
	p.do(func() error {
		now := p.writerWall()
		if err := p.ledger.SetLimit(p.timeLimit(now), now); err != nil {
			return err
		}
		for _, id := range ids {
			if upTo := core.Admissible(applied[id.Origin], others); upTo >= id.Seq {
				if err := p.ledger.Admit(id.Origin, upTo, now); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// awaitClocks lets nothing be published before the wall clock was compared.
func (p *process) awaitClocks() {
	began, alone := p.w.now, p.alone()
	look := func() bool {
		p.reading = core.Reading{Clock: p.engine.Clock(p.at(), p.voters()), At: p.at()}
		p.clocks = core.ClocksMet(p.reading.Clock, len(p.live())) || alone || p.w.now-began >= recoverWait
		if p.clocks {
			p.kick()
		}
		return !p.clocks
	}
	if look() {
		p.every(lookEvery, look)
	}
}

// recover decides whether the own chain may be appended to.
func (p *process) recover() {
	p.awaitClocks()
	lost, err := p.archive.CheckNote(p.store.Note())
	p.must(err)
	ownLost := false
	for _, h := range lost {
		ownLost = ownLost || h.Origin == p.origin && !p.w.has(NoteIgnored)
	}
	start := core.Start{
		Durable: p.m.durable, Unchanged: !p.m.durable || p.m.disk.unchanged, EndLost: ownLost,
		Frozen: p.archive.Frozen(p.origin) != nil, Mesh: true, Known: p.known.Len(),
	}
	step := start.Step()
	if p.w.has(RecoverySkipped) || p.w.has(ForkAccepted) {
		step = core.Append
	}
	p.w.note("start", p.m.index, uint64(step), bit(start.Unchanged), bit(ownLost), uint64(start.Known))
	switch {
	case step == core.NewOrigin:
		p.reopen()
	case step == core.Append:
		p.ownIsBack()
		p.serving = true
		p.settleReadiness()
	default:
		p.serving = start.IsUnchanged()
		p.askPeers(start.IsUnchanged())
		if p.serving {
			p.settleReadiness()
		}
	}
}

// askPeers asks until the own chain may be appended to, or cannot be continued.
func (p *process) askPeers(unchanged bool) {
	r := core.NewRecovery(p.origin, unchanged, recoverWait, mono(p.w.now))
	look := func() bool {
		peers := core.Peers{OwnHeads: p.engine.OwnHeads(), Live: p.live(), KnownHead: p.engine.KnownHead(p.origin)}
		l := r.Look(mono(p.w.now), peers, p.archive)
		for _, c := range l.Fetch {
			p.engine.Fetch(p.at(), c.Peer, gossip.Range{Origin: p.origin, From: c.Seq, To: c.Seq})
			p.act()
		}
		switch {
		case l.Step == core.Ask:
			return true
		case l.Step == core.NewOrigin:
			p.reopen()
			return false
		case p.archive.Frozen(p.origin) != nil:
			return false // it waits for a restart
		}
		p.w.note("recovered", p.m.index, bit(l.Unanswered), uint64(p.archive.Head(p.origin).Seq))
		p.ownIsBack()
		if !p.serving {
			p.m.disk.unchanged, p.serving = true, true
			p.settleReadiness()
		}
		return false
	}
	if look() {
		p.every(lookEvery, look)
	}
}

// reopen ends this life in order and begins another under a new key.
func (p *process) reopen() {
	m := p.m
	p.die()
	_ = p.store.Close()
	m.disk.crash(len(m.disk.pending))
	m.rekey()
	m.ended(false)
	m.start()
}

// alone reports whether there is nobody to wait for: the first machine is told of
// nobody, the others join it.
func (p *process) alone() bool { return p.m.index == 0 && p.known.Len() == 0 }

// settleReadiness sees to it that a node which finds nobody to catch up with
// becomes ready.
func (p *process) settleReadiness() {
	heard := p.w.now
	p.caughtUp = p.caughtUp || p.alone()
	p.every(100*time.Millisecond, func() bool {
		if p.caughtUp {
			return false
		}
		if len(p.engine.OwnHeads()) > 0 {
			heard = p.w.now
		}
		p.caughtUp = p.w.now-heard >= recoverWait
		return !p.caughtUp
	})
}

// converged is rule 9, as package node asks it.
func (p *process) converged() bool {
	s := p.archive.Summary()
	waiting := len(s.Held)
	if s.Pending {
		waiting++
	}
	if p.w.has(ReportsIgnored) {
		return p.known.Met() && waiting == 0
	}
	there := 0
	for _, m := range p.members() {
		if m.Status != gossip.StatusLeft {
			there++
		}
	}
	return p.known.Met() && p.engine.Converged(p.at(), waiting, p.live(), max(p.known.Len()+1, there))
}
