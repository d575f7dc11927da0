package core

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/tidings-mesh/tidings/chain"
)

// Reaction is the way of one hook through what is applied on its node: update by
// update, in causal order, each dealt with once. Who runs it calls Next for the
// next trigger, asks the hook, and hands the Settlement to the Writer, which
// commits the answer together with the place. It is of one goroutine, beside the
// writer's.
type Reaction struct {
	conf ReactionConfig
	// place is what is dealt with: an update in it is never a trigger again.
	place chain.Cursor
	moved bool // since it was saved
	// page are the updates that come next, and end the place behind them, which
	// passes over what the prefix leaves out.
	page  []*chain.Update
	end   chain.Cursor
	views views
	took  []chain.Retraction // since Retracted was asked
}

// ReactionConfig says what a reaction is.
type ReactionConfig struct {
	Archive *chain.Archive
	// Authority is the node's. Its updates are no triggers, by whichever of its
	// nodes.
	Authority string
	Hook      string
	Prefix    chain.Prefix // of the subjects of its triggers
	// FromStart has a new hook begin with all that is here.
	FromStart bool
}

// Begin says from where a reaction goes on.
type Begin uint8

const (
	// GoesOn: from the place that its last run left.
	GoesOn Begin = iota
	// FromNow: the name is new here and to the authority.
	FromNow
	// FromFirst: the name is new here, and it was told so.
	FromFirst
	// FromAnswers: the name is new here, as in a directory that was lost, but the
	// authority has answered under it. It begins after what was dealt with for
	// certain: what was answered, what comes before that on its chain, since chains
	// are gone through in order, and what that depends on, since it came before; and
	// not before the first in stitched order that was answered. What was dealt with
	// beyond, and got no answer, comes again: it looks like what came too late for one.
	FromAnswers
)

// OpenReaction finds the place of a hook. was is the prefix that its last run had.
// Unless it goes on, the place has to be saved, see [Reaction.Save], before
// anything is done. From answers it takes as long as it takes to read these, and
// what came since the first: ctx ends that.
func OpenReaction(ctx context.Context, c ReactionConfig) (r *Reaction, from Begin, was chain.Prefix, err error) {
	r = &Reaction{conf: c, views: newViews(c.Archive)}
	b, err := c.Archive.Private(ReactionRecord(c.Hook))
	if err != nil {
		return nil, 0, "", err
	}
	if b == nil {
		from, err = r.begin(ctx)
		return r, from, c.Prefix, err
	}
	record, err := decodeReactionRecord(b)
	if err != nil {
		return nil, 0, "", fmt.Errorf("place of reaction %q: %w", c.Hook, err)
	}
	r.place = record.place
	r.place.Filter = r.filter().Hash()
	r.moved = record.prefix != c.Prefix
	return r, GoesOn, record.prefix, nil
}

// begin places a hook that is new here.
func (r *Reaction) begin(ctx context.Context) (Begin, error) {
	r.moved = true
	r.place = r.conf.Archive.Now(r.filter())
	if r.conf.FromStart {
		r.place.Frontier, r.place.Told = chain.Frontier{}, nil
		return FromFirst, nil
	}
	first, newest, err := r.conf.Archive.Causes(ctx, r.conf.Authority, r.conf.Hook)
	if err != nil || first.IsZero() {
		return FromNow, err
	}
	before, err := r.conf.Archive.Until(first)
	if err != nil {
		return FromAnswers, err
	}
	r.place.Frontier, err = r.conf.Archive.Past(ctx, newest, before)
	return FromAnswers, err
}

func (r *Reaction) filter() chain.Filter { return chain.Filter{Prefix: r.conf.Prefix} }

// Place is what is dealt with. It must not be written to, and never is: a place
// that moves is another one.
func (r *Reaction) Place() chain.Cursor { return r.place }

// Trigger is an update that a hook is asked about.
type Trigger struct {
	Update    *chain.Update
	Authority string // that wrote it
	// Before and After are its subject with what is dealt with, and with the update
	// besides. Before is empty where that is the first.
	Before, After *chain.State
}

// pageLimit bounds what is read ahead of the place.
const pageLimit = 256

// Watch is rung once there may be another trigger than the last Next found. Make
// it before.
func (r *Reaction) Watch() *chain.FeedWatch { return r.conf.Archive.WatchFeed(r.place, r.filter()) }

// Next is the next trigger that is not answered yet, nil if there is none now, or
// ctx has ended. Updates of the node's own authority are passed over, and those
// that it has answered. Soon says to look again in a moment, whatever rings: a
// freeze is about to be shown to readers. The error is the store's.
func (r *Reaction) Next(ctx context.Context) (t *Trigger, soon bool, err error) {
	for ctx.Err() == nil {
		if len(r.page) == 0 {
			upToDate, err := r.read(ctx)
			if err != nil {
				return nil, false, err
			}
			if len(r.page) == 0 {
				if upToDate {
					return nil, false, nil
				}
				continue
			}
		}
		t, err := r.trigger(ctx, r.page[0])
		switch {
		case errors.Is(err, chain.ErrNotFound):
			// A freeze took it back, or what it is to be seen with. Readers may be told
			// only in a moment.
			r.drop()
			return nil, true, nil
		case err != nil:
			return nil, false, err
		case t != nil:
			return t, false, nil
		default:
			r.pass()
		}
	}
	return nil, false, nil
}

// read reads the next page. A place beyond a freeze goes back to it.
func (r *Reaction) read(ctx context.Context) (upToDate bool, err error) {
	page, err := r.conf.Archive.Feed(r.place, r.filter(), pageLimit, func() bool { return ctx.Err() != nil })
	if err != nil {
		return false, err
	}
	if len(page.Retracted) > 0 {
		r.took = append(r.took, page.Retracted...)
		r.views.clear()
		r.moved = true
		r.place = r.place.Clone()
		for _, back := range page.Retracted {
			r.place.Frontier[back.Origin] = back.After
		}
	}
	r.place.Told = page.Cursor.Told
	r.page, r.end = page.Updates, page.Cursor
	if len(r.page) == 0 {
		r.reach()
	}
	return page.UpToDate, nil
}

// reach moves the place behind the page.
func (r *Reaction) reach() {
	r.moved = r.moved || !maps.Equal(r.place.Frontier, r.end.Frontier)
	r.place, r.page = r.end, nil
}

// drop forgets the page, which is read again from the place.
func (r *Reaction) drop() {
	r.page = nil
	r.views.clear()
}

// trigger is the update as a trigger, nil if it is none or was answered.
func (r *Reaction) trigger(ctx context.Context, u *chain.Update) (*Trigger, error) {
	authority := r.conf.Archive.Authority(u.ID.Origin)
	if !r.conf.Archive.Frontier().Has(u.ID) {
		return nil, fmt.Errorf("update %s: %w", u.ID, chain.ErrNotFound)
	}
	if authority == r.conf.Authority {
		return nil, nil
	}
	by, err := r.conf.Archive.Answered(r.conf.Authority, r.conf.Hook, u.ID)
	if err != nil || !by.IsZero() {
		return nil, err
	}
	t := &Trigger{Update: u, Authority: authority}
	t.Before, t.After, err = r.views.around(ctx, u, authority, r.place.Frontier)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// pass moves the place behind the next update.
func (r *Reaction) pass() {
	u := r.page[0]
	r.place, r.page = r.behind(u), r.page[1:]
	r.views.passed(u, r.conf.Archive.Authority(u.ID.Origin))
	r.moved = true
	if len(r.page) == 0 {
		r.reach()
	}
}

// behind is the place after the next update, which is the page's end if it is the
// last of it.
func (r *Reaction) behind(u *chain.Update) chain.Cursor {
	if len(r.page) == 1 {
		return r.end
	}
	p := r.place.Clone()
	p.Frontier[u.ID.Origin] = u.ID.Seq
	return p
}

// Settlement is what is to be committed together: a place, and the draft that
// answers the trigger right before it, if there is one.
type Settlement struct {
	Draft  *chain.Prepared // nil for none
	Answer Answer          // what Draft is
	record string
	place  []byte
}

// Answer names an answer: there is one for each.
type Answer struct {
	Authority, Hook string
	Cause           chain.ID
}

// Settled is what became of a settlement.
type Settled struct {
	Receipt chain.Receipt // of the draft, zero if it was none or was refused
	// By is the update that had answered the trigger before, zero if none had.
	By chain.ID
	// Err is why the draft was refused. For good, if Moved says that the place has
	// moved on all the same; else it may be settled again.
	Err   error
	Moved bool
}

// Settle is what to hand to the writer about the trigger that Next returned, and
// the draft that answers it, of which Cause and Hook are set here. Once the writer
// has moved the place, Pass and Saved are to be called. The error is a
// *chain.DraftError: no such draft can be published.
func (r *Reaction) Settle(t *Trigger, d chain.Draft) (*Settlement, error) {
	d.Cause, d.Hook = t.Update.ID, r.conf.Hook
	draft, err := chain.Prepare(d)
	if err != nil {
		return nil, err
	}
	s := r.settlement(r.behind(t.Update))
	s.Draft, s.Answer = draft, Answer{r.conf.Authority, r.conf.Hook, t.Update.ID}
	return s, nil
}

// Pass moves the place behind the trigger that Next returned: it was settled, or
// needs no answer.
func (r *Reaction) Pass() { r.pass() }

// Unsaved reports whether the place has moved since it was saved.
func (r *Reaction) Unsaved() bool { return r.moved }

// Save is the place alone, for the writer. What was passed over since it was saved
// last comes again after a crash.
func (r *Reaction) Save() *Settlement { return r.settlement(r.place) }

// Saved notes that the place is where the writer has it.
func (r *Reaction) Saved() { r.moved = false }

// Retracted are the chains of which updates were taken back that the place had
// covered, since the last call.
func (r *Reaction) Retracted() []chain.Retraction {
	took := r.took
	r.took = nil
	return took
}

func (r *Reaction) settlement(place chain.Cursor) *Settlement {
	return &Settlement{record: ReactionRecord(r.conf.Hook), place: reactionRecord{r.conf.Prefix, place}.encode()}
}

// LagOf is by how many updates a place is behind what is applied.
func LagOf(place, applied chain.Frontier) (n uint64) {
	for o, seq := range applied {
		if at := place[o]; at < seq {
			n += uint64(seq - at)
		}
	}
	return n
}
