package chain

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// AcceptFreeze takes a freeze that was verified. The verdict is Accepted if it
// counts from now on, also where its chain is not here, or not that far: then
// it goes on up to the freeze only. It is Duplicate if one that is as low does
// already. None is refused for its number, also of chains of which nothing is here:
// which came too late would differ from node to node, and their roots for ever. It
// takes no more than the made-up chain would that it stops. Whether an update is invalid can be told only by its chain, so that
// such a freeze is taken as the run that it holds, with that one's outcome: Gap
// means that the chain is to be fetched first. The error is the store's. now is
// in Unix milliseconds.
func (l *Ledger) AcceptFreeze(f *Freeze, now int64) (Outcome, error) {
	if !f.verified {
		if err := f.Verify(); err != nil {
			return Outcome{Verdict: Refused, Head: l.Head(f.Origin), Err: err}, nil
		}
	}
	c := l.chains[f.Origin]
	if c != nil && c.frozen != nil && c.frozen.After <= f.After {
		return Outcome{Verdict: Duplicate, Head: c.tail.Head}, nil
	}
	if f.Reason == FreezeInvalid {
		return l.Accept(f.runs[0], now)
	}
	if c == nil {
		c = l.chain(f.Origin)
	}
	out := Outcome{Verdict: Accepted}
	if before, ok := f.before(); ok && f.After > 0 && f.After <= c.tail.Seq {
		have, err := l.hashAt(c, f.After)
		if err != nil {
			return Outcome{}, err
		}
		if have != before {
			// What is here parts from both branches still earlier.
			out.From = earlier(c.tail.Seq, f.After+1)
		}
	}
	err := l.stop(c, f)
	if err == nil {
		err = l.settle(now)
	}
	out.Head = c.tail.Head
	return out, err
}

// stop ends a chain where a freeze says, unless it ends there or lower already.
// What was received beyond stays in the log as evidence; what was applied is
// taken back.
func (l *Ledger) stop(c *chainState, f *Freeze) error {
	if was := c.frozen; was != nil {
		if was.After <= f.After {
			return nil
		}
		l.root.sub(freezeTerm(was))
		l.sync.sub(freezeTerm(was))
	}
	if c == l.self {
		l.keepSeal() // nothing will be appended behind it
	}
	l.touch(c)
	c.frozen = f.kept()
	l.root.add(freezeTerm(f))
	l.sync.add(freezeTerm(f))
	l.tx.batch.Set(appendChainKey(nil, keyFreeze, f.Origin), appendFreeze(nil, f))
	l.tx.effects.Frozen = append(l.tx.effects.Frozen, c.frozen)
	if c.tail.Seq > f.After {
		if err := l.cut(c, f.After); err != nil {
			return fmt.Errorf("take back %s after %d: %w", f.Origin, f.After, err)
		}
	}
	l.wake(c)
	return nil
}

// cut moves the end of a chain back.
func (l *Ledger) cut(c *chainState, after Seq) error {
	end := Head{Origin: c.tail.Origin}
	var hlc HLC
	if after > 0 {
		u, err := l.update(ID{c.tail.Origin, after})
		if err != nil {
			return err
		}
		end.Seq, end.Hash, hlc = after, u.Hash, u.HLC
	}
	if c.block != nil && c.block.id.Seq > after {
		l.unblock(c)
	}
	l.dropAhead(c)
	// The table stays ahead of the end. Nothing is linked there any more.
	c.tail.Head, c.tail.HLC = end, hlc
	if c.applied.Seq <= after {
		return nil
	}
	return l.takeBack(c, end)
}

// takeBack makes what is applied of a chain after its new end count no more.
// Each subject that it touched is rebuilt from the updates that are left, so
// that nothing tells in which order they came.
func (l *Ledger) takeBack(c *chainState, end Head) error {
	subjects := map[string]bool{}
	for seq := end.Seq + 1; seq <= c.applied.Seq; seq++ {
		u, err := l.update(ID{end.Origin, seq})
		if err != nil {
			return err
		}
		if u.Kind != KindStatus {
			continue
		}
		subjects[u.Subject] = true
		l.tx.index.takeBack(u.ID)
		l.drop(appendIndexKey(nil, u.Subject, u.Stamp()))
		l.dropAnswer(u)
	}
	c.applied = end
	l.lately.clear() // contexts lose what was seen through what is gone
	gone := func(u *Update) bool { return u.ID.Origin == end.Origin && u.ID.Seq > end.Seq }
	for _, subject := range slices.Sorted(maps.Keys(subjects)) {
		s, err := l.state(subject)
		if err != nil {
			return err
		}
		s.added = slices.DeleteFunc(s.added, gone)
		if err := l.rebuild(s); err != nil {
			return err
		}
	}
	l.tx.effects.Applied = slices.DeleteFunc(l.tx.effects.Applied, gone)
	return l.findClock()
}

// rebuild computes a subject wholly anew.
func (l *Ledger) rebuild(s *stagedState) error {
	subject := s.state.Subject()
	base, err := l.base(subject)
	if err != nil {
		return err
	}
	state, err := Rebuild(subject, base, l.stitched(s, Stamp{}), nil, func(u *Update, entry []byte) error {
		l.putIndex(u.ID, appendIndexKey(nil, subject, u.Stamp()), entry)
		return nil
	})
	if err != nil {
		return fmt.Errorf("build %q anew: %w", clip(subject), err)
	}
	s.state, s.rebuilt = state, true
	return nil
}

// stitched are the updates of a subject that count and come after a stamp, in
// stitched order: those that the store has, but what this batch took back, and those of this batch.
func (l *Ledger) stitched(s *stagedState, after Stamp) Stitched {
	return func(yield func(*Update, string, error) bool) {
		added := slices.DeleteFunc(slices.Clone(s.added), func(u *Update) bool { return u.Stamp().Compare(after) <= 0 })
		slices.SortFunc(added, func(a, b *Update) int { return a.Stamp().Compare(b.Stamp()) })
		emit := func(u *Update) bool {
			return yield(u, l.chains[u.ID.Origin].tail.Genesis.Authority, nil)
		}
		lo, hi := indexRange(s.state.Subject())
		if !after.IsZero() {
			lo = append(appendIndexKey(nil, s.state.Subject(), after), 0)
		}
		it := l.store.Scan(lo, hi)
		more, failed := true, error(nil)
		for more && failed == nil && it.Next() {
			var stamp Stamp
			if stamp, failed = indexStamp(it.Key()); failed != nil {
				break
			}
			if entry, ok := l.tx.index.get(stamp.ID); ok && entry == nil {
				continue
			}
			for more && len(added) > 0 && added[0].Stamp().Compare(stamp) < 0 {
				more, added = emit(added[0]), added[1:]
			}
			var u *Update
			if u, failed = l.update(stamp.ID); failed == nil && more {
				more = emit(u)
			}
		}
		if failed = errors.Join(failed, it.Close()); failed != nil && more {
			yield(nil, "", failed)
			return
		}
		for more && len(added) > 0 {
			more, added = emit(added[0]), added[1:]
		}
	}
}

// findClock finds the highest time that is applied.
func (l *Ledger) findClock() error {
	l.clock = 0
	for _, c := range l.chains {
		switch {
		case c.applied.Seq == 0:
		case c.applied.Seq == c.tail.Seq:
			l.clock = max(l.clock, c.tail.HLC)
		default:
			s, err := l.stampOf(ID{c.tail.Origin, c.applied.Seq})
			if err != nil {
				return err
			}
			l.clock = max(l.clock, s.HLC)
		}
	}
	return nil
}
