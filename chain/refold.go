package chain

import (
	"fmt"
	"slices"
)

// Stitched yields updates of one subject in stitched order, each with the
// authority of its chain, or an error that ends it.
type Stitched func(yield func(u *Update, authority string, err error) bool)

// Refold computes the status and that of each authority anew, from all updates
// of the state, or those that base does not hold already. A nil base holds
// none. On an error the state is as it was.
func (s *State) Refold(base *State, updates Stitched) error {
	p := foldPoint{status: valueEmpty}
	if base != nil {
		p = foldPoint{last: base.Last(), updates: base.updates, status: base.status, authorities: base.authorities}
	}
	return s.refold(p, nil, updates)
}

// RefoldLate is Refold with the updates after what LateAfter returns, which is
// not zero: those before the first that came late are folded already.
func (s *State) RefoldLate(updates Stitched) error {
	n := s.latePoints()
	return s.refold(s.points[n-1], s.points[:n], updates)
}

// LateAfter is where a stale state has to be folded anew from, in stitched
// order, zero for from the first update on, and how many updates that takes.
func (s *State) LateAfter() (after Stamp, updates uint64) {
	n := s.latePoints()
	if n == 0 {
		return Stamp{}, s.updates
	}
	return s.points[n-1].last, s.updates - s.points[n-1].updates
}

// latePoints is how many points are before the first update that came late.
func (s *State) latePoints() int { return s.pointsBefore(s.late) }

func (s *State) pointsBefore(at Stamp) int {
	n, _ := slices.BinarySearchFunc(s.points, at, func(p foldPoint, at Stamp) int { return p.last.Compare(at) })
	return n
}

// foldPoint is what the fold was after some of the updates in stitched order.
type foldPoint struct {
	last        Stamp
	updates     uint64
	made        uint64 // how many updates there were when it was made: see notePoint
	status      Value
	authorities []stateAuthority
}

// pointGap is the number of updates between two points.
const pointGap = 16

// notePoint makes a point of the fold up to an update, where one is due. The
// further back points are, the fewer are kept, about one for each doubling of the
// distance. An update that comes so many updates late has at most three times as
// many folded anew, and pointGap, and what was folded in place between two points since.
func (s *State) notePoint(last Stamp, updates uint64) {
	if updates%pointGap != 0 {
		return
	}
	s.points = slices.DeleteFunc(s.points, func(p foldPoint) bool {
		spaced := p.made & -p.made // the largest power of two that divides it
		return updates-p.updates > 2*spaced
	})
	s.points = append(s.points, foldPoint{last, updates, updates, s.status, slices.Clone(s.authorities)})
}

// foldLate folds a delta that is not last in stitched order in place, where that comes
// to the same, and reports whether it does: as when each authority writes what is its
// own, or all write one path that the last of them has.
//
// Members of the status do not touch each other, so each is looked at by itself. Where
// no live write at or below one came after the delta, no other did: what took the place
// of a write came after it and is at, above or below its path, so there as well. Deeper
// down that does not hold: a write to /a/b takes the place of one to /a that it has seen,
// which took what came to /a/c before. And a leaf that another one was written over, at
// its very path and with a value that is no object, left nothing behind. Of the
// authority's own status the same holds, of its own writes.
func (s *State) foldLate(at Stamp, authority string, delta Value) bool {
	newest, _ := s.Newest(authority)
	var all, own []valueMember // that are last in the status, and in the authority's
	var over Stamp             // by when the others were written over
	for i, m := range delta.members {
		if !s.writtenSince(at, "/"+pointerEscape(m.key)) {
			all, own = append(all, m), append(own, m)
			continue
		}
		one := Value{kind: valueObject, members: delta.members[i : i+1]}
		byAny, ok := s.writtenOver(at, one, func(Origin) bool { return true })
		if !ok {
			return false
		}
		over = over.later(byAny)
		if newest.Compare(at) < 0 {
			own = append(own, m)
			continue
		}
		byOwn, ok := s.writtenOver(at, one, func(o Origin) bool { i, _ := s.tip(o); return s.tips[i].authority == authority })
		if !ok {
			return false
		}
		over = over.later(byOwn)
	}
	status, part := Value{kind: valueObject, members: all}, Value{kind: valueObject, members: own}
	s.merge(authority, status, part)
	s.pointsLate(at, over, authority, status, part)
	return true
}

// pointsLate has the points after a late update hold it too. Where what it wrote was not
// written over yet by what is known, they are dropped.
func (s *State) pointsLate(at, over Stamp, authority string, status, part Value) {
	n := s.pointsBefore(at)
	kept := s.points[:n]
	for _, p := range s.points[n:] {
		if p.last.Compare(over) < 0 {
			continue
		}
		fold := State{status: p.status, authorities: slices.Clone(p.authorities)}
		fold.merge(authority, status, part)
		p.status, p.authorities = fold.status, fold.authorities
		p.updates++
		kept = append(kept, p)
	}
	clear(s.points[len(kept):])
	s.points = kept
}

// writtenSince reports whether a member of the status, or what is below it, was written
// after a stamp.
func (s *State) writtenSince(at Stamp, path string) bool {
	since := func(w liveWrite) bool { return (Stamp{w.hlc, w.id}).Compare(at) > 0 }
	if i, ok := s.livePath(path); ok && slices.ContainsFunc(s.live[i].writes, since) {
		return true
	}
	from, to := s.below(path)
	return slices.ContainsFunc(s.live[from:to], func(p livePath) bool { return slices.ContainsFunc(p.writes, since) })
}

// writtenOver reports whether after a stamp each leaf of a delta was written at its
// path with a value that is no object, by one of those origins that count; and by when.
func (s *State) writtenOver(at Stamp, delta Value, counts func(Origin) bool) (by Stamp, ok bool) {
	ok = true
	delta.leaves(func(path []byte, _ Value) {
		var first Stamp
		if i, found := s.livePath(string(path)); found {
			for _, w := range s.live[i].writes {
				stamp := Stamp{w.hlc, w.id}
				if isBlunt(w) && stamp.Compare(at) > 0 && counts(w.id.Origin) && (first.IsZero() || stamp.Compare(first) < 0) {
					first = stamp
				}
			}
		}
		ok = ok && !first.IsZero()
		by = by.later(first)
	})
	return by, ok
}

// refold folds updates onto what a point has. points are those up to it.
func (s *State) refold(base foldPoint, points []foldPoint, updates Stitched) error {
	next := State{status: base.status, authorities: slices.Clone(base.authorities), points: slices.Clone(points)}
	count, last := base.updates, base.last
	var failed error
	updates(func(u *Update, authority string, err error) bool {
		if failed = err; failed != nil {
			return false
		}
		if u.Stamp().Compare(last) <= 0 {
			failed = fmt.Errorf("%s after %s: %w", u.ID, last.ID, errStateOrder)
			return false
		}
		last = u.Stamp()
		count++
		var delta Value
		if delta, failed = stateDelta(u); failed == nil {
			next.fold(authority, delta)
			next.notePoint(last, count)
		}
		return failed == nil
	})
	switch {
	case failed != nil:
		return failed
	case count != s.updates:
		return fmt.Errorf("fold of %q: %d updates, want %d: %w", clip(s.subject), count, s.updates, ErrCorrupt)
	}
	s.status, s.authorities, s.points, s.stale = next.status, next.authorities, next.points, false
	return nil
}

// Rebuild computes a whole state from base, nil for nothing, and the updates
// after it, as is needed once updates were taken back. Contexts are computed
// anew too, for they lose what was seen through those: save, which may be nil,
// gets what the subject's index has to keep for each update. It holds all
// contexts in memory until it returns. earlier is asked, as by Context, for
// deps that only base holds; nil knows none.
func Rebuild(subject string, base *State, updates Stitched, earlier func(ID) (Context, bool, error), save func(u *Update, entry []byte) error) (*State, error) {
	s := NewState(subject)
	if base != nil {
		s = base.Clone()
	}
	contexts := map[ID]Context{}
	for i := range s.tips {
		// What base's own entries lean on may be gone: the next are whole.
		s.tips[i].hops = contextHops
		contexts[s.tips[i].id] = s.tips[i].context
	}
	find := func(id ID) (Context, bool, error) {
		if ctx, ok := contexts[id]; ok || earlier == nil {
			return ctx, ok, nil
		}
		return earlier(id)
	}
	var failed error
	updates(func(u *Update, authority string, err error) bool {
		if err == nil {
			err = s.rebuild(u, authority, contexts, find, save)
		}
		failed = err
		return failed == nil
	})
	if failed != nil {
		return nil, failed
	}
	return s, nil
}

func (s *State) rebuild(u *Update, authority string, contexts map[ID]Context, find func(ID) (Context, bool, error), save func(*Update, []byte) error) error {
	ctx, entry, err := s.Context(u, find)
	if err != nil {
		return err
	}
	if u.Stamp().Compare(s.Last()) <= 0 {
		return fmt.Errorf("%s: %w", u.ID, errStateOrder)
	}
	if _, err := s.Add(u, authority, ctx); err != nil {
		return err
	}
	contexts[u.ID] = ctx
	if save == nil {
		return nil
	}
	return save(u, entry)
}
