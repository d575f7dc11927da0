package chain

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
)

// ErrNotFound is wrapped when what is asked for is not here.
var ErrNotFound = errors.New("not found")

// Archive is the reading side of a ledger, safe for concurrent use. It shows
// what the writer has published, which is what was committed before: never an
// update of the own chain that is not durable, and never a view that is ahead
// of the frontier.
type Archive struct {
	store Store

	versions versions

	mu      sync.RWMutex // protects what follows
	chains  map[Origin]*ChainInfo
	frozen  map[Origin]*Freeze // also of chains of which nothing is here
	told    Frontier           // a snapshot of where frozen ends them, that nobody writes to
	applied Frontier           // a snapshot that nobody writes to, nil if it has to be made
	version uint64             // of applied and told
	watches watches
	recent  *recent
	summary Summary
	failed  error
}

// ChainInfo is what is published of one chain.
type ChainInfo struct {
	Genesis  *Genesis
	Received Head
	Applied  Head
	Frozen   *Freeze // nil if it goes on

	loose *Seal // of an end that may have none in the log
}

// Summary is the published state of a ledger as a whole.
type Summary struct {
	Root     Hash // over applied heads and freezes
	SyncRoot Hash // over received heads
	Clock    HLC  // highest time applied
	Subjects uint64
	Updates  uint64 // received status changes
	Held     []Held
	// Pending says that updates are received, wait for nothing, and are not
	// applied yet: see [Ledger.Pending]. Once the archive has failed, what was
	// received may be, and is applied no more.
	Pending bool
}

// NewArchive returns the archive of a ledger that was just opened, with all
// that it holds published. Its owner publishes each batch from then on.
func NewArchive(l *Ledger) *Archive {
	a := &Archive{
		store: l.store, chains: map[Origin]*ChainInfo{}, frozen: map[Origin]*Freeze{}, told: Frontier{},
		watches: newWatches(), recent: newRecent(),
	}
	for o, c := range l.chains {
		at := heads{c.tail.Head, c.applied}
		if c.dirty {
			at = c.was // what opening applied is not committed yet
		}
		if at.received.Seq > 0 {
			a.chains[o] = &ChainInfo{Genesis: c.tail.Genesis, Received: at.received, Applied: at.applied, Frozen: c.frozen}
			a.summary.Updates += uint64(at.received.Seq) - 1
		}
		if c.frozen != nil {
			a.frozen[o], a.told[o] = c.frozen, c.frozen.After
		}
	}
	if end := l.loose; end != nil && a.chains[end.run.Origin] != nil {
		a.chains[end.run.Origin].loose = &Seal{end.run.Last(), end.run.Signature}
	}
	a.summarize(l)
	return a
}

func (a *Archive) summarize(l *Ledger) {
	a.summary.Root, a.summary.SyncRoot = l.Root(), l.SyncRoot()
	a.summary.Clock, a.summary.Subjects, a.summary.Held = l.Clock(), l.Subjects(), l.Held()
	a.summary.Pending = l.Pending()
}

// Publish shows readers what a batch did, once it is committed, and wakes those
// who wait for it. The writer calls it, before the ledger's next call.
func (a *Archive) Publish(l *Ledger, e *Effects) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.versions.publish(e) // before any view shows it
	var place Frontier    // before the batch
	told := a.told
	if len(a.watches.feeds.byKey) > 0 {
		place = a.frontier()
	}
	for _, h := range e.Heads {
		c := a.chains[h.Received.Origin]
		if c == nil {
			c = &ChainInfo{}
			a.chains[h.Received.Origin] = c
			a.summary.Updates-- // the genesis is no status change
		}
		if h.Genesis != nil {
			c.Genesis = h.Genesis
		}
		a.summary.Updates += uint64(h.Received.Seq - c.Received.Seq)
		if h.Applied != c.Applied {
			a.applied = nil
			a.version++
			a.watches.applied(h.Applied.Origin, c.Applied.Seq, h.Applied.Seq)
		}
		c.Received, c.Applied = h.Received, h.Applied
		c.Frozen = a.frozen[h.Received.Origin]
		if h.Received.Seq == 0 {
			delete(a.chains, h.Received.Origin)
			a.summary.Updates++
		}
	}
	if n := len(e.Own); n > 0 {
		last := e.Own[n-1]
		if c := a.chains[last.Origin]; c != nil {
			c.loose = &Seal{last.Last(), last.Signature}
		}
	}
	if len(e.Frozen) > 0 {
		a.version++
		a.publishFreezes(e.Frozen)
	}
	a.summarize(l)
	a.recent.published(e)
	a.watches.changed(e.Subjects)
	if place != nil {
		a.watches.feeds.published(e, a.authority, place, told)
	}
}

// Fail ends the archive: calls that would wait for what the writer publishes
// return err from now on.
func (a *Archive) Fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed == nil {
		a.failed = err
		a.summary.Pending = true
		a.watches.all(a.frontier(), a.told)
	}
}

// Frontier is what is applied. It must not be written to.
func (a *Archive) Frontier() Frontier {
	f, _ := a.snapshot()
	return f
}

// Version is higher each time that Feed may answer something else than before.
func (a *Archive) Version() uint64 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.version
}

// Now is the place after all that is applied.
func (a *Archive) Now(filter Filter) Cursor {
	applied, told := a.snapshot()
	return Cursor{Frontier: applied.Clone(), Filter: filter.Hash(), Told: told.Clone()}
}

// snapshot is what is applied, and where chains were ended. Nobody may write to
// it.
func (a *Archive) snapshot() (applied, told Frontier) {
	a.mu.RLock()
	applied, told = a.applied, a.told
	a.mu.RUnlock()
	if applied != nil {
		return applied, told
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.frontier(), a.told
}

// frontier is what is applied, for whoever holds the lock.
func (a *Archive) frontier() Frontier {
	if a.applied == nil {
		a.applied = make(Frontier, len(a.chains))
		for o, c := range a.chains {
			if c.Applied.Seq > 0 {
				a.applied[o] = c.Applied.Seq
			}
		}
	}
	return a.applied
}

// Summary is the published state of the ledger.
func (a *Archive) Summary() Summary {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.summary
}

// Info is what is published of a chain.
func (a *Archive) Info(o Origin) (ChainInfo, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if c := a.chains[o]; c != nil {
		return *c, true
	}
	return ChainInfo{}, false
}

// Head is the end of what is received of a chain, at seq 0 if nothing is.
func (a *Archive) Head(o Origin) Head {
	if c, ok := a.Info(o); ok {
		return c.Received
	}
	return Head{Origin: o}
}

// Failed is the error that Fail was called with, nil before.
func (a *Archive) Failed() error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.failed
}

// Chains are all chains that are published, in no particular order.
func (a *Archive) Chains() []ChainInfo {
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := make([]ChainInfo, 0, len(a.chains))
	for _, c := range a.chains {
		out = append(out, *c)
	}
	return out
}

// Authority is the authority that writes a chain, "" if it is not known here.
func (a *Archive) Authority(o Origin) string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.authority(o)
}

// authority is Authority for whoever holds the lock.
func (a *Archive) authority(o Origin) string {
	if c := a.chains[o]; c != nil {
		return c.Genesis.Authority
	}
	return ""
}

// await waits for a watch, unless the archive has failed, and stops it.
func (a *Archive) await(ctx context.Context, w *Watch) error {
	defer w.Stop()
	if err := a.Failed(); err != nil {
		return err
	}
	return w.Wait(ctx)
}

// Wait returns once all of f is applied. The error is the context's, or that
// of a ledger that has failed.
func (a *Archive) Wait(ctx context.Context, f Frontier) error {
	for {
		w := a.watchMissing(f)
		if w == nil {
			return nil
		}
		if err := a.await(ctx, w); err != nil {
			return err
		}
	}
}

// Update reads a received update. Its Prev is left zero.
func (a *Archive) Update(id ID) (*Update, error) {
	r, err := a.record(id)
	if err != nil {
		return nil, err
	}
	return r.update(id)
}

func (a *Archive) record(id ID) (*record, error) {
	if c, ok := a.Info(id.Origin); !ok || id.Seq > c.Received.Seq || id.Seq == 0 {
		return nil, fmt.Errorf("update %s: %w", id, ErrNotFound)
	}
	b, err := a.store.Get(appendUpdateKey(nil, id))
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, fmt.Errorf("update %s: %w", id, ErrCorrupt)
	}
	return decodeRecord(id, b)
}

// View reads the state of a subject. While the writer is about to publish the
// state, it waits for that.
func (a *Archive) View(ctx context.Context, subject string) (*State, error) {
	s, ok, err := a.view(subject)
	for !ok && err == nil {
		w := a.WatchSubject(subject)
		if s, ok, err = a.view(subject); ok || err != nil {
			w.Stop()
		} else {
			err = a.await(ctx, w)
		}
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// view reads the state of a subject, and whether it is published.
func (a *Archive) view(subject string) (s *State, ok bool, err error) {
	s, _, err = readState(a.store, subject)
	if err != nil {
		return nil, false, err
	}
	if s == nil {
		return nil, false, fmt.Errorf("subject %q: %w", subject, ErrNotFound)
	}
	return s, s.within(a.Frontier()), nil
}

// First is the stamp of the update that is first in stitched order among those
// that a state holds, ErrNotFound if all of them were taken back since it was
// read.
func (a *Archive) First(s *State) (first Stamp, err error) {
	it := a.store.Scan(indexRange(s.subject))
	for it.Next() {
		stamp, failed := indexStamp(it.Key())
		if failed != nil {
			err = failed
			break
		}
		if s.holds(stamp.ID) {
			first = stamp
			break
		}
	}
	if err := errors.Join(err, it.Close()); err != nil {
		return Stamp{}, err
	}
	if first == (Stamp{}) {
		return Stamp{}, fmt.Errorf("subject %q: %w", s.subject, ErrNotFound)
	}
	return first, nil
}

// Private reads a record of the caller's, nil if there is none.
func (a *Archive) Private(name string) ([]byte, error) {
	return a.store.Get(append([]byte{keyPrivate}, name...))
}

// Subjects yields the states of the subjects that a prefix selects, in
// ascending order, from the subject from on ("" for the first).
func (a *Archive) Subjects(ctx context.Context, p Prefix, from string) iter.Seq2[*State, error] {
	return func(yield func(*State, error) bool) {
		it := a.store.Scan(subjectRange(p, from))
		for it.Next() {
			subject := string(it.Key()[1:])
			if !p.Contains(subject) {
				continue
			}
			var s *State
			var err error
			if storedLags(it.Value()) {
				s, _, err = readLagging(a.store, subject)
			} else {
				s, err = DecodeState(subject, append([]byte(nil), it.Value()...))
			}
			if s != nil && err == nil && !s.within(a.Frontier()) {
				s, err = a.View(ctx, subject)
			}
			if errors.Is(err, ErrNotFound) || s == nil && err == nil {
				continue // it was taken back since
			}
			if !yield(s, err) || err != nil {
				break
			}
		}
		if err := it.Close(); err != nil {
			yield(nil, err)
		}
	}
}

// History yields a subject's applied updates in stitched order, as of the
// call. Their Prev is left zero.
func (a *Archive) History(subject string) iter.Seq2[*Update, error] {
	return func(yield func(*Update, error) bool) {
		applied := a.Frontier()
		lo, hi := indexRange(subject)
		it := a.store.Scan(lo, hi)
		more := true
		for more && it.Next() {
			stamp, err := indexStamp(it.Key())
			if err == nil && !applied.Has(stamp.ID) {
				continue
			}
			var u *Update
			if err == nil {
				u, err = a.Update(stamp.ID)
			}
			if errors.Is(err, ErrNotFound) {
				continue // it was taken back since the call
			}
			more = yield(u, err) && err == nil
		}
		if err := it.Close(); err != nil && more {
			yield(nil, err)
		}
	}
}

// within reports whether the state holds nothing beyond a frontier.
func (s *State) within(f Frontier) bool {
	for i := range s.tips {
		if !f.Has(s.tips[i].id) {
			return false
		}
	}
	return true
}

// holds reports whether an update of the subject is one of the state's.
func (s *State) holds(id ID) bool {
	i, ok := s.tip(id.Origin)
	return ok && s.tips[i].id.Seq >= id.Seq
}
