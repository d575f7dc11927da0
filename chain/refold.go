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
		p = foldPoint{base.Last(), base.updates, base.status, base.authorities}
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
func (s *State) latePoints() int {
	n, _ := slices.BinarySearchFunc(s.points, s.late, func(p foldPoint, late Stamp) int { return p.last.Compare(late) })
	return n
}

// foldPoint is what the fold was after some of the updates in stitched order.
type foldPoint struct {
	last        Stamp
	updates     uint64
	status      Value
	authorities []stateAuthority
}

// pointGap is the number of updates between two points.
const pointGap = 16

// notePoint makes a point of the fold up to an update, where one is due. The
// further back points are, the fewer are kept, about one for each doubling of the
// distance. An update that comes so many updates late has at most three times as
// many folded anew, and pointGap.
func (s *State) notePoint(last Stamp, updates uint64) {
	if updates%pointGap != 0 {
		return
	}
	s.points = slices.DeleteFunc(s.points, func(p foldPoint) bool {
		spaced := p.updates & -p.updates // the largest power of two that divides it
		return updates-p.updates > 2*spaced
	})
	s.points = append(s.points, foldPoint{last, updates, s.status, slices.Clone(s.authorities)})
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
	late, err := s.Add(u, authority, ctx)
	if err != nil {
		return err
	}
	if late {
		return fmt.Errorf("%s: %w", u.ID, errStateOrder)
	}
	contexts[u.ID] = ctx
	if save == nil {
		return nil
	}
	return save(u, entry)
}
