package core

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// Writer applies batches to the ledger and makes them durable, then known, in
// that order. It is what the node's one writer loop does: the loop gathers
// what waits and calls Process, then Upkeep, and waits no longer than Idle.
type Writer struct {
	conf WriterConfig

	dirty      bool                        // committed, but not synced
	applied    map[chain.Origin]chain.Head // moved, and not synced
	unsynced   time.Time                   // when the first such commit was
	unmarked   bool                        // heads moved since the note was written
	marked     time.Time
	markEvery  time.Duration // how often the note is written, by what it took last
	share      share
	keys       keyClock
	began      time.Time // this writer
	batchBegan time.Time // what the next commit holds; zero if it is not to be measured
	rushed     bool      // a peer waits for the sync
	syncedAt   time.Time
	syncTook   time.Duration
	sweepAt    time.Time // the next sweep of decoded subjects, if any are kept
	failed     error
}

// WriterConfig is what a writer works on and whom it tells. All fields but Share
// are required.
type WriterConfig struct {
	Ledger  *chain.Ledger
	Archive *chain.Archive
	Store   chain.Store
	// Now times what is done; it may be any clock that never goes back. Wall is
	// the wall clock in Unix milliseconds, which may be set at any time.
	Now  func() time.Time
	Wall func() int64

	// MayPublish says why drafts are refused, nil if they are not.
	MayPublish func() error
	// TimeLimit is the latest time that is applied, 0 for none, both in Unix
	// milliseconds.
	TimeLimit func(now int64) int64
	// Stage adds records of the caller's to a batch with drafts.
	Stage func() error
	// Heard is told what each commit and each sync did, after it.
	Heard func(*Committed)
	// Share is how much of what peers sent a batch applies. Default: as much as
	// takes about as long as a commit.
	Share int
	// Measured is told what each commit wrote and how long it took.
	Measured func(writes *chain.Batch, synced bool, took time.Duration)
	// Failed is told, once, why nothing is written any more.
	Failed func(error)
}

// Batch is what one round of the writer works on.
type Batch struct {
	Drafts   []*chain.Prepared
	Arrivals [][]*chain.Run  // from peers, verified; each was handed over at once
	Freezes  []*chain.Freeze // from peers, verified
	Settles  []*Settlement   // of reactions
	Urgent   bool            // a peer or a reaction waits for what it sent to be durable
}

// own reports whether all of the batch is the node's own: drafts and reactions.
func (b *Batch) own() bool {
	return len(b.Drafts)+len(b.Settles) > 0 && len(b.Arrivals)+len(b.Freezes) == 0
}

// Answers are a batch's: one for each draft, for each run of each arrival, for
// each freeze, and for each settlement.
type Answers struct {
	Receipts []Receipt
	Outcomes [][]chain.Outcome
	Freezes  []chain.Outcome
	Settled  []Settled
}

// Receipt is the answer to a draft.
type Receipt struct {
	chain.Receipt
	Err error // it was refused
}

// Committed is what a commit or a sync did.
type Committed struct {
	// Effects are what was committed; empty after a sync alone.
	Effects *chain.Effects
	// Root is the sync root after it.
	Root chain.Hash
	// Durable are the applied heads that are synced by now and were not before.
	Durable []chain.Head
}

// Mesh is who is told: gossip.
type Mesh interface {
	Frozen(ends []chain.ID)
	Local(runs []*chain.Run, ackWanted bool)
	Committed(received []chain.Head, root chain.Hash)
	Applied(heads []chain.Head)
	Durable(heads []chain.Head)
}

// Tell tells the mesh what a commit did, in the order that it wants.
func (c *Committed) Tell(m Mesh) {
	if len(c.Effects.Frozen) > 0 {
		ends := make([]chain.ID, len(c.Effects.Frozen))
		for i, f := range c.Effects.Frozen {
			ends[i] = chain.ID{Origin: f.Origin, Seq: f.After}
		}
		m.Frozen(ends)
	}
	if len(c.Effects.Own) > 0 {
		m.Local(c.Effects.Own, false)
	}
	if n := len(c.Effects.Heads); n > 0 {
		received, applied := make([]chain.Head, n), make([]chain.Head, n)
		for i, h := range c.Effects.Heads {
			received[i], applied[i] = h.Received, h.Applied
		}
		m.Committed(received, c.Root)
		m.Applied(applied)
	}
	if len(c.Durable) > 0 {
		m.Durable(c.Durable)
	}
}

const (
	// A peer's update is durable here after syncEvery, unless a peer waits for that.
	// Each sync costs the disk a write, so the runs of a while share one.
	syncEvery = 50 * time.Millisecond
	rushShare = 1 // of the time at most 1/2 goes into syncs that peers wait for
	// Drafts wait for company for a part of what the sync took that their callers
	// waited for last.
	companyShare = 4
	companyMost  = 2 * time.Millisecond
	// The note of received heads is written every markLeast to markMost while
	// they move. What was lost of the log's end since is found by peers, or not.
	markLeast = 100 * time.Millisecond
	markMost  = 2 * time.Second
	markShare = 20 // of the time at most 1/20 goes into it, up to markMost
	// What nothing was written to between two sweeps is not kept decoded any more.
	sweepEvery = 30 * time.Second
)

// NewWriter returns the writer of a ledger that was just opened. Begin is to be
// called before anything else.
func NewWriter(c WriterConfig) *Writer {
	w := &Writer{conf: c, began: c.Now(), applied: map[chain.Origin]chain.Head{}}
	w.setShare()
	return w
}

// Begin commits what opening the ledger applied, which nothing held back any
// more. What the store held at the open is durable once it is synced again.
func (w *Writer) Begin() {
	for _, c := range w.conf.Archive.Chains() {
		if c.Applied.Seq > 0 {
			w.applied[c.Applied.Origin] = c.Applied
			w.dirty, w.unsynced = true, w.conf.Now()
		}
	}
	if err := w.commit(&Batch{}); err != nil {
		w.fail(err)
	}
}

// Process applies and commits a batch. With an error nothing of it is
// acknowledged, and nothing is written any more.
func (w *Writer) Process(b *Batch) (Answers, error) {
	if w.failed != nil {
		return Answers{}, w.failed
	}
	w.batchBegan = w.conf.Now()
	a, err := w.apply(b)
	if err == nil {
		err = w.commit(b)
	}
	if err != nil {
		return Answers{}, w.fail(err)
	}
	return a, nil
}

// Do runs f, between batches, and commits what it changed. An error of f ends
// the writing.
func (w *Writer) Do(f func() error) error {
	if w.failed != nil {
		return w.failed
	}
	w.now()
	err := f()
	if err == nil {
		err = w.commit(&Batch{})
	}
	if err != nil {
		return w.fail(err)
	}
	return nil
}

// apply takes the batch into the ledger. Its error ends the node's writing.
func (w *Writer) apply(b *Batch) (a Answers, err error) {
	now := w.now()
	if b.own() {
		// Who waits for a draft waits for nothing of the others' besides.
		w.conf.Ledger.SetBatch(0)
		defer w.setShare()
	}
	if err := w.conf.Ledger.SetLimit(w.conf.TimeLimit(now), now); err != nil {
		return a, err
	}
	for _, runs := range b.Arrivals {
		outcomes := make([]chain.Outcome, 0, len(runs))
		for _, r := range runs {
			out, err := w.conf.Ledger.Accept(r, now)
			if err != nil {
				return a, fmt.Errorf("accept run of %s from %d: %w", r.Origin, r.First, err)
			}
			outcomes = append(outcomes, out)
		}
		a.Outcomes = append(a.Outcomes, outcomes)
	}
	for _, f := range b.Freezes {
		out, err := w.conf.Ledger.AcceptFreeze(f, now)
		if err != nil {
			return a, fmt.Errorf("accept freeze of %s: %w", f.Origin, err)
		}
		a.Freezes = append(a.Freezes, out)
	}
	if len(b.Drafts) > 0 || drafts(b.Settles) {
		if err := w.conf.Stage(); err != nil {
			return a, err
		}
	}
	if len(b.Drafts) > 1 && w.conf.MayPublish() == nil {
		if err := w.conf.Ledger.ReadAhead(b.Drafts); err != nil {
			return a, fmt.Errorf("read the subjects of drafts: %w", err)
		}
	}
	for _, p := range b.Drafts {
		if err := w.conf.MayPublish(); err != nil {
			a.Receipts = append(a.Receipts, Receipt{Err: err})
			continue
		}
		r, err := w.conf.Ledger.Append(p, now)
		if err != nil && !refusal(err) {
			return a, fmt.Errorf("append to own chain: %w", err)
		}
		a.Receipts = append(a.Receipts, Receipt{r, err})
	}
	for _, s := range b.Settles {
		settled, err := w.settle(s, now)
		if err != nil {
			return a, err
		}
		a.Settled = append(a.Settled, settled)
	}
	return a, nil
}

// now is what the wall clock says. What keys grow old by is told to the ledger.
func (w *Writer) now() int64 {
	wall := w.conf.Wall()
	w.conf.Ledger.SetKeyTime(w.keys.read(w.conf.Now().Sub(w.began), wall))
	return wall
}

// refusal reports whether an error is about a draft, not about the ledger.
func refusal(err error) bool {
	var draft *chain.DraftError
	return errors.As(err, &draft) || errors.Is(err, chain.ErrFrozen) || errors.Is(err, chain.ErrRecovering)
}

// commit makes what the ledger did with a batch durable and then known, in that
// order.
func (w *Writer) commit(b *Batch) error {
	batchBegan := w.batchBegan
	w.batchBegan = time.Time{}
	writes, effects, err := w.conf.Ledger.FlushUnsealed(w.now())
	if err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if writes.Len() == 0 {
		return nil
	}
	began := w.conf.Now()
	if len(b.Drafts)+len(b.Settles) == 0 && !batchBegan.IsZero() {
		w.measure(effects.Cost, began.Sub(batchBegan))
	}
	w.rushed = w.rushed || b.Urgent
	// Nothing of the own chain may be seen by anyone before it is durable.
	sync := len(effects.Own) > 0 || len(b.Drafts) > 0 || b.Urgent && len(b.Settles) > 0 || w.rushed && w.rush(began) <= 0
	sealed := sealMeanwhile(effects)
	err = w.conf.Store.Commit(writes, sync)
	took := w.conf.Now().Sub(began)
	sealed()
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	w.conf.Measured(writes, sync, took)
	w.conf.Ledger.Reuse(writes)
	if !sync && !w.dirty {
		w.dirty, w.unsynced = true, w.conf.Now()
	}
	for _, h := range effects.Heads {
		if h.Applied.Seq > 0 {
			w.applied[h.Applied.Origin] = h.Applied
		} else {
			delete(w.applied, h.Applied.Origin)
		}
	}
	if len(effects.Heads) > 0 && !w.unmarked {
		w.unmarked, w.marked = true, w.conf.Now()
	}
	w.conf.Archive.Publish(w.conf.Ledger, effects)
	c := &Committed{Effects: effects, Root: w.conf.Ledger.SyncRoot()}
	if sync {
		c.Durable = w.synced(took)
	}
	w.conf.Heard(c)
	return nil
}

// sealMeanwhile has what was appended sealed, and returns how to wait for that.
func sealMeanwhile(e *chain.Effects) (wait func()) {
	if len(e.Own) == 0 {
		return func() {}
	}
	sealed := make(chan struct{})
	go func() {
		e.Seal()
		close(sealed)
	}()
	return func() { <-sealed }
}

// SyncSoon has what is not synced synced by the next Upkeep, for a peer waits for
// that, if those that peers waited for do not take half of the time as it is.
func (w *Writer) SyncSoon() { w.rushed = w.rushed || w.dirty }

// rush is how long a sync that a peer waits for is put off: peers may ask for
// one with all that they send, and each costs the disk a write.
func (w *Writer) rush(now time.Time) time.Duration {
	return rushShare*w.syncTook - now.Sub(w.syncedAt)
}

// Pending reports whether updates are received that nothing holds back, and that
// Upkeep is to apply.
func (w *Writer) Pending() bool { return w.failed == nil && w.conf.Ledger.Pending() }

// goOn applies the next part of what is pending.
func (w *Writer) goOn() error {
	w.batchBegan = w.conf.Now()
	if err := w.conf.Ledger.Continue(w.now()); err != nil {
		return fmt.Errorf("apply what waited: %w", err)
	}
	return w.commit(&Batch{})
}

// synced notes that all that was committed is durable after a sync that took so
// long, and returns the applied heads that became so.
func (w *Writer) synced(took time.Duration) []chain.Head {
	w.dirty, w.rushed = false, false
	w.syncedAt, w.syncTook = w.conf.Now(), took
	heads := slices.SortedFunc(maps.Values(w.applied), func(a, b chain.Head) int { return a.Origin.Compare(b.Origin) })
	clear(w.applied)
	return heads
}

// Company is how long drafts may wait for others, which then share their sync.
func (w *Writer) Company() time.Duration { return min(w.syncTook/companyShare, companyMost) }

// Idle is how long Upkeep may wait.
func (w *Writer) Idle() time.Duration {
	wait := time.Hour
	if w.failed != nil {
		return wait
	}
	if w.conf.Ledger.Pending() {
		return 0
	}
	if w.dirty {
		wait = min(wait, w.syncDue(w.conf.Now()))
	}
	if w.unmarked {
		wait = min(wait, max(0, w.markEvery-w.conf.Now().Sub(w.marked)))
	}
	if w.conf.Ledger.KeepsStates() {
		wait = min(wait, max(0, w.sweepAt.Sub(w.conf.Now())))
	}
	return wait
}

// syncDue is how long until the next sync of what peers sent.
func (w *Writer) syncDue(now time.Time) time.Duration {
	due := syncEvery - now.Sub(w.unsynced)
	if w.rushed {
		due = min(due, w.rush(now))
	}
	return max(due, 0)
}

// Upkeep applies a part of what is pending, syncs what peers sent and writes the
// note, where they are due.
func (w *Writer) Upkeep() {
	if w.failed != nil {
		return
	}
	if w.conf.Ledger.Pending() {
		if err := w.goOn(); err != nil {
			w.fail(err)
			return
		}
	}
	now := w.conf.Now()
	if w.dirty && w.syncDue(now) == 0 {
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
	if !now.Before(w.sweepAt) {
		w.sweepAt = now.Add(sweepEvery)
		w.conf.Ledger.SweepStates()
	}
}

// Finish leaves everything synced and noted.
func (w *Writer) Finish() {
	if w.failed == nil && (w.dirty || w.unmarked) {
		if err := w.mark(); err != nil {
			w.fail(err)
		}
	}
}

func (w *Writer) sync() error {
	began := w.conf.Now()
	if err := w.conf.Store.Sync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	took := w.conf.Now().Sub(began)
	w.conf.Heard(&Committed{Effects: &chain.Effects{}, Root: w.conf.Ledger.SyncRoot(), Durable: w.synced(took)})
	return nil
}

// mark writes the note of received heads, which must all be durable.
func (w *Writer) mark() error {
	if w.dirty {
		if err := w.sync(); err != nil {
			return err
		}
	}
	began := w.conf.Now()
	if err := w.conf.Store.Mark(w.conf.Archive.HeadsNote()); err != nil {
		return fmt.Errorf("note heads: %w", err)
	}
	w.markEvery = min(max(markShare*w.conf.Now().Sub(began), markLeast), markMost)
	w.unmarked = false
	return nil
}

// fail ends the node's writing. Reads go on with what is published.
func (w *Writer) fail(err error) error {
	if w.failed == nil {
		w.failed = err
		if !errors.Is(err, chain.ErrStoreFailed) {
			w.failed = fmt.Errorf("%w: %w", chain.ErrStoreFailed, err)
		}
		w.conf.Archive.Fail(w.failed)
		w.conf.Failed(w.failed)
	}
	return w.failed
}
