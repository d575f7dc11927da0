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
	if base == nil {
		base = NewState(s.subject)
	}
	next := State{status: base.status, authorities: slices.Clone(base.authorities)}
	count, last := base.updates, base.Last()
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
		}
		return failed == nil
	})
	switch {
	case failed != nil:
		return failed
	case count != s.updates:
		return fmt.Errorf("fold of %q: %d updates, want %d: %w", clip(s.subject), count, s.updates, ErrCorrupt)
	}
	s.status, s.authorities, s.stale = next.status, next.authorities, false
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
