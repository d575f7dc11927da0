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
	changed chan struct{}
	summary Summary
	failed  error
}

// ChainInfo is what is published of one chain.
type ChainInfo struct {
	Genesis  *Genesis
	Received Head
	Applied  Head
	Frozen   *Freeze // nil if it goes on
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
	// applied yet: see [Ledger.Pending].
	Pending bool
}

// NewArchive returns the archive of a ledger that was just opened, with all
// that it holds published. Its owner publishes each batch from then on.
func NewArchive(l *Ledger) *Archive {
	a := &Archive{
		store: l.store, chains: map[Origin]*ChainInfo{}, frozen: map[Origin]*Freeze{}, told: Frontier{},
		changed: make(chan struct{}),
	}
	for o, c := range l.chains {
		at := heads{c.tail.Head, c.applied}
		if c.dirty {
			at = c.was // what opening applied is not committed yet
		}
		if at.received.Seq > 0 {
			a.chains[o] = &ChainInfo{c.tail.Genesis, at.received, at.applied, c.frozen}
			a.summary.Updates += uint64(at.received.Seq) - 1
		}
		if c.frozen != nil {
			a.frozen[o], a.told[o] = c.frozen, c.frozen.After
		}
	}
	a.summarize(l)
	return a
}

func (a *Archive) summarize(l *Ledger) {
	a.summary.Root, a.summary.SyncRoot = l.Root(), l.SyncRoot()
	a.summary.Clock, a.summary.Subjects, a.summary.Held = l.Clock(), l.Subjects(), l.Held()
	a.summary.Pending = l.Pending()
}

// Publish shows readers what a batch did, once it is committed. The writer
// calls it, before the ledger's next call.
func (a *Archive) Publish(l *Ledger, e *Effects) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.versions.publish(e) // before any view shows it
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
		}
		c.Received, c.Applied = h.Received, h.Applied
		c.Frozen = a.frozen[h.Received.Origin]
		if h.Received.Seq == 0 {
			delete(a.chains, h.Received.Origin)
			a.summary.Updates++
		}
	}
	if len(e.Frozen) > 0 {
		a.publishFreezes(e.Frozen)
	}
	a.summarize(l)
	close(a.changed)
	a.changed = make(chan struct{})
}

// Fail ends the archive: calls that would wait for what the writer publishes
// return err from now on.
func (a *Archive) Fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed == nil {
		a.failed = err
		close(a.changed)
		a.changed = make(chan struct{})
	}
}

// Frontier is what is applied. It must not be written to.
func (a *Archive) Frontier() Frontier {
	f, _, _ := a.snapshot()
	return f
}

// Now is the place after all that is applied.
func (a *Archive) Now(filter Filter) Cursor {
	applied, told, _ := a.snapshot()
	return Cursor{Frontier: applied.Clone(), Filter: filter.Hash(), Told: told.Clone()}
}

// snapshot is what is applied, where chains were ended, and a channel that is
// closed at the next change.
func (a *Archive) snapshot() (applied, told Frontier, changed <-chan struct{}) {
	a.mu.RLock()
	applied, told, changed = a.applied, a.told, a.changed
	a.mu.RUnlock()
	if applied != nil {
		return applied, told, changed
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.applied == nil {
		a.applied = make(Frontier, len(a.chains))
		for o, c := range a.chains {
			if c.Applied.Seq > 0 {
				a.applied[o] = c.Applied.Seq
			}
		}
	}
	return a.applied, a.told, a.changed
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
	if c, ok := a.Info(o); ok {
		return c.Genesis.Authority
	}
	return ""
}

// Changed returns a channel that is closed at the next change.
func (a *Archive) Changed() <-chan struct{} {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.changed
}

// wait waits for a change, unless the archive has failed.
func (a *Archive) wait(ctx context.Context, changed <-chan struct{}) error {
	if err := a.Failed(); err != nil {
		return err
	}
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Wait returns once all of f is applied. The error is the context's, or that
// of a ledger that has failed.
func (a *Archive) Wait(ctx context.Context, f Frontier) error {
	for {
		applied, _, changed := a.snapshot()
		if applied.Covers(f) {
			return nil
		}
		if err := a.wait(ctx, changed); err != nil {
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

// View reads the state of a subject, and a channel that is closed once there
// may be a newer one. While the writer is about to publish the state, it waits
// for that.
func (a *Archive) View(ctx context.Context, subject string) (*State, <-chan struct{}, error) {
	key := appendSubjectKey(nil, keyState, subject)
	for {
		changed := a.Changed()
		b, err := a.store.Get(key)
		if err != nil {
			return nil, nil, err
		}
		if b == nil {
			return nil, changed, fmt.Errorf("subject %q: %w", subject, ErrNotFound)
		}
		s, err := DecodeState(subject, b)
		if err != nil {
			return nil, nil, err
		}
		if applied, _, _ := a.snapshot(); s.within(applied) {
			return s, changed, nil
		}
		if err := a.wait(ctx, changed); err != nil {
			return nil, nil, err
		}
	}
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
			s, err := DecodeState(subject, append([]byte(nil), it.Value()...))
			if err == nil {
				if applied, _, _ := a.snapshot(); !s.within(applied) {
					s, _, err = a.View(ctx, subject)
				}
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
