package api

import (
	"context"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// follower is a consumer on its way along the feed. It belongs to the goroutine
// of its request.
type follower struct {
	h      *Handler
	filter chain.Filter
	words  string // of the filter
	limit  int
	since  chain.Cursor
	place  string // the text of since, or "start"; "" where it is not made yet
}

// follow begins where a query says; field is where it says so.
func (h *Handler) follow(c *changesQuery, field string) (*follower, error) {
	f := &follower{h: h, filter: c.filter, words: c.filter.String(), limit: c.limit, place: c.since}
	f.since.Filter = c.filter.Hash()
	if c.since == sinceStart || c.since == sinceNow {
		return f, nil
	}
	since, err := chain.ParseCursor(c.since)
	if err != nil {
		return nil, newProblem(CodeBadCursor, field, err.Error())
	}
	if since.Filter != f.since.Filter {
		return nil, newProblem(CodeBadCursor, field, "the cursor was made with another prefix or authority")
	}
	f.since = since
	return f, nil
}

// now goes to the end of the feed, without what is there already.
func (f *follower) now() *batch {
	b := &batch{changes: &Changes{Cursor: f.h.backend.Now(f.filter), UpToDate: true}}
	f.move(b)
	return b
}

// first is next without waiting.
func (f *follower) first(ctx context.Context) (*batch, error) {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	return f.next(ended)
}

// next returns the batch after the follower's place, and goes there. Where there
// is nothing yet it waits until ctx ends, and then returns a batch without
// updates: its cursor is past what the filter left out meanwhile.
func (f *follower) next(ctx context.Context) (*batch, error) {
	for {
		b, err := f.look(ctx)
		if err != nil {
			return nil, err
		}
		f.move(b)
		if b.found || ctx.Err() != nil {
			return b, nil
		}
	}
}

func (f *follower) move(b *batch) { f.since, f.place = b.changes.Cursor, b.place }

func (f *follower) here() chain.Cursor { return f.since }

// look looks for a batch, once, or, where there is none, once more as soon as it
// is woken or ctx ends.
func (f *follower) look(ctx context.Context) (*batch, error) {
	if ctx.Err() != nil {
		return f.batch(f.key(), f.here)
	}
	watch := f.h.backend.Follow(f.since, f.filter)
	defer watch.Stop()
	b, err := f.batch(f.key(), f.here)
	if err != nil || b.found || !b.changes.UpToDate {
		return b, err
	}
	seen := f.h.backend.Version()
	if watch.Wait(ctx) != nil {
		return f.passed(watch, seen)
	}
	f.h.metrics.woken.Inc()
	return f.batch(batchKey{group: watch.Group(), limit: f.limit, converged: f.h.backend.Converged()}, watch.Cursor)
}

// passedEvery is how long a place that consumers passed to is told to others: ten
// thousand that tell theirs within seconds read and encode a few.
const passedEvery = 250 * time.Millisecond

// passed is the batch at the place to which all was passed over while the
// follower waited. Those who wait for the same share it for a moment, but for
// who has seen more than it: since the version seen.
func (f *follower) passed(watch FeedWatch, seen uint64) (*batch, error) {
	key := batchKey{group: watch.Group(), limit: f.limit, converged: f.h.backend.Converged()}
	key.moment = time.Now().UnixNano() / int64(passedEvery)
	b, err := f.batch(key, watch.Cursor)
	if err != nil || b.version >= seen {
		return b, err
	}
	f.since, f.place = watch.Cursor(), ""
	return f.batch(f.key(), f.here)
}

// key names the batch after the follower's place. A watch has to be made before.
func (f *follower) key() batchKey {
	if f.place == "" {
		f.place = f.since.String()
	}
	return batchKey{
		place: f.place, filter: f.words, version: f.h.backend.Version(), limit: f.limit, converged: f.h.backend.Converged(),
	}
}

// batch is the batch of a key: what comes after a place.
func (f *follower) batch(key batchKey, since func() chain.Cursor) (*batch, error) {
	b, again, err := f.h.batches.get(key, func() (*batch, int, error) {
		version := f.h.backend.Version()
		text := f.h.newBatchText()
		c, err := f.h.backend.Changes(since(), f.filter, f.limit, text.add)
		if err != nil {
			return nil, 0, err // and the text is the collector's
		}
		b := text.batch(c, key.converged, key.moment != 0)
		b.version = version
		return b, b.size(key), nil
	})
	if again && err == nil && b.found {
		f.h.metrics.shared.Inc()
	}
	return b, err
}
