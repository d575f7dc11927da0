package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// FollowOption is an option of Follow.
type FollowOption func(*followOptions)

type followOptions struct {
	compare time.Duration
	feed    []FeedOption
}

// CompareEvery is the least time between two comparisons with a node's view, each
// of which is a request, answered without a body while nothing changed. The first
// view is compared in any case. Default 1 min; 0 compares after each change.
func CompareEvery(d time.Duration) FollowOption {
	return func(o *followOptions) { o.compare = d }
}

// Polling gives options to the feed of a Follow: Every, Hold, Limit, Patience.
func Polling(options ...FeedOption) FollowOption {
	return func(o *followOptions) { o.feed = append(o.feed, options...) }
}

const defaultCompare = time.Minute

// Follow yields the view of a subject, and again whenever it changes, until ctx
// ends, which ends it without an error. Of a subject that nothing was ever said of
// it waits for the first. It holds the subject's updates in memory.
//
// The view is rolled up here from the feed's deltas, so that a change costs its
// delta and no more. Now and then it is compared with a node's: of the same updates
// both have the same bytes. A view that was compared has the node's ETag. Where
// they differ, or the feed did not bring what the node shows, it is told by
// RollupDiverged and made anew from the history; where that helps nothing it ends
// with ErrDiverged.
//
// A subject of which all was taken back has a view with no updates.
func (c *Client) Follow(ctx context.Context, subject string, options ...FollowOption) iter.Seq2[*View, error] {
	o := followOptions{compare: defaultCompare}
	for _, option := range options {
		option(&o)
	}
	// A roll-up needs all updates of the subject, and its feed begins here.
	own := feedOption(func(f *feedOptions) {
		f.filter, f.since, f.keep, f.once = filter{prefix: subject}, "now", nil, false
	})
	return func(yield func(*View, error) bool) {
		f := &follower{c: c, subject: subject, every: o.compare}
		var err error
		if f.feed, err = c.openFeed(ctx, slices.Concat(o.feed, []FeedOption{own})); err == nil {
			err = f.run(ctx, yield)
		}
		if err = unlessEnded(ctx, err); err != nil {
			yield(nil, err)
		}
	}
}

// follower keeps one view current.
type follower struct {
	c       *Client
	subject string
	every   time.Duration
	feed    *feed
	roll    *Rollup

	shown    []byte    // the view that was yielded last, nil for none
	compared time.Time // when a node's view was asked for last
	etag     string    // of a node's view that is equal to the one here, "" if unknown
	less     int       // how often on end a node's view had fewer updates
	behindAt time.Time // since when nodes are behind the feed's cursor, zero if not

	// ahead is a node's view with updates that the feed has still to bring, since a
	// time.
	ahead   *View
	aheadAt time.Time
}

const (
	// feedPatience is how long the feed may take to bring what a node's view has:
	// another node may give the feed than gave the view.
	feedPatience = 10 * time.Second
	// lessPatience is how many comparisons on end may find fewer updates at a node:
	// the history may have been another's, which was ahead.
	lessPatience = 3
)

// run yields views until the consumer or ctx ends it.
func (f *follower) run(ctx context.Context, yield func(*View, error) bool) error {
	for first := true; ; first = false {
		b, err := f.feed.next(ctx)
		if err != nil {
			return err
		}
		anew := first || f.roll.completes(b)
		if anew {
			err = f.restart(ctx)
		} else {
			err = f.take(ctx, b)
		}
		if err != nil {
			return err
		}
		due := anew || b.UpToDate && time.Since(f.compared) >= f.every
		if !anew && f.every > 0 {
			// The consumer does not wait for a comparison of each view.
			if more, err := f.show(yield); err != nil || !more {
				return err
			}
		}
		if due {
			if err := f.compare(ctx); err != nil {
				return err
			}
		}
		if more, err := f.show(yield); err != nil || !more {
			return err
		}
	}
}

// restart makes the roll-up anew.
func (f *follower) restart(ctx context.Context) error {
	f.etag, f.less, f.ahead = "", 0, nil
	f.roll = f.c.Rollup()
	f.roll.Patience = f.feed.options.patience
	f.roll.tell(f.feed.cursor)
	_, err := f.roll.begin(ctx, f.subject, f.feed.cursor)
	return err
}

// take folds a batch in.
func (f *follower) take(ctx context.Context, b *Batch) error {
	for _, back := range b.Retracted {
		changed, err := f.roll.retract(back)
		if err != nil {
			return err
		}
		if len(changed) > 0 {
			f.etag, f.ahead = "", nil
		}
	}
	for i := range b.Updates {
		u := &b.Updates[i]
		if u.Subject != f.subject {
			continue // it is below the subject
		}
		added, err := f.rolled().add(u)
		if err != nil {
			return err
		}
		if !added {
			continue
		}
		f.etag = ""
		if f.ahead != nil {
			if err := f.meet(ctx, f.ahead); err != nil {
				return err
			}
		}
	}
	if f.ahead != nil && b.UpToDate && time.Since(f.aheadAt) >= feedPatience {
		return f.differs(ctx, fmt.Errorf("the feed does not bring all of %v", f.ahead.Heads), f.ahead)
	}
	return nil
}

// compare asks a node for its view.
func (f *follower) compare(ctx context.Context) error {
	f.compared = time.Now()
	o := viewOptions{tag: f.etag, readOptions: readOptions{atLeast: f.roll.reachable(f.feed.cursor)}}
	v, err := f.c.view(ctx, f.subject, o)
	switch isBehind := errors.Is(err, ErrBehind); {
	case !isBehind:
		f.behindAt = time.Time{}
	case f.behindAt.IsZero():
		f.behindAt = time.Now()
	case time.Since(f.behindAt) >= lostPatience:
		f.roll.leaveOut(ctx, f.feed.cursor) // what nobody has any more is compared without
	}
	switch {
	case errors.Is(err, ErrNotFound):
		if f.rolled().state.Updates() == 0 {
			return nil
		}
		v = &View{}
	case err != nil && Transient(err):
		return nil // the feed meets it too, and the next comparison comes
	case err != nil:
		return err
	case v == nil:
		return nil // not modified
	}
	return f.meet(ctx, v)
}

// rolled is the subject's roll-up.
func (f *follower) rolled() *rolled { return f.roll.subjects[f.subject] }

// meet holds the roll-up against a node's view, as far as both are of the same
// updates.
func (f *follower) meet(ctx context.Context, v *View) error {
	s := f.rolled()
	for _, id := range v.Heads {
		if _, here := s.contexts[id]; !here {
			if f.ahead != v {
				f.ahead, f.aheadAt = v, time.Now()
			}
			return nil
		}
	}
	f.ahead = nil
	// All heads are here, so all that they have seen is.
	switch here := s.state.Updates(); {
	case here == v.Updates:
		f.less = 0
		mine := s.state.AppendView(nil)
		if bytes.Equal(mine, v.Raw) {
			f.etag = v.ETag
			return nil
		}
		return f.differs(ctx, fmt.Errorf("%w: of the same %d updates this has %s, the node %s", ErrDiverged, here, clip(mine), clip(v.Raw)), v)
	case here < v.Updates:
		return f.differs(ctx, fmt.Errorf("the node has %d updates, this %d of them", v.Updates, here), v)
	}
	if f.less++; f.less <= lessPatience {
		return nil
	}
	return f.differs(ctx, errors.New("the node has fewer updates than this"), v)
}

// differs makes a roll-up anew that is not what a node shows. Where the fold itself
// is another than the node's, that cannot help.
func (f *follower) differs(ctx context.Context, why error, v *View) error {
	f.c.tell(Event{Kind: RollupDiverged, Err: fmt.Errorf("%s: %w", f.subject, why)}, true)
	if err := f.restart(ctx); err != nil {
		return err
	}
	s := f.rolled()
	same := s.state.Updates() == v.Updates && slices.Equal(s.state.Heads(), v.Heads)
	switch mine := s.state.AppendView(nil); {
	case same && bytes.Equal(mine, v.Raw):
		f.etag = v.ETag
	case same && errors.Is(why, ErrDiverged):
		return why
	}
	return nil
}

// show yields the view if it is another than the last.
func (f *follower) show(yield func(*View, error) bool) (more bool, err error) {
	s := f.rolled()
	if s.state.Updates() == 0 && f.shown == nil {
		return true, nil
	}
	raw := s.state.AppendView(nil)
	if bytes.Equal(raw, f.shown) {
		return true, nil
	}
	f.shown = raw
	v := &View{ETag: f.etag}
	if err := json.Unmarshal(raw, &v.View); err != nil {
		return false, err
	}
	return yield(v, nil), nil
}

// clip shortens a view for an error.
func clip(b []byte) string {
	const most = 512
	if len(b) > most {
		return string(b[:most]) + "…"
	}
	return string(b)
}
