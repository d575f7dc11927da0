package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// Rollup keeps the views of subjects current from the batches of one feed, as a
// node does: in stitched order, whatever the order in which updates come. From the
// start of the feed on it needs nothing else; in a feed that began elsewhere, a
// subject that it meets begins with its history. It holds the updates of some
// 20,000 subjects in memory; past that it lets all go, and begins each anew once
// it is written to again.
//
// The feed may be narrowed by Prefix, not by Authorities. A Rollup is not safe for
// concurrent use.
type Rollup struct {
	// Patience is how long it goes on to ask for a history where none answers. 0 is
	// for ever.
	Patience time.Duration

	c        *Client
	subjects map[string]*rolled
	// cursor is the place up to which all was folded in, "" before the first batch.
	cursor string
	// fresh: what is not in subjects was never written to. Else its earlier updates
	// have to be fetched.
	fresh bool
	// told are the freezes that the feed told of. A history from a node that has
	// not heard of one may hold more.
	told chain.Frontier
	// without are chains of which the feed delivered more than nodes have any more,
	// or yet. Histories are asked for without that, rather than waited for.
	without []chain.Origin
}

// Rolled is what became of a subject's status.
type Rolled struct {
	Subject string
	// Update is what was folded in, nil where updates were taken back.
	Update *Update
	Status chain.Value
}

// maxRolled is how many subjects there may be before all are let go.
const maxRolled = 20_000

// Rollup returns a roll-up of a feed.
func (c *Client) Rollup() *Rollup {
	return &Rollup{c: c, subjects: map[string]*rolled{}, told: chain.Frontier{}}
}

// Take folds a batch in: the next one of the feed, or again one that failed. It
// returns the subjects that changed because of what the batch takes back, in
// ascending order, and then, for each update in its order, the status with it. A
// status may be ahead of its update where the subject began with its history; the
// feed catches up with it.
func (r *Rollup) Take(ctx context.Context, b *Batch) ([]Rolled, error) {
	r.place(b)
	var all []Rolled
	for _, back := range b.Retracted {
		changed, err := r.retract(back)
		if err != nil {
			return nil, err
		}
		all = append(all, changed...)
	}
	for i := range b.Updates {
		u := &b.Updates[i]
		s, err := r.subject(ctx, u)
		if err != nil {
			return nil, err
		}
		if _, err := s.add(u); err != nil {
			return nil, err
		}
		all = append(all, Rolled{u.Subject, u, s.state.Status()})
	}
	r.cursor = b.Cursor
	return all, nil
}

// place prepares for a batch. One that does not follow on what was folded in lets
// all subjects go, and so does one from a node that has what some began without.
func (r *Rollup) place(b *Batch) {
	switch {
	case r.cursor == "":
		r.fresh = b.Since == "start"
		r.tell(b.Since)
	case r.cursor != b.Since || len(r.subjects) >= maxRolled || r.completes(b):
		clear(r.subjects)
		r.fresh, r.without = false, nil
	}
	r.cursor = b.Since
}

// completes reports whether the node that gave a batch has what subjects began
// without.
func (r *Rollup) completes(b *Batch) bool {
	return slices.ContainsFunc(r.without, func(o chain.Origin) bool { return !slices.Contains(b.Behind, o) })
}

// tell takes the freezes that a cursor knows. Of one of another version, those
// count alone that the feed tells later.
func (r *Rollup) tell(cursor string) {
	if c, err := chain.ParseCursor(cursor); err == nil {
		maps.Copy(r.told, c.Told)
	}
}

// subject is the roll-up of an update's subject.
func (r *Rollup) subject(ctx context.Context, u *Update) (*rolled, error) {
	if s := r.subjects[u.Subject]; s != nil {
		return s, nil
	}
	if r.fresh {
		s := newRolled(u.Subject)
		r.subjects[u.Subject] = s
		return s, nil
	}
	// What the feed delivered before this batch it does not deliver again.
	atLeast := r.cursor
	if atLeast == "now" {
		atLeast = u.ID.String()
	}
	return r.begin(ctx, u.Subject, atLeast)
}

const (
	// historyWait is how long a node may wait until it has what a history is to
	// hold.
	historyWait = 5 * time.Second
	// lostPatience is how long nodes may be behind what a history is to hold, before
	// it is taken for lost: who catches up is behind for seconds.
	lostPatience = 30 * time.Second
	// longPlace is the length past which a cursor is too long for a path's query.
	longPlace = 24 << 10
)

// begin starts a subject with its history, which holds at least what a cursor or
// an ID stands for, as far as nodes have it.
func (r *Rollup) begin(ctx context.Context, subject, atLeast string) (*rolled, error) {
	h, err := r.history(ctx, subject, atLeast)
	switch {
	case errors.Is(err, ErrNotFound):
		h = &History{Complete: true} // nothing yet, or all of it was taken back
	case err != nil:
		return nil, err
	case !h.Complete:
		return nil, fmt.Errorf("roll up %s: %w", subject, ErrIncomplete)
	}
	s := newRolled(subject)
	for i := range h.Updates {
		u := &h.Updates[i]
		if after, ok := r.told[u.ID.Origin]; ok && u.ID.Seq > after {
			continue
		}
		if _, err := s.add(u); err != nil {
			return nil, err
		}
	}
	r.subjects[subject] = s
	return s, nil
}

// history asks for a subject's history, which holds at least what a cursor or an ID
// stands for. What a node delivered, and was lost with before another had it, is
// nowhere any more: once nodes have been behind for lostPatience, it goes on without
// the chains of which there is less.
func (r *Rollup) history(ctx context.Context, subject, atLeast string) (h *History, err error) {
	limit := lostPatience
	if r.Patience > 0 {
		limit = min(limit, r.Patience/2)
	}
	var behind time.Time // since when
	ask := func() (err error) {
		h, err = r.c.History(ctx, subject, r.holds(atLeast)...)
		return err
	}
	err = r.c.persist(ctx, func() time.Duration { return r.Patience }, func() error {
		err := ask()
		switch {
		case !errors.Is(err, ErrBehind):
			return err
		case behind.IsZero():
			behind = time.Now()
		}
		if time.Since(behind) < limit || !r.leaveOut(ctx, atLeast) {
			return err
		}
		return ask()
	})
	return h, err
}

// holds asks for what a history is to hold.
func (r *Rollup) holds(atLeast string) []ReadOption {
	if atLeast = r.reachable(atLeast); atLeast == "" {
		return nil
	}
	return []ReadOption{AtLeast(atLeast), Wait(historyWait)}
}

// reachable is a cursor, or ID, as far as nodes have what it stands for. In a mesh of
// a thousand chains a cursor cannot be asked by: then it is "", for what the node has
// that is asked.
func (r *Rollup) reachable(atLeast string) string {
	if c, err := chain.ParseCursor(atLeast); err == nil && len(r.without) > 0 {
		for _, o := range r.without {
			delete(c.Frontier, o)
		}
		atLeast = c.String()
	}
	if len(atLeast) > longPlace {
		return ""
	}
	return atLeast
}

// leaveOut finds the chains of which a node has less than a cursor has seen, and
// reports whether there are any that were not known.
func (r *Rollup) leaveOut(ctx context.Context, cursor string) bool {
	c, err := chain.ParseCursor(cursor)
	if err != nil {
		return false // of another version, or an ID
	}
	c.Filter = chain.FilterHash{}
	f := &feed{c: r.c, cursor: c.String(), options: feedOptions{limit: 1}}
	b, err := f.poll(ctx)
	if err != nil {
		return false
	}
	known := len(r.without)
	for _, o := range b.Behind {
		if !slices.Contains(r.without, o) {
			r.without = append(r.without, o)
		}
	}
	return len(r.without) > known
}

// retract takes back a chain's updates after a seq.
func (r *Rollup) retract(back chain.Retraction) (changed []Rolled, err error) {
	if after, ok := r.told[back.Origin]; !ok || back.After < after {
		r.told[back.Origin] = back.After
	}
	for subject, s := range r.subjects {
		did, err := s.retract(back)
		if err != nil {
			return nil, err
		}
		if did {
			changed = append(changed, Rolled{Subject: subject, Status: s.state.Status()})
		}
	}
	slices.SortFunc(changed, func(a, b Rolled) int { return strings.Compare(a.Subject, b.Subject) })
	return changed, nil
}

// Status is the status of a subject as far as it is rolled up, {} of one that is
// not.
func (r *Rollup) Status(subject string) chain.Value {
	if s := r.subjects[subject]; s != nil {
		return s.state.Status()
	}
	return chain.NewState(subject).Status()
}

// View is the view of a subject as far as it is rolled up, byte for byte what a
// node with the same updates gives; nil of one that is not, or that all was taken
// back of.
func (r *Rollup) View(subject string) (*View, error) {
	s := r.subjects[subject]
	if s == nil || len(s.entries) == 0 {
		return nil, nil
	}
	v := &View{}
	return v, json.Unmarshal(s.state.AppendView(nil), &v.View)
}

// rolled is what is known of one subject.
type rolled struct {
	state    *chain.State
	entries  []rolledEntry // in stitched order
	contexts map[chain.ID]chain.Context
}

type rolledEntry struct {
	update    *chain.Update
	authority string
}

func newRolled(subject string) *rolled {
	return &rolled{state: chain.NewState(subject), contexts: map[chain.ID]chain.Context{}}
}

// add folds an update in, unless it is there. One that is the newest of its
// subject, as most are, or that nothing newer touches is merged in place; any other
// one folds the subject anew.
func (s *rolled) add(u *Update) (added bool, err error) {
	at, found := slices.BinarySearchFunc(s.entries, u.Stamp(), func(e rolledEntry, stamp chain.Stamp) int {
		return e.update.Stamp().Compare(stamp)
	})
	if found {
		return false, nil
	}
	e := rolledEntry{authority: u.Authority, update: &chain.Update{
		ID: u.ID, Kind: chain.KindStatus, HLC: u.HLC, Deps: u.Deps,
		Subject: u.Subject, Delta: u.Delta, Cause: u.Cause, Hook: u.Hook,
	}}
	return true, s.fold(at, e)
}

// fold folds an entry in at its place.
func (s *rolled) fold(at int, e rolledEntry) error {
	ctx, _, err := s.state.Context(e.update, func(id chain.ID) (chain.Context, bool, error) {
		ctx, ok := s.contexts[id]
		return ctx, ok, nil
	})
	if err != nil {
		return fmt.Errorf("roll up: %w", err)
	}
	stale, err := s.state.Add(e.update, e.authority, ctx)
	if err != nil {
		return fmt.Errorf("roll up: %w", err)
	}
	s.contexts[e.update.ID] = ctx
	s.entries = slices.Insert(s.entries, at, e)
	if !stale {
		return nil
	}
	err = s.state.Refold(nil, func(yield func(*chain.Update, string, error) bool) {
		for _, e := range s.entries {
			if !yield(e.update, e.authority, nil) {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("roll up: %w", err)
	}
	return nil
}

// retract takes a chain's updates after a seq back. Contexts lose what was seen
// through those, so all is computed anew.
func (s *rolled) retract(back chain.Retraction) (changed bool, err error) {
	kept := slices.DeleteFunc(slices.Clone(s.entries), func(e rolledEntry) bool {
		return e.update.ID.Origin == back.Origin && e.update.ID.Seq > back.After
	})
	if len(kept) == len(s.entries) {
		return false, nil
	}
	again := newRolled(s.state.Subject())
	for i, e := range kept {
		if err := again.fold(i, e); err != nil {
			return false, err
		}
	}
	*s = *again
	return true, nil
}
