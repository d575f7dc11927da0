package chain

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/tidings-mesh/tidings/chain/wire"
)

// ErrRecovering is wrapped while the own chain is not wholly applied, so that
// nothing can be put at its end.
var ErrRecovering = errors.New("own chain is not recovered")

// Append puts a draft at the end of the own chain, unless its key or its
// content says that there is nothing to add. The error is the draft's, and
// then the ledger is as it was, or the store's (it wraps neither *DraftError,
// ErrKeyReused, ErrFrozen nor ErrRecovering). now is in Unix milliseconds.
func (l *Ledger) Append(p *Prepared, now int64) (Receipt, error) {
	if err := l.mayAppend(); err != nil {
		return Receipt{}, err
	}
	own := l.Origin()
	tag := p.tagOn(own)
	if r, ok, err := l.repeated(p.subject, tag, now); ok || err != nil {
		return r, err
	}
	if waiting := l.unmetDeps(p.deps); len(waiting) > 0 {
		field := "deps"
		if slices.Contains(waiting, p.cause) {
			field = "cause"
		}
		return Receipt{}, &DraftError{field, &DependencyError{waiting}}
	}
	depth, err := l.depth(p)
	if err != nil {
		return Receipt{}, err
	}
	s, err := l.fresh(p.subject)
	if err != nil {
		return Receipt{}, err
	}
	authority := l.authority()
	if p.state != nil {
		if p, err = p.since(s.state.part(authority)); err != nil {
			return Receipt{}, err
		}
	}
	if s.state.Unchanged(authority, p.patch) {
		r := Receipt{Subject: p.subject, Unchanged: true}
		if stamp, ok := s.state.Newest(authority); ok {
			r.ID, r.HLC = stamp.ID, stamp.HLC
		}
		l.remember(tag, r, l.keyTime(now))
		l.tx.answered = true
		return r, nil
	}
	u := &Update{
		Kind: KindStatus, Subject: p.subject, Delta: p.delta, Deps: p.depsOn(own),
		Cause: p.cause, Hook: p.hook, Depth: depth, Key: tag,
	}
	u.Deps = append(u.Deps, s.state.Attach(own, u.Deps, MaxDeps-len(u.Deps))...)
	return l.add(u, now)
}

// authority is whom the own chain is written for, which it says once and for
// all.
func (l *Ledger) authority() string {
	if g := l.self.tail.Genesis; g != nil {
		return g.Authority
	}
	return l.genesis.Authority
}

// mayAppend says why nothing can be appended.
func (l *Ledger) mayAppend() error {
	c := l.self
	if c.frozen != nil {
		return fmt.Errorf("own %w: %s", ErrFrozen, c.frozen)
	}
	if c.applied.Seq != c.tail.Seq {
		return fmt.Errorf("%w: applied up to %d of %d", ErrRecovering, c.applied.Seq, c.tail.Seq)
	}
	// A genesis and an update take two readings. Nobody's clock shows such a
	// time; a peer's update may have brought it.
	if last := max(l.clock, c.tail.HLC); last >= math.MaxUint64-1 {
		return fmt.Errorf("%w: no time is left after %s", ErrRecovering, last)
	}
	return nil
}

// unmetDeps are the deps on other chains that are not applied. A dep on the
// own chain must be there, though it needs no mention.
func (l *Ledger) unmetDeps(deps []ID) []ID {
	var out []ID
	for _, id := range deps {
		if l.Applied(id.Origin).Seq < id.Seq {
			out = append(out, id)
		}
	}
	return out
}

// depth is the length of the chain of reactions that the draft would end.
func (l *Ledger) depth(p *Prepared) (uint8, error) {
	if p.cause.IsZero() {
		return 0, nil
	}
	cause, err := l.update(p.cause)
	if err != nil {
		return 0, err
	}
	if cause.Depth >= MaxReactions {
		tooLong, err := l.reactionsTo(cause)
		if err != nil {
			return 0, err
		}
		return 0, &DraftError{"cause", tooLong}
	}
	return cause.Depth + 1, nil
}

// link times, links and applies an own update.
func (l *Ledger) link(u *Update, now int64) error {
	h, ok := max(l.clock, l.self.tail.HLC).Next(now)
	if !ok {
		return fmt.Errorf("%w: the clock has run out", ErrInvalid)
	}
	u.HLC = h
	l.touch(l.self)
	l.self.began = l.self.began || u.Kind == KindGenesis
	e := l.self.tail.Extend(u)
	l.tx.updates[u.ID] = u
	l.tx.own = append(l.tx.own, ownUpdate{u, e})
	if err := l.apply(l.self, u); err != nil {
		return err
	}
	l.wake(l.self)
	return l.settle(now)
}

// Keys.

// keyRecord is what a key was answered.
type keyRecord struct {
	content   [8]byte
	millis    int64
	unchanged bool
	id        ID // zero if nothing was ever said of the subject
}

func appendKeyRecord(dst []byte, k *keyRecord) []byte {
	dst = wire.AppendArray(dst, 5)
	dst = wire.AppendBin(dst, k.content[:])
	dst = wire.AppendUint(dst, uint64(k.millis))
	dst = wire.AppendUint(dst, boolBit(k.unchanged))
	dst = wire.AppendBin(dst, k.id.Origin[:])
	return wire.AppendUint(dst, uint64(k.id.Seq))
}

func boolBit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func decodeKeyRecord(b []byte) (*keyRecord, error) {
	d := newDecoder(b)
	d.ArrayLen(5)
	k := &keyRecord{}
	copy(k.content[:], d.BinLen(len(k.content)))
	k.millis = int64(d.Uint())
	unchanged := d.Uint()
	k.unchanged = unchanged == 1
	if unchanged > 1 {
		d.Fail("unchanged %d", unchanged)
	}
	k.id = d.id()
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("key record: %w: %w", ErrCorrupt, err)
	}
	return k, nil
}

// repeated answers a draft whose key is known.
func (l *Ledger) repeated(subject string, tag KeyTag, now int64) (Receipt, bool, error) {
	if tag.IsZero() {
		return Receipt{}, false, nil
	}
	k, err := l.keyRecord(tag.Key)
	if err != nil || k == nil || l.ageTime(now)-k.millis > KeyLife.Milliseconds() {
		return Receipt{}, false, err
	}
	if k.content != tag.Content {
		return Receipt{}, true, &DraftError{"key", ErrKeyReused}
	}
	r := Receipt{ID: k.id, Subject: subject, Unchanged: k.unchanged, Repeated: true}
	if !k.id.IsZero() {
		u, err := l.update(k.id)
		if err != nil {
			return Receipt{}, true, err
		}
		r.HLC, r.Deps = u.HLC, u.Deps
	}
	return r, true, nil
}

func (l *Ledger) keyRecord(key [16]byte) (*keyRecord, error) {
	if k, ok := l.tx.keys[key]; ok {
		return k, nil
	}
	b, err := l.store.Get(append([]byte{keyTag}, key[:]...))
	if err != nil || b == nil {
		return nil, err
	}
	return decodeKeyRecord(b)
}

// remember keeps what a key was answered.
func (l *Ledger) remember(tag KeyTag, r Receipt, now int64) {
	if tag.IsZero() {
		return
	}
	k := &keyRecord{content: tag.Content, millis: now, unchanged: r.Unchanged, id: r.ID}
	l.tx.keys[tag.Key] = k
	l.tx.batch.Set(append([]byte{keyTag}, tag.Key[:]...), appendKeyRecord(nil, k))
	l.tx.batch.Set(appendTagAgeKey(nil, now, tag.Key), nil)
}

// keyTime is when a key is used now. A wall clock that stands behind what is
// applied is wrong: by it a key would be past its life once the clock is set.
func (l *Ledger) keyTime(now int64) int64 { return max(now, l.clock.Millis()) }

// SetKeyTime bounds the time that keys grow old by, in Unix milliseconds: a wall
// clock that is far ahead for a moment must not have them forgotten. They are
// never older than by what SetLimit was given last, either.
func (l *Ledger) SetKeyTime(latest int64) { l.keysBy = latest }

// ageTime is the time that keys grow old by.
func (l *Ledger) ageTime(now int64) int64 {
	for _, latest := range []int64{l.keysBy, l.limit} {
		if latest > 0 {
			now = min(now, latest)
		}
	}
	return now
}

// adoptTime is the time that keys which come with the own chain from a peer are
// old by: not later than its end. While it comes back, the wall clock may not have
// been compared with any other.
func (l *Ledger) adoptTime(now int64) int64 { return min(l.ageTime(now), l.self.tail.HLC.Millis()) }

// adoptKey brings back the answer of a key that came with the own chain from a
// peer. A key that was used anew after its life stands in the chain twice, and
// the newer one counts.
func (l *Ledger) adoptKey(u *Update, now int64) error {
	at := u.HLC.Millis()
	if u.ID.Origin != l.Origin() || u.Key.IsZero() || l.adoptTime(now)-at > KeyLife.Milliseconds() {
		return nil
	}
	k, err := l.keyRecord(u.Key.Key)
	if err != nil || (k != nil && k.millis > at) {
		return err
	}
	l.remember(u.Key, Receipt{ID: u.ID}, at)
	return nil
}

// purgeKeys forgets some of the keys that are past their life: once a minute,
// and at each flush as long as there are more, at least twice as many as came.
func (l *Ledger) purgeKeys(now int64) error {
	const every, least = 60_000, 1_000
	if l.tx.answered {
		now = l.ageTime(now)
	} else {
		now = l.adoptTime(now)
	}
	if now >= l.purged && now-l.purged < every {
		return nil
	}
	most := max(least, 2*len(l.tx.keys))
	limit := now - KeyLife.Milliseconds()
	it := l.store.Scan([]byte{keyTagAge}, appendTagAgeKey(nil, max(limit, 0), [16]byte{}))
	n := 0
	for ; n < most && it.Next(); n++ {
		age := it.Key()
		if len(age) != 1+8+16 {
			continue
		}
		key := [16]byte(age[9:])
		l.tx.batch.Delete(age)
		// A key that was used anew since has a later entry.
		k, err := l.keyRecord(key)
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if k != nil && k.millis < limit {
			l.tx.batch.Delete(append([]byte{keyTag}, key[:]...))
		}
	}
	if n < most {
		l.purged = now
	}
	return it.Close()
}

// PutPrivate keeps a record of the caller's, in the batch under way. A nil
// value removes it.
func (l *Ledger) PutPrivate(name string, value []byte) {
	key := append([]byte{keyPrivate}, name...)
	if value == nil {
		l.tx.batch.Delete(key)
		return
	}
	l.tx.batch.Set(key, value)
}
