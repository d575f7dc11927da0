package core

import (
	"context"
	"errors"

	"github.com/tidings-mesh/tidings/chain"
)

// views are the states of subjects at the place of a reaction. A few are kept, so
// that the triggers of a busy subject need not fold it anew each time.
type views struct {
	archive *chain.Archive
	at      map[string]*chain.State
	order   []string // of at, as they came
}

// viewsKept bounds the states that are kept.
const viewsKept = 64

func newViews(a *chain.Archive) views { return views{archive: a, at: map[string]*chain.State{}} }

func (v *views) clear() {
	clear(v.at)
	v.order = nil
}

// around is the subject of an update at a place, and with the update besides.
func (v *views) around(ctx context.Context, u *chain.Update, authority string, place chain.Frontier) (before, after *chain.State, err error) {
	before = v.at[u.Subject]
	if before == nil {
		before, err = v.archive.ViewAt(ctx, u.Subject, place)
		switch {
		case errors.Is(err, chain.ErrNotFound):
			before = chain.NewState(u.Subject)
		case err != nil:
			return nil, nil, err
		}
		v.keep(before)
	}
	after, err = v.with(ctx, before, u, authority, place)
	// The caller may do with them what it likes.
	return before.Clone(), after, err
}

// with is a state with an update besides.
func (v *views) with(ctx context.Context, s *chain.State, u *chain.Update, authority string, place chain.Frontier) (*chain.State, error) {
	seen, err := v.archive.ContextOf(u)
	if err != nil {
		return nil, err
	}
	after := s.Clone()
	stale, err := after.Add(u, authority, seen)
	if err != nil || !stale {
		return after, err
	}
	at := place.Clone()
	at[u.ID.Origin] = u.ID.Seq
	return v.archive.ViewAt(ctx, u.Subject, at)
}

// passed takes in an update that the place has moved behind.
func (v *views) passed(u *chain.Update, authority string) {
	s := v.at[u.Subject]
	if s == nil {
		return
	}
	seen, err := v.archive.ContextOf(u)
	var stale bool
	if err == nil {
		stale, err = s.Add(u, authority, seen)
	}
	if err != nil || stale {
		delete(v.at, u.Subject) // it is folded anew when it is needed
	}
}

func (v *views) keep(s *chain.State) {
	if len(v.order) == viewsKept {
		delete(v.at, v.order[0])
		v.order = v.order[1:]
	}
	v.at[s.Subject()] = s
	v.order = append(v.order, s.Subject())
}
