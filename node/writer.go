package node

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/core"
)

// writer is the one loop that owns the ledger. It gathers what waits (drafts,
// peers' runs, answers of reactions) and has the core apply it as one batch, commit that as one
// store batch, and only then show it to readers and tell the mesh; then it
// answers callers. While one batch is being committed the next one gathers, so
// batches grow with load and an idle node commits at once.
type writer struct {
	core    *core.Writer
	archive *chain.Archive

	outbox chan *Ack
	// appendable is closed once the own chain may be appended to. Until then
	// drafts stay in the outbox. It is nil from then on.
	appendable <-chan struct{}
	inbox      *inbox
	settles    chan *settling // of reactions
	calls      chan func()    // run by the loop between batches
	quit       chan struct{}
	done       chan struct{}

	closing sync.Once
	// Of the loop alone:
	open    bool // appendable is closed
	credit  int  // what may still be taken of peers, in chain.Update.Cost
	company company
	drafted time.Time // when drafts were last committed
}

// company is what a batch of drafts waits for, once there is one: those who were
// answered together often come back together, and may share the next sync with
// whoever waits already. Without it callers fall into groups that take turns, and
// each waits for a sync of every group. Whoever publishes alone waits for nobody.
type company struct {
	drafts int       // with so many it is enough
	until  time.Time // so long at most
}

const (
	// maxBatchDrafts and maxBatchBytes bound a batch of drafts, and so what it
	// takes in memory and how long others wait for its commit.
	maxBatchDrafts = 4096
	maxBatchBytes  = 2 << 20
	// companyMost is how many drafts share a sync well enough.
	companyMost = 256
	// restAfter is for how long after a draft the writer rests between what peers
	// sent: restTimes as long as that took, up to restMost.
	restAfter = 100 * time.Millisecond
	restTimes = 3
	restMost  = 30 * time.Millisecond
	// drainMost is for how long the writer takes in what peers sent once it ends.
	drainMost = time.Second
)

// newWriter returns the node's writer, which startWriter starts.
func (n *Node) newWriter(ledger *chain.Ledger) *writer {
	w := &writer{
		archive: n.archive,
		outbox:  n.outbox.queue, appendable: n.state.appendable, inbox: newInbox(),
		settles: make(chan *settling), calls: make(chan func()),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	w.core = core.NewWriter(core.WriterConfig{
		Ledger: ledger, Archive: n.archive, Store: n.store,
		Now: n.now, Wall: func() int64 { return n.clock().UnixMilli() },
		MayPublish: n.mayPublish, TimeLimit: n.timeLimit, Stage: n.stageKnown, Heard: n.heard,
		Measured: n.metrics.committed,
		Failed: func(err error) {
			n.log.Error("store failed: this node takes no more updates; look at the disk, then restart it", "err", err)
			n.metrics.failed.Set(1)
		},
	})
	return w
}

// heard passes on what a commit or a sync did. It is the writer's.
func (n *Node) heard(c *core.Committed) {
	n.metrics.updates(c.Effects, n.info.Origin, n.clock())
	for _, f := range c.Effects.Frozen {
		ok, over := n.freezesLogged.allow(n.now())
		if !ok && f.Origin != n.info.Origin {
			continue
		}
		n.log.Error("chain frozen: nothing of it counts after this seq; "+n.freezeAdvice(f), "origin", f.Origin,
			"authority", n.archive.Authority(f.Origin), "after", f.After, "reason", f.Reason.String(), "detail", f.Detail, "not_logged", over)
	}
	if n.mesh != nil {
		c.Tell(n.mesh.exchange)
	}
}

// freezeAdvice says what is to be done about a freeze.
func (n *Node) freezeAdvice(f *chain.Freeze) string {
	successor := func(c chain.ChainInfo) bool { return c.Genesis.Predecessor == f.Origin }
	switch {
	case slices.Contains(n.formerOrigins(), f.Origin):
		return "it is one that this node has left for a new origin, under which it publishes again what it had acknowledged beyond"
	case f.Origin != n.info.Origin && slices.ContainsFunc(n.archive.Chains(), successor):
		return "its node goes on under a new origin already; see to it that no copy of its data directory runs elsewhere"
	case f.Origin == n.info.Origin:
		return "it is this node's own: see to it that no copy of the data directory runs elsewhere, then restart this node; " +
			"it goes on under a new origin and publishes again what it had acknowledged beyond"
	case f.Reason == chain.FreezeFork:
		return "two nodes published under one key, or one went on from an old copy of its data directory: stop the copy, and restart the node; " +
			"it goes on under a new origin"
	case f.Reason == chain.FreezeInvalid:
		return "its node signed what no node accepts: look at that node's build and disk, then restart it; it goes on under a new origin"
	}
	return "its own node ended it"
}

func (w *writer) run() {
	defer close(w.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	w.core.Begin()
	for {
		// Drafts and what peers sent go into batches of their own, in turns: so a
		// draft waits for one batch of the others' at most, which is bounded by
		// the time that it takes, or for what Upkeep does of each kind once.
		busy := w.drafts(batch{})
		began := time.Now()
		busy = w.arrivals() || busy
		took := time.Since(began)
		busy = w.drafts(batch{}) || busy
		began = time.Now()
		if w.inbox.hurries() {
			w.core.SyncSoon()
		}
		w.core.Upkeep()
		took += time.Since(began)
		if w.core.Pending() || busy {
			if w.core.Pending() || w.inbox.waits() {
				w.rest(took)
			}
			select {
			case <-w.quit:
				w.drain()
				return
			case <-w.appendable:
				w.mayAppend()
			case f := <-w.calls:
				f()
			default:
			}
			continue
		}
		w.credit = w.core.Share()
		timer.Reset(w.core.Idle())
		select {
		case <-w.quit:
			w.drain()
			return
		case <-w.appendable:
			w.mayAppend()
		case f := <-w.calls:
			f()
		case p := <-w.appends():
			w.drafts(draftFirst(p))
		case s := <-w.settles:
			w.drafts(settleFirst(s))
		case <-w.inbox.some:
		case <-timer.C:
		}
	}
}

func (w *writer) mayAppend() { w.open, w.appendable = true, nil }

// appends is where drafts come from: nothing does until the own chain may be appended to.
func (w *writer) appends() <-chan *Ack {
	if !w.open {
		return nil
	}
	return w.outbox
}

// batch is what one round of the loop works on.
type batch struct {
	core.Batch
	drafts   []*Ack
	arrivals []*arrival
	freezes  []*arrival
	settles  []*settling
	size     int // of the drafts
}

func (b *batch) draft(p *Ack) {
	b.drafts, b.Drafts = append(b.drafts, p), append(b.Drafts, p.prepared)
	b.size += p.prepared.Size()
}

// draftFirst and settleFirst are batches that begin with what ended a wait.
func draftFirst(p *Ack) (b batch)       { b.draft(p); return b }
func settleFirst(s *settling) (b batch) { b.settle(s); return b }

func (b *batch) arrive(a *arrival) {
	if a.freeze != nil {
		b.freezes, b.Freezes = append(b.freezes, a), append(b.Freezes, a.freeze)
		return
	}
	b.arrivals, b.Arrivals = append(b.arrivals, a), append(b.Arrivals, a.runs)
	b.Urgent = b.Urgent || a.urgent
}

// drafts works on the drafts and reactions that a batch begins with and those that
// wait besides. It reports whether there were any.
func (w *writer) drafts(b batch) bool {
	w.gather(&b, nil)
	if len(b.drafts)+len(b.settles) == 0 {
		return false
	}
	if wait := time.Until(w.company.until); len(b.drafts) > 0 && len(b.drafts) < w.company.drafts && wait > 0 {
		timer := time.NewTimer(wait)
		w.gather(&b, timer.C)
		timer.Stop()
	}
	w.process(&b)
	w.drafted = time.Now()
	runtime.Gosched() // to those who were answered
	return true
}

// rest leaves the processor to others for longer than the last of what peers sent took,
// but for drafts, where some came lately and more of the peers' waits: readers verify
// no more than is taken, so whoever publishes finds it free most of the time. The next
// draft ends the rest, so while many publish at once peers have every second turn.
func (w *writer) rest(took time.Duration) {
	if w.drafted.IsZero() || time.Since(w.drafted) > restAfter {
		return
	}
	timer := time.NewTimer(min(restTimes*took, restMost))
	defer timer.Stop()
	select {
	case p := <-w.appends():
		w.drafts(draftFirst(p))
	case s := <-w.settles:
		w.drafts(settleFirst(s))
	case <-w.quit:
	case <-timer.C:
	}
}

// gather adds the drafts and reactions that wait to a batch; with an end it waits
// until then for company.
func (w *writer) gather(b *batch, end <-chan time.Time) {
	outbox := w.appends()
	for len(b.drafts) < maxBatchDrafts && b.size < maxBatchBytes {
		select {
		case p := <-outbox:
			b.draft(p)
			continue
		case s := <-w.settles:
			b.settle(s)
			continue
		default:
		}
		if end == nil || len(b.drafts) >= w.company.drafts {
			return
		}
		select {
		case p := <-outbox:
			b.draft(p)
		case s := <-w.settles:
			b.settle(s)
		case <-end:
			return
		case <-w.quit:
			return
		}
	}
}

// arrivals works on a share of what peers sent. What is taken beyond it, because
// a run is accepted as a whole, is made up for by taking nothing for a while, in
// which Upkeep applies it. It reports whether there was any.
func (w *writer) arrivals() bool {
	var b batch
	share := w.core.Share()
	for w.credit = min(w.credit+share, share); w.credit > 0; {
		a := w.inbox.take()
		if a == nil {
			break
		}
		w.credit -= a.cost
		b.arrive(a)
	}
	if len(b.arrivals)+len(b.freezes) == 0 {
		return w.credit <= 0
	}
	w.process(&b)
	return true
}

// process has a batch applied and committed, and answers for it.
func (w *writer) process(b *batch) {
	answers, err := w.core.Process(&b.Batch)
	if n := len(b.drafts); n > 0 {
		// Counted before anybody is answered, and can be back.
		w.company = company{min(n+len(w.outbox), companyMost), time.Now().Add(w.core.Company())}
	}
	for i, p := range b.drafts {
		if err != nil {
			p.resolve(chain.Receipt{}, err)
		} else {
			p.resolve(answers.Receipts[i].Receipt, answers.Receipts[i].Err)
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
		if s.err = err; err == nil {
			s.settled = answers.Settled[i]
		}
		close(s.done)
	}
}

// do runs f in the loop, between batches, and commits what it changed.
func (w *writer) do(ctx context.Context, f func() error) error {
	ran := make(chan error, 1)
	select {
	case w.calls <- func() { ran <- w.core.Do(f) }:
	case <-w.done:
		return chain.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-ran:
		return err
	case <-w.done:
		return chain.ErrClosed
	}
}

// stop ends the loop after what already waits, and waits for it.
func (w *writer) stop() {
	w.refuse()
	<-w.done
}

// refuse lets in no more runs, and tells the loop to end if it runs.
func (w *writer) refuse() {
	w.inbox.close()
	w.closing.Do(func() { close(w.quit) })
}

// drain commits what waits, leaves everything synced and noted, and refuses
// what still comes. Of what peers sent it takes only what it comes to in a moment:
// they have the rest, and a flood of it must not keep the node from ending.
func (w *writer) drain() {
	select {
	case <-w.appendable: // the loop may not have come to it
		w.mayAppend()
	default:
	}
	for w.drafts(batch{}) {
	}
	for began := time.Now(); time.Since(began) < drainMost && w.arrivals(); {
	}
	for a := w.inbox.take(); a != nil; a = w.inbox.take() {
		a.reply(nil, chain.ErrClosed)
	}
	w.core.Finish()
	for !w.open && len(w.outbox) > 0 {
		(<-w.outbox).resolve(chain.Receipt{}, chain.ErrClosed)
	}
	w.archive.Fail(chain.ErrClosed)
}
