package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// writer is the one loop that owns the ledger. It takes what waits (drafts and
// peers' runs), applies it as one batch, commits it as one store batch, and
// only then shows it to readers, answers callers and tells the mesh. While one
// batch is being committed the next one gathers, so batches grow with load and
// an idle node commits at once.
type writer struct {
	log     *slog.Logger
	ledger  *chain.Ledger
	archive *chain.Archive
	store   chain.Store
	metrics *metrics
	now     func() time.Time

	outbox chan *Ack
	// appendable is closed once the own chain may be appended to. Until then
	// drafts stay in the outbox.
	appendable <-chan struct{}
	inbox      chan *arrival
	calls      chan func() // run by the loop between batches
	quit       chan struct{}
	done       chan struct{}

	// gate says why drafts are refused, nil if they are not.
	gate func() error
	// limit is the latest time that is applied, in Unix milliseconds; 0 for none.
	limit func(now int64) int64
	// stage adds records of the node's own to a batch with drafts.
	stage func() error
	// urgent is set while a peer waits for what it sent to be durable.
	urgent atomic.Bool
	// heard is told what a batch did, after its commit: the mesh.
	heard func(*committed)

	closing sync.Once

	// Of the loop alone:
	open     bool                        // appendable is closed
	dirty    bool                        // committed, but not synced
	applied  map[chain.Origin]chain.Head // moved, and not synced
	unsynced time.Time                   // when the first such commit was
	unmarked bool                        // heads moved since the note was written
	marked   time.Time
	// How often peers' runs are synced and the note is written, by what it took last.
	syncEvery, markEvery time.Duration
	failed               error
}

// arrival are runs from a peer, verified, on their way into the ledger.
type arrival struct {
	runs  []*chain.Run
	size  int
	reply func([]chain.Outcome, error)
}

// committed is what a commit or a sync did, as the mesh hears of it.
type committed struct {
	effects *chain.Effects
	// root is the sync root, if effects moved heads.
	root chain.Hash
	// durable are the applied heads that are synced by now and were not before.
	durable []chain.Head
}

const (
	// maxBatchDrafts and maxBatchBytes bound a batch, and so what it takes in
	// memory and how long others wait for its commit.
	maxBatchDrafts = 4096
	maxBatchBytes  = 2 << 20
	// A peer's update is durable here after syncLeast to syncMost. Each sync
	// costs the disk a write, so the runs of a while share one: the slower the
	// disk, the longer.
	syncLeast = 20 * time.Millisecond
	syncMost  = 50 * time.Millisecond
	syncShare = 10 // of the time at most 1/10 goes into these syncs, up to syncMost
	// The note of received heads is written every markLeast to markMost while
	// they move. What was lost of the log's end since is found by peers, or not.
	markLeast = 100 * time.Millisecond
	markMost  = 2 * time.Second
	markShare = 20
)

// pace is how long to wait before a step that took so long is done again.
func pace(took time.Duration, share int, least, most time.Duration) time.Duration {
	return min(max(took*time.Duration(share), least), most)
}

func (w *writer) run() {
	defer close(w.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	// What the store held at the open is durable once it is synced again.
	for _, c := range w.archive.Chains() {
		if c.Applied.Seq > 0 {
			w.applied[c.Applied.Origin] = c.Applied
			w.dirty, w.unsynced = true, w.now()
		}
	}
	// What opening the ledger applied, which nothing held back any more.
	if err := w.commit(&batch{}); err != nil {
		w.fail(err)
	}
	for {
		timer.Reset(w.idle())
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
			b.drafts, b.size = append(b.drafts, p), p.prepared.Size()
		case a := <-w.inbox:
			b.arrivals, b.size = append(b.arrivals, a), a.size
		case <-timer.C:
			w.upkeep()
			continue
		}
		w.gather(&b)
		w.process(&b)
		w.upkeep()
	}
}

// idle is how long the loop may wait before it has to sync or to write its
// note.
func (w *writer) idle() time.Duration {
	wait := time.Hour
	if w.dirty {
		wait = min(wait, max(0, w.syncEvery-w.now().Sub(w.unsynced)))
	}
	if w.unmarked {
		wait = min(wait, max(0, w.markEvery-w.now().Sub(w.marked)))
	}
	return wait
}

// batch is what one round of the loop works on.
type batch struct {
	drafts   []*Ack
	arrivals []*arrival
	size     int
	receipts []receipt
	outcomes [][]chain.Outcome
}

type receipt struct {
	receipt chain.Receipt
	err     error
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
			b.drafts, b.size = append(b.drafts, p), b.size+p.prepared.Size()
			continue
		default:
		}
		select {
		case a := <-w.inbox:
			b.arrivals, b.size = append(b.arrivals, a), b.size+a.size
			continue
		default:
		}
		return
	}
}

// process applies and commits a batch, and answers for it.
func (w *writer) process(b *batch) {
	err := w.failed
	if err == nil {
		if err = w.apply(b); err == nil {
			err = w.commit(b)
		}
		if err != nil {
			err = w.fail(err)
		}
	}
	for i, p := range b.drafts {
		if err != nil {
			p.resolve(chain.Receipt{}, err)
		} else {
			p.resolve(b.receipts[i].receipt, b.receipts[i].err)
		}
	}
	for i, a := range b.arrivals {
		if err != nil {
			a.reply(nil, err)
		} else {
			a.reply(b.outcomes[i], nil)
		}
	}
}

// apply takes the batch into the ledger. Its error ends the node's writing.
func (w *writer) apply(b *batch) error {
	now := w.now().UnixMilli()
	if err := w.ledger.SetLimit(w.limit(now), now); err != nil {
		return err
	}
	for _, a := range b.arrivals {
		outcomes := make([]chain.Outcome, 0, len(a.runs))
		for _, r := range a.runs {
			out, err := w.ledger.Accept(r, now)
			if err != nil {
				return fmt.Errorf("accept run of %s from %d: %w", r.Origin, r.First, err)
			}
			outcomes = append(outcomes, out)
		}
		b.outcomes = append(b.outcomes, outcomes)
	}
	if len(b.drafts) > 0 {
		if err := w.stage(); err != nil {
			return err
		}
	}
	for _, p := range b.drafts {
		if err := w.gate(); err != nil {
			b.receipts = append(b.receipts, receipt{err: err})
			continue
		}
		r, err := w.ledger.Append(p.prepared, now)
		if err != nil && !refusal(err) {
			return fmt.Errorf("append to own chain: %w", err)
		}
		b.receipts = append(b.receipts, receipt{r, err})
	}
	return nil
}

// refusal reports whether an error is about a draft, not about the ledger.
func refusal(err error) bool {
	var draft *chain.DraftError
	return errors.As(err, &draft) || errors.Is(err, chain.ErrFrozen) || errors.Is(err, chain.ErrRecovering)
}

// commit makes what the ledger did durable and then known, in that order.
func (w *writer) commit(b *batch) error {
	if w.failed != nil {
		return w.failed
	}
	writes, effects, err := w.ledger.Flush(w.now().UnixMilli())
	if err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if writes.Len() == 0 {
		return nil
	}
	// Nothing of the own chain may be seen by anyone before it is durable.
	sync := len(effects.Own) > 0 || len(b.drafts) > 0 || w.urgent.Swap(false)
	began := w.now()
	if err := w.store.Commit(writes, sync); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	w.metrics.committed(w.now().Sub(began), writes, sync)
	w.metrics.updates(effects, w.ledger.Origin(), w.now())
	if !sync && !w.dirty {
		w.dirty, w.unsynced = true, w.now()
	}
	for _, h := range effects.Heads {
		if h.Applied.Seq > 0 {
			w.applied[h.Applied.Origin] = h.Applied
		}
	}
	if len(effects.Heads) > 0 && !w.unmarked {
		w.unmarked, w.marked = true, w.now()
	}
	for _, f := range effects.Frozen {
		w.log.Error("chain frozen: nothing more of it is accepted", "origin", f.Origin, "after", f.After,
			"reason", f.Reason.String(), "detail", f.Detail)
	}
	w.archive.Publish(w.ledger, effects)
	c := &committed{effects: effects, root: w.ledger.SyncRoot()}
	if sync {
		c.durable = w.synced()
	}
	w.heard(c)
	if !w.ledger.Pending() {
		return nil
	}
	if err := w.ledger.Continue(w.now().UnixMilli()); err != nil {
		return fmt.Errorf("apply what waited: %w", err)
	}
	return w.commit(&batch{})
}

// synced notes that all that was committed is durable, and returns the applied
// heads that became so.
func (w *writer) synced() []chain.Head {
	w.dirty = false
	heads := slices.SortedFunc(maps.Values(w.applied), func(a, b chain.Head) int { return a.Origin.Compare(b.Origin) })
	clear(w.applied)
	return heads
}

// upkeep syncs what peers sent and writes the note, where they are due.
func (w *writer) upkeep() {
	if w.failed != nil {
		return
	}
	now := w.now()
	if w.dirty && now.Sub(w.unsynced) >= w.syncEvery {
		if err := w.sync(); err != nil {
			w.fail(err)
			return
		}
	}
	if w.unmarked && now.Sub(w.marked) >= w.markEvery {
		if err := w.mark(); err != nil {
			w.fail(err)
		}
	}
}

func (w *writer) sync() error {
	began := w.now()
	if err := w.store.Sync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	w.syncEvery = pace(w.now().Sub(began), syncShare, syncLeast, syncMost)
	w.heard(&committed{effects: &chain.Effects{}, durable: w.synced()})
	return nil
}

// mark writes the note of received heads, which must all be durable.
func (w *writer) mark() error {
	if w.dirty {
		if err := w.sync(); err != nil {
			return err
		}
	}
	began := w.now()
	if err := w.store.Mark(w.archive.HeadsNote()); err != nil {
		return fmt.Errorf("note heads: %w", err)
	}
	w.markEvery = pace(w.now().Sub(began), markShare, markLeast, markMost)
	w.unmarked = false
	return nil
}

// fail ends the node's writing. Reads go on with what is published.
func (w *writer) fail(err error) error {
	if w.failed == nil {
		w.failed = err
		if !errors.Is(err, chain.ErrStoreFailed) {
			w.failed = fmt.Errorf("%w: %w", chain.ErrStoreFailed, err)
		}
		w.log.Error("store failed: this node takes no more updates; look at the disk, then restart it", "err", err)
		w.archive.Fail(w.failed)
		w.metrics.failed.Set(1)
	}
	return w.failed
}

// do runs f in the loop, between batches, and commits what it changed.
func (w *writer) do(ctx context.Context, f func() error) error {
	ran := make(chan error, 1)
	call := func() {
		err := w.failed
		if err == nil {
			if err = f(); err == nil {
				err = w.commit(&batch{})
			}
			if err != nil {
				err = w.fail(err)
			}
		}
		ran <- err
	}
	select {
	case w.calls <- call:
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
		if len(b.drafts) == 0 && len(b.arrivals) == 0 {
			break
		}
		w.process(&b)
	}
	if w.failed == nil && (w.dirty || w.unmarked) {
		if err := w.mark(); err != nil {
			w.fail(err)
		}
	}
	for !w.open && len(w.outbox) > 0 {
		(<-w.outbox).resolve(chain.Receipt{}, chain.ErrClosed)
	}
	w.archive.Fail(chain.ErrClosed)
}
