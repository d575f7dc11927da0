package svg

import (
	"fmt"
	"maps"

	"github.com/tidings-mesh/tidings/chain"
)

// Most is how many updates are drawn, the newest. The picture says so where there
// are more.
const Most = 200

// History takes in the updates of a subject. It keeps those that may be drawn,
// what each update had seen, and of the rest what they add up to. It is not safe
// for concurrent use.
type History struct {
	base     *chain.State          // of the updates before kept
	older    map[chain.Origin]bool // whose updates are in base
	contexts map[chain.ID]chain.Context
	kept     []entry // the newest, Most at least where there are so many
}

// entry is an update of a chain of that authority.
type entry struct {
	*chain.Update
	authority string
}

// New is the history of a subject without updates.
func New(subject string) *History {
	return &History{base: chain.NewState(subject), older: map[chain.Origin]bool{}, contexts: map[chain.ID]chain.Context{}}
}

// Add takes the next update in stitched order, of a chain of that authority. It
// keeps the update, which must not be written to any more.
func (h *History) Add(u *chain.Update, authority string) error {
	if len(h.kept) == 2*Most {
		for _, e := range h.kept[:Most] {
			if err := h.fold(h.base, e); err != nil {
				return err
			}
			h.older[e.ID.Origin] = true
		}
		h.kept = append(h.kept[:0], h.kept[Most:]...)
	}
	h.kept = append(h.kept, entry{u, authority})
	return nil
}

// fold takes an update into a state of the updates before it.
func (h *History) fold(s *chain.State, e entry) error {
	if e.Stamp().Compare(s.Last()) <= 0 {
		return fmt.Errorf("draw the history of %q: %s is not next in stitched order", clip(s.Subject(), maxTitle), e.ID)
	}
	seen, _, err := s.Context(e.Update, func(id chain.ID) (chain.Context, bool, error) {
		seen, ok := h.contexts[id]
		return seen, ok, nil
	})
	if err != nil {
		return err
	}
	h.contexts[e.ID] = seen
	_, err = s.Add(e.Update, e.authority, seen)
	return err
}

// Append draws the updates that were added. It may be called again after more.
// Without any it draws nothing.
func (h *History) Append(dst []byte) ([]byte, error) {
	if len(h.kept) == 0 {
		return dst, nil
	}
	p, err := h.picture()
	if err != nil {
		return nil, err
	}
	return p.append(dst), nil
}

// picture lays out what is to be drawn.
func (h *History) picture() (*picture, error) {
	state, older := h.base.Clone(), maps.Clone(h.older)
	from := max(0, len(h.kept)-Most)
	for _, e := range h.kept[:from] {
		if err := h.fold(state, e); err != nil {
			return nil, err
		}
		older[e.ID.Origin] = true
	}
	open := state.Conflicts()
	clashes := newClashes(open)
	for _, e := range h.kept[from:] {
		if err := h.fold(state, e); err != nil {
			return nil, err
		}
		if clashes.tooMany {
			continue
		}
		before := open
		open = state.Conflicts()
		clashes.after(e.ID, open, before)
	}
	p := &picture{state: state, clashes: clashes, contexts: h.contexts, older: older}
	p.layOut(h.kept[from:])
	return p, nil
}
