package chain

import (
	"fmt"
	"slices"
)

// maxApply bounds what one batch applies, in [Update.Cost]. One update may be
// what any number of held ones waited for, and a batch is in memory as a whole.
const maxApply = 32 << 20

// updateOverhead is about what an update takes in a batch beside its subject and
// delta, in bytes. To apply a tiny one takes about as long as it would take to
// copy so much.
const updateOverhead = 1 << 10

// refoldOverhead is about what one update of a subject takes where the subject is
// folded anew, in bytes likewise: it is read, and folded.
const refoldOverhead = updateOverhead

// receiveShare is how much less it takes to receive an update than to apply it.
const receiveShare = 2

// Cost is about what it takes to apply the update, in bytes, where it is the last
// of its subject.
func (u *Update) Cost() int { return updateOverhead + len(u.Subject) + len(u.Delta) }

// Cost is about what it takes to accept the run and apply its updates, in bytes
// as [Update.Cost] counts them.
func (r *Run) Cost() (n int) {
	for i := range r.Entries {
		n += updateOverhead + len(r.Entries[i].Header) + len(r.Entries[i].Body)
	}
	return n
}

// SetBatch bounds what a batch applies of other chains from now on, in
// [Update.Cost]; what is received, and subjects that are folded anew for late
// updates, take their part of it. What is received beyond it is applied by Continue.
// At least one update is applied, of a cost of 0 none, and what a batch may take in
// memory stays bounded.
func (l *Ledger) SetBatch(cost int) { l.most = min(max(cost, 0), maxApply) }

// full reports whether the batch applies no more of c. The own chain is applied
// at once, for nothing can be put at its end before.
func (l *Ledger) full(c *chainState) bool {
	if c == l.self {
		return l.tx.applied >= maxApply
	}
	if l.tx.applied == 0 {
		return l.most == 0
	}
	return l.tx.applied+l.tx.received+l.tx.refolds >= l.most
}

// rides reports whether u goes into a batch that is full because of the subjects that
// it folds anew: the subject of u is one of them, which is folded but once.
func (l *Ledger) rides(u *Update) bool {
	s := l.tx.states[u.Subject]
	return s != nil && s.state.Stale() && l.tx.applied+l.tx.received < l.most
}

// chargeRefold charges the batch with what it will take to fold a subject anew when
// it ends, once for all updates of the subject that come late in it.
func (l *Ledger) chargeRefold(s *stagedState) {
	_, n := s.state.LateAfter()
	if n > s.toFold {
		l.tx.refolds += int(n-s.toFold) * refoldOverhead
		s.toFold = n
	}
}

// Pending reports whether updates are left that could be applied, because the
// batch was full. Whoever has flushed it calls Continue, or they wait for the
// next call of Accept or Append.
func (l *Ledger) Pending() bool { return len(l.tx.woken) > 0 }

// Continue applies what a full batch has left over, as far as the next one
// takes it. The error is the store's. now is in Unix milliseconds.
func (l *Ledger) Continue(now int64) error { return l.settle(now) }

// settle applies what waited for what was applied meanwhile, until the batch is
// full.
func (l *Ledger) settle(now int64) error {
	for len(l.tx.woken) > 0 && !l.full(l.tx.woken[0]) {
		c := l.tx.woken[0]
		l.tx.woken = l.tx.woken[1:]
		c.queued = false
		if err := l.applyChain(c, now); err != nil {
			return err
		}
	}
	return nil
}

// queue has a chain looked at again.
func (l *Ledger) queue(c *chainState) {
	if !c.queued {
		c.queued = true
		l.tx.woken = append(l.tx.woken, c)
	}
}

// wake queues the chains that wait for something of c.
func (l *Ledger) wake(c *chainState) {
	waiting := l.blocked[c.tail.Origin]
	if len(waiting) == 0 {
		return
	}
	ready := make(Frontier, len(waiting))
	for w := range waiting {
		// Most of what waits for a busy chain waits for what is far ahead.
		if slices.ContainsFunc(w.block.waiting, l.met) {
			ready[w.tail.Origin] = 1
		}
	}
	for _, o := range ready.Origins() {
		l.queue(l.chains[o])
	}
}

// applyChain applies updates of one chain until it ends or one has to wait.
// The caller settles what that wakes. In a batch that is full the chain stays as it
// is, and if it was held it is, until the next batch looks at it.
func (l *Ledger) applyChain(c *chainState, now int64) error {
	if c.applied.Seq < c.tail.Seq && l.full(c) {
		l.queue(c)
		return nil
	}
	since := now
	if c.block != nil {
		since = c.block.since
	}
	waited := c.applied.Seq
	l.unblock(c)
	moved := false
	for c.applied.Seq < c.tail.Seq {
		if c.applied.Seq > waited {
			since = now
		}
		u, err := l.next(c)
		if err != nil {
			return err
		}
		if l.full(c) && !l.rides(u) {
			l.queue(c)
			break
		}
		b, err := l.waits(c, u)
		if err != nil {
			return err
		}
		if b != nil {
			b.since = since
			l.hold(c, b)
			break
		}
		if err := l.apply(c, u); err != nil {
			return err
		}
		moved = true
	}
	if moved {
		l.wake(c)
	}
	return nil
}

// waits is why u, which is next of c, has to wait, nil if it need not. What it costs to
// find comes last.
func (l *Ledger) waits(c *chainState, u *Update) (*block, error) {
	if ids := l.unmet(u); len(ids) > 0 {
		return &block{id: u.ID, reason: HeldDependency, waiting: ids}, nil
	}
	if l.limit > 0 && u.HLC.Millis() > l.limit && u.ID.Seq > c.admitted {
		return &block{id: u.ID, reason: HeldClock}, nil
	}
	ids, err := l.untimely(c, u)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return &block{id: u.ID, reason: HeldDependency, waiting: ids}, nil
}

// unmet are the dependencies of u that are not applied.
func (l *Ledger) unmet(u *Update) (ids []ID) {
	for _, id := range u.Deps {
		if !l.met(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// untimely are the dependencies of u, which is next of c and lacks none, whose time is not
// below u's. Of an honest update there is none of these, but where the chain that it
// depends on was forked: then what is here under that ID is not what its author saw, who
// may not be blamed for it. It goes on once the fork is proved, for the dependency is
// beyond a freeze then.
func (l *Ledger) untimely(c *chainState, u *Update) (ids []ID, err error) {
	for _, id := range u.Deps {
		if l.Applied(id.Origin).Seq < id.Seq {
			continue // beyond a freeze
		}
		hlc, err := l.timeOf(c, u, id)
		if err != nil {
			return nil, err
		}
		if hlc >= u.HLC {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// timeOf is the time of an update that u, which is next of c, depends on and that is
// applied. Most were applied lately, or are the newest of their chain on u's subject, or
// the one before, and that state is needed next.
func (l *Ledger) timeOf(c *chainState, u *Update, id ID) (HLC, error) {
	if a, ok := l.lately.get(id); ok {
		return a.hlc, nil
	}
	if u.Kind == KindStatus {
		s, err := l.stateFor(c, u)
		if err != nil {
			return 0, err
		}
		if t, ok := s.state.tipOf(id); ok {
			return t.hlc, nil
		}
	}
	at, err := l.stampOf(id)
	return at.HLC, err
}

func (l *Ledger) hold(c *chainState, b *block) {
	l.dropAhead(c)
	c.block = b
	l.held++
	for _, id := range b.waiting {
		if l.blocked[id.Origin] == nil {
			l.blocked[id.Origin] = map[*chainState]bool{}
		}
		l.blocked[id.Origin][c] = true
	}
}

func (l *Ledger) unblock(c *chainState) {
	if c.block == nil {
		return
	}
	for _, id := range c.block.waiting {
		delete(l.blocked[id.Origin], c)
		if len(l.blocked[id.Origin]) == 0 {
			delete(l.blocked, id.Origin)
		}
	}
	c.block = nil
	l.held--
}

// apply makes u count.
func (l *Ledger) apply(c *chainState, u *Update) error {
	l.touch(c)
	if u.Kind == KindStatus {
		if err := l.roll(c, u); err != nil {
			return err
		}
	}
	c.applied.Seq, c.applied.Hash = u.ID.Seq, u.Hash
	l.clock = max(l.clock, u.HLC)
	l.applyAhead(c, u)
	l.tx.effects.Applied = append(l.tx.effects.Applied, u)
	l.tx.applied += u.Cost()
	return nil
}

// roll takes u into the state of its subject.
func (l *Ledger) roll(c *chainState, u *Update) error {
	s, err := l.stateFor(c, u)
	if err != nil {
		return err
	}
	ctx, entry, err := s.state.context(u, l.contextOf(u.Subject))
	if err != nil {
		return err
	}
	tips := len(s.state.tips)
	stale, err := s.state.Add(u, c.tail.Genesis.Authority, ctx)
	if err != nil {
		return err
	}
	if len(s.state.tips) > tips {
		s.firsts = append(s.firsts, u.ID)
	}
	if stale {
		l.chargeRefold(s)
	}
	if s.state.shared() {
		l.lately.add(u.ID, appliedLately{u.HLC, ctx, s.state.Subject()})
	}
	s.added = append(s.added, u)
	l.key, l.value = appendIndexKey(l.key[:0], u.Subject, u.Stamp()), entry.append(l.value[:0], u.Stamp())
	l.putIndex(u.ID, l.key, l.value)
	l.noteAnswer(u)
	return nil
}

// contextOf finds the contexts of a subject's earlier updates.
func (l *Ledger) contextOf(subject string) func(ID) (Context, bool, error) {
	return func(id ID) (Context, bool, error) {
		if ctx, same, ok := l.lately.contextOn(subject, id); ok {
			return ctx, same, nil
		}
		u, err := l.update(id)
		if err != nil || u.Kind != KindStatus || u.Subject != subject {
			return nil, false, err
		}
		l.lately.lookFar()
		ctx, err := ResolveContext(u.Stamp(), func(s Stamp) ([]byte, error) {
			if entry, ok := l.tx.index.get(s.ID); ok {
				return entry, nil
			}
			entry, err := l.store.Get(appendIndexKey(nil, subject, s))
			if err == nil && entry == nil {
				err = fmt.Errorf("index of %q has no %s: %w", clip(subject), s.ID, ErrCorrupt)
			}
			return entry, err
		})
		return ctx, true, err
	}
}

// stampOf is the stamp of a received update.
func (l *Ledger) stampOf(id ID) (Stamp, error) {
	u, err := l.update(id)
	if err != nil {
		return Stamp{}, err
	}
	return u.Stamp(), nil
}

// update reads a received update, of this batch or from the store. Its Prev
// may be zero.
func (l *Ledger) update(id ID) (*Update, error) {
	if u, ok := l.tx.updates[id]; ok {
		return u, nil
	}
	b, err := l.store.Get(appendUpdateKey(nil, id))
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, fmt.Errorf("update %s is not there: %w", id, ErrCorrupt)
	}
	r, err := decodeRecord(id, b)
	if err != nil {
		return nil, err
	}
	return r.update(id)
}
