package chain

import (
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Beyond yields the updates of a chain that were applied here and then taken
// back by its freeze, from those after a seq on, in the order of the chain.
// Their Prev is left zero.
func (a *Archive) Beyond(o Origin, after Seq) iter.Seq2[*Update, error] {
	return func(yield func(*Update, error) bool) {
		f := a.Frozen(o)
		if f == nil {
			return
		}
		id := ID{o, max(after, f.After) + 1}
		it := a.store.Scan(appendUpdateKey(nil, id), appendUint64(appendChainKey(nil, keyUpdate, o), ^uint64(0)))
		more := true
		for more && it.Next() {
			id.Seq = seqOfKey(it.Key())
			r, err := decodeRecord(id, append([]byte(nil), it.Value()...))
			var u *Update
			switch {
			case err != nil:
			case r.hlc == 0: // it came when the freeze was known, and never counted
				more = false
				continue
			default:
				u, err = r.update(id)
			}
			more = yield(u, err) && err == nil
		}
		if err := it.Close(); err != nil && more {
			yield(nil, err)
		}
	}
}

// Republish puts at the end of the own chain what an update of another chain
// said, which this node wrote before and whose freeze took it back: the same
// subject, delta, key and reaction, and those of its dependencies that still
// count, after what still counts of that chain. It is always an update of its own, be it that it changes nothing. The
// errors are those of Append.
func (l *Ledger) Republish(was *Update, now int64) (Receipt, error) {
	if err := l.mayAppend(); err != nil {
		return Receipt{}, err
	}
	if was.Kind != KindStatus {
		return Receipt{}, &DraftError{"kind", fmt.Errorf("%w: %s of kind %s", ErrDraft, was.ID, was.Kind)}
	}
	own := l.Origin()
	counts := func(id ID) bool { return l.Applied(id.Origin).Seq >= id.Seq }
	u := &Update{Kind: KindStatus, Subject: was.Subject, Delta: was.Delta, Key: was.Key}
	// Its caller may have sent it again under its key before this.
	again, ok, err := l.repeated(was.Subject, was.Key, now)
	switch {
	case errors.Is(err, ErrKeyReused):
		u.Key = KeyTag{}
	case err != nil:
		return Receipt{}, err
	case ok && again.ID.Origin != was.ID.Origin && counts(again.ID):
		return again, nil
	}
	for _, id := range was.Deps {
		if id.Origin != own && counts(id) {
			u.Deps = append(u.Deps, id)
		}
	}
	// What it answered may have been on the chain that it was on, and is a
	// dependency now.
	if !was.Cause.IsZero() && was.Cause.Origin != own && counts(was.Cause) && (slices.Contains(u.Deps, was.Cause) || len(u.Deps) < MaxDeps) {
		u.Cause, u.Hook, u.Depth = was.Cause, was.Hook, was.Depth
		u.Deps = append(u.Deps, was.Cause)
	}
	// It came after all that is before it on its chain. What still counts of that
	// it comes after here, too.
	if end := l.Applied(was.ID.Origin); end.Seq > 0 && was.ID.Origin != own && len(u.Deps) < MaxDeps {
		u.Deps = append(u.Deps, ID{end.Origin, end.Seq})
	}
	s, err := l.fresh(u.Subject)
	if err != nil {
		return Receipt{}, err
	}
	slices.SortFunc(u.Deps, ID.Compare)
	u.Deps = slices.Compact(u.Deps)
	u.Deps = append(u.Deps, s.state.Attach(own, u.Deps, MaxDeps-len(u.Deps))...)
	return l.add(u, now)
}

// add links an update to the own chain, which it begins if need be.
func (l *Ledger) add(u *Update, now int64) (Receipt, error) {
	slices.SortFunc(u.Deps, ID.Compare)
	u.Deps = slices.Compact(u.Deps)
	if l.self.tail.Seq == 0 {
		g := &Update{Kind: KindGenesis, Delta: l.genesis.AppendBody(nil)}
		if err := l.link(g, now); err != nil {
			return Receipt{}, err
		}
	}
	if err := l.link(u, now); err != nil {
		return Receipt{}, err
	}
	r := Receipt{ID: u.ID, Subject: u.Subject, HLC: u.HLC, Deps: u.Deps}
	l.remember(u.Key, r, l.keyTime(now))
	l.tx.answered = true
	return r, nil
}
