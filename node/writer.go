package node

import (
	"context"
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
	// drafts stay in the outbox.
	appendable <-chan struct{}
	inbox      chan *arrival
	settles    chan *settling // of reactions
	calls      chan func()    // run by the loop between batches
	quit       chan struct{}
	done       chan struct{}

	closing sync.Once
	open    bool // appendable is closed; of the loop alone
}

// arrival are runs from a peer, or a freeze, verified, on their way into the
// ledger.
type arrival struct {
	runs   []*chain.Run
	freeze *chain.Freeze // instead of runs
	size   int
	urgent bool // the peer waits until they are durable
	reply  func([]chain.Outcome, error)
}

const (
	// maxBatchDrafts and maxBatchBytes bound a batch, and so what it takes in
	// memory and how long others wait for its commit.
	maxBatchDrafts = 4096
	maxBatchBytes  = 2 << 20
	// maxBatchArrived bounds what peers have of a batch: an own draft waits for
	// the batch before its own, and peers can fill every one.
	maxBatchArrived = 512 << 10
	// arrivalOverhead is what an update takes besides its bytes, as for a draft:
	// to apply a batch of tiny ones takes as long as so many larger ones would.
	arrivalOverhead = 256
)

// newWriter returns the node's writer, which startWriter starts.
func (n *Node) newWriter(ledger *chain.Ledger) *writer {
	w := &writer{
		archive: n.archive,
		outbox:  n.outbox.queue, appendable: n.state.appendable, inbox: make(chan *arrival, 64),
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
		n.log.Error("chain frozen: nothing of it counts after this seq; "+freezeAdvice(f, n.info.Origin), "origin", f.Origin,
			"authority", n.archive.Authority(f.Origin), "after", f.After, "reason", f.Reason.String(), "detail", f.Detail, "not_logged", over)
	}
	if n.mesh != nil {
		c.Tell(n.mesh.exchange)
	}
}

// freezeAdvice says what is to be done about a freeze.
func freezeAdvice(f *chain.Freeze, self chain.Origin) string {
	switch {
	case f.Origin == self:
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
		timer.Reset(w.core.Idle())
		var b batch
		outbox, appendable := w.outbox, w.appendable
		if w.open {
			appendable = nil
		} else {
			outbox = nil
		}
		select {
		case <-w.quit:
			w.drain()
			return
		case <-appendable:
			w.open = true
			continue
		case f := <-w.calls:
			f()
			continue
		case p := <-outbox:
			b.draft(p)
		case a := <-w.inbox:
			b.arrive(a)
		case s := <-w.settles:
			b.settle(s)
		case <-timer.C:
			w.core.Upkeep()
			continue
		}
		w.gather(&b)
		w.process(&b)
		w.core.Upkeep()
	}
}

// batch is what one round of the loop works on.
type batch struct {
	core.Batch
	drafts   []*Ack
	arrivals []*arrival
	freezes  []*arrival
	settles  []*settling
	size     int
	arrived  int // of size, what came from peers
}

func (b *batch) draft(p *Ack) {
	b.drafts, b.Drafts = append(b.drafts, p), append(b.Drafts, p.prepared)
	b.size += p.prepared.Size()
}

func (b *batch) arrive(a *arrival) {
	b.size, b.arrived = b.size+a.size, b.arrived+a.size
	if a.freeze != nil {
		b.freezes, b.Freezes = append(b.freezes, a), append(b.Freezes, a.freeze)
		return
	}
	b.arrivals, b.Arrivals = append(b.arrivals, a), append(b.Arrivals, a.runs)
	b.Urgent = b.Urgent || a.urgent
}

// gather takes what waits besides, without waiting for more.
func (w *writer) gather(b *batch) {
	outbox := w.outbox
	if !w.open {
		outbox = nil
	}
	for len(b.drafts) < maxBatchDrafts && b.size < maxBatchBytes {
		select {
		case p := <-outbox:
			b.draft(p)
			continue
		default:
		}
		inbox := w.inbox
		if b.arrived >= maxBatchArrived {
			inbox = nil
		}
		select {
		case a := <-inbox:
			b.arrive(a)
			continue
		case s := <-w.settles:
			b.settle(s)
			continue
		default:
		}
		return
	}
}

// process has a batch applied and committed, and answers for it.
func (w *writer) process(b *batch) {
	answers, err := w.core.Process(&b.Batch)
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
	w.turnAway()
}

// refuse lets in no more runs, and tells the loop to end if it runs.
func (w *writer) refuse() { w.closing.Do(func() { close(w.quit) }) }

// turnAway answers the runs that came too late, once the loop has ended.
func (w *writer) turnAway() {
	for {
		select {
		case a := <-w.inbox:
			a.reply(nil, chain.ErrClosed)
		default:
			return
		}
	}
}

// drain commits what waits, leaves everything synced and noted, and refuses
// what still comes.
func (w *writer) drain() {
	for {
		var b batch
		w.gather(&b)
		if len(b.drafts)+len(b.arrivals)+len(b.freezes)+len(b.settles) == 0 {
			break
		}
		w.process(&b)
	}
	w.core.Finish()
	for !w.open && len(w.outbox) > 0 {
		(<-w.outbox).resolve(chain.Receipt{}, chain.ErrClosed)
	}
	w.archive.Fail(chain.ErrClosed)
}
