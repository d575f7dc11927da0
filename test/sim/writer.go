package sim

import (
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/core"
)

// writer is what the node's writer loop is in package node. Each step of it is
// gathered when it begins and carried out when it ends; a crash between the two
// may come before or after its commit.
type writer struct {
	inbox   []*arrival
	outbox  []*draft
	calls   []call
	settles []*settling
	unread  []func() // streams that wait for room in the inbox

	batch   batch
	arrived []*chain.Update // what was applied in this life, in that order
	busy    bool            // something is being done
	step    func()          // which, until it is carried out
	lag     time.Duration   // what is left of it
	wakeAt  time.Duration
	leaving bool
}

// call is what the writer does between batches, and who hears of it.
type call struct {
	do   func() error
	then func(error)
}

type batch struct {
	core.Batch
	drafts   []*draft
	arrivals []*arrival
	freezes  []*arrival
	settles  []*settling
}

// arrival are runs from a peer, verified.
type arrival struct {
	runs   []*chain.Run
	freeze *chain.Freeze // in place of runs
	urgent bool
	reply  func([]chain.Outcome, error)
}

// draft is a draft in the outbox.
type draft struct {
	prepared *chain.Prepared
	reply    func(chain.Receipt, error)
}

// inboxMost is how many arrivals wait for the writer before streams do.
const inboxMost = 8

// time is the writer's clock: while a step is carried out, it shows when that
// began, until the store has taken its time.
func (p *process) time() time.Time { return mono(p.w.now - p.lag) }

func (p *process) writerWall() int64 { return p.m.clock.wall(p.w.now - p.lag) }

func (p *process) startWriter() {
	p.m.disk.onDelay = func() { p.lag = 0 }
	p.begin(p.m.disk.takes(false), p.core.Begin)
}

// begin begins a step, which takes so long.
func (p *process) begin(takes time.Duration, step func()) {
	p.busy = true
	p.step = func() {
		p.lag = takes
		step()
		p.lag = 0
	}
	p.after(takes, func() {
		do := p.step
		p.step = nil
		do()
		p.act()
		p.busy = false
		p.kick()
	})
}

// kick begins the next step, if there is something to do and none goes on.
func (p *process) kick() {
	if p.dead || p.busy {
		return
	}
	idle := p.core.Idle()
	switch {
	case p.leaving:
		p.close()
	case idle <= 0:
		p.begin(p.m.disk.takes(true), p.core.Upkeep)
	case len(p.calls) > 0:
		c := p.calls[0]
		p.calls = p.calls[1:]
		p.begin(p.m.disk.takes(false), func() {
			if err := p.core.Do(c.do); c.then != nil && !p.dead {
				c.then(err)
			}
		})
	case len(p.inbox) > 0 || len(p.settles) > 0 || p.own && p.clocks && len(p.outbox) > 0:
		p.busy = true
		p.gather()
		sync := len(p.batch.drafts) > 0 || len(p.batch.settles) > 0 || p.batch.Urgent
		p.begin(p.m.disk.takes(sync), p.process)
	case idle < time.Hour:
		at := p.w.now + idle
		if p.wakeAt > p.w.now && p.wakeAt <= at {
			return
		}
		p.wakeAt = at
		p.after(idle, func() {
			if p.wakeAt <= p.w.now {
				p.kick()
			}
		})
	}
}

// gather takes what waits.
func (p *process) gather() {
	b := batch{arrivals: p.inbox, settles: p.settles}
	p.inbox, p.settles = nil, nil
	for _, s := range b.settles {
		b.Settles = append(b.Settles, s.settlement)
		b.Urgent = b.Urgent || s.synced
	}
	if p.own && p.clocks {
		b.drafts, p.outbox = p.outbox, nil
	}
	for _, d := range b.drafts {
		b.Drafts = append(b.Drafts, d.prepared)
	}
	arrivals := b.arrivals
	b.arrivals = nil
	for _, a := range arrivals {
		if a.freeze != nil {
			b.freezes, b.Freezes = append(b.freezes, a), append(b.Freezes, a.freeze)
			continue
		}
		b.arrivals, b.Arrivals = append(b.arrivals, a), append(b.Arrivals, a.runs)
		b.Urgent = b.Urgent || a.urgent
	}
	p.batch = b
	unread := p.unread
	p.unread = nil
	for i, read := range unread {
		if len(p.inbox) >= inboxMost {
			p.unread = append(p.unread, unread[i:]...)
			return
		}
		read()
	}
}

// process has the batch applied and committed, and answers for it.
func (p *process) process() {
	b := p.batch
	p.batch = batch{}
	for i := range b.Arrivals {
		b.Arrivals[i] = p.spoil(b.Arrivals[i])
	}
	answers, err := p.core.Process(&b.Batch)
	if p.dead {
		return
	}
	for i, d := range b.drafts {
		if err != nil {
			d.reply(chain.Receipt{}, err)
		} else {
			d.reply(answers.Receipts[i].Receipt, answers.Receipts[i].Err)
		}
	}
	for i, a := range b.arrivals {
		if err != nil {
			a.reply(nil, err)
		} else {
			a.reply(answers.Outcomes[i], nil)
		}
	}
	for i, a := range b.freezes {
		if err != nil {
			a.reply(nil, err)
		} else {
			a.reply(answers.Freezes[i:i+1], nil)
		}
	}
	for i, s := range b.settles {
		if err != nil {
			s.reply(core.Settled{}, err)
		} else {
			s.reply(answers.Settled[i], nil)
		}
	}
}

// do has the writer run f between batches.
func (p *process) do(f func() error) {
	p.calls = append(p.calls, call{do: f})
	p.kick()
}

// heardCommit passes on what a commit or a sync did.
func (p *process) heardCommit(c *core.Committed) {
	if p.dead {
		return
	}
	for _, u := range c.Effects.Applied {
		p.took(u)
		if p.w.has(AppliedTwice) && u.ID.Seq%8 == 0 {
			p.took(u)
		}
	}
	for _, f := range c.Effects.Frozen {
		p.w.record(Froze{Moment: p.moment(), Origin: f.Origin, After: f.After})
		p.w.note("froze", p.m.index, uint64(p.w.number(f.Origin)), uint64(f.After))
		p.w.say(p.m.index, "froze %s", f)
		if f.Origin == p.w.forked && p.m != p.w.sacrificed {
			p.w.forked = chain.Origin{}
		}
		p.m.shown[f.Origin] = min(p.m.shown[f.Origin], f.After)
		if f.Origin == p.origin {
			p.callOperator()
		}
	}
	c.Tell(toEngine{p})
}

// took records that an update is applied.
func (p *process) took(u *chain.Update) {
	p.arrived = append(p.arrived, u)
	p.m.shown[u.ID.Origin] = u.ID.Seq
	p.w.record(Took{Moment: p.moment(), Update: updateOf(u)})
	p.w.note("took", p.m.index, uint64(p.w.number(u.ID.Origin)), uint64(u.ID.Seq))
}

// toEngine tells the engine, as gossip.Exchange does.
type toEngine struct{ p *process }

var _ core.Mesh = toEngine{}

func (t toEngine) Frozen(ends []chain.ID) { t.p.engine.Frozen(t.p.at(), ends) }

func (t toEngine) Local(runs []*chain.Run, ackWanted bool) {
	t.p.engine.Local(t.p.at(), gossipRuns(runs), ackWanted)
}

func (t toEngine) Committed(received []chain.Head, root chain.Hash) {
	t.p.engine.Committed(t.p.at(), received, root)
}

func (t toEngine) Applied(heads []chain.Head) {
	t.p.engine.Applied(t.p.at(), heads)
	if t.p.w.has(DurableBeforeSync) {
		t.p.engine.Durable(t.p.at(), heads)
	}
}

func (t toEngine) Durable(heads []chain.Head) { t.p.engine.Durable(t.p.at(), heads) }

// number is an origin as a number that is the same in each run.
func (w *world) number(o chain.Origin) int {
	return int(o[0])<<16 | int(o[1])<<8 | int(o[2])
}

// updateOf is an update as the history has it.
func updateOf(u *chain.Update) Update {
	out := Update{
		ID: u.ID, Hash: u.Hash, HLC: u.HLC, Subject: u.Subject, Draft: draftOf(u), Deps: slices.Clone(u.Deps),
	}
	if u.Kind == chain.KindStatus {
		out.Delta = string(u.Delta)
		out.Cause, out.Hook, out.Depth = u.Cause, u.Hook, u.Depth
	}
	return out
}
