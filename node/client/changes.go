package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Changes yields what nodes have after a cursor, in causal order, batch by batch,
// and then what comes, until ctx ends, which ends it without an error. It polls
// one endpoint and moves to another with the same cursor, as the package comment
// says; while none serves it goes on trying, with pauses of up to 5 s, and tells
// by NoneAnswers.
//
// A batch may hold no updates: none came while the poll waited, or what came was
// left out by the filter. Its cursor may have moved. Retracted in a batch names
// chains of which updates that were delivered count no more.
//
// An error that is yielded ends it: a refusal that will not pass, a [Problem]. Two
// are for the consumer to decide about. ErrGone: what came after the cursor is no
// longer kept. Either list Subjects, rebuild from that, and go on Since the list's
// cursor, or go on Since Problem.Floor and accept the gap. ErrBadCursor: the
// cursor is damaged, or was made with another filter.
func (c *Client) Changes(ctx context.Context, options ...FeedOption) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		f, err := c.openFeed(ctx, options)
		if err == nil {
			err = f.run(ctx, yield)
		} else {
			err = unlessEnded(ctx, err)
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// feed polls from a place.
type feed struct {
	c       *Client
	options feedOptions
	cursor  string
	saved   bool // the cursor is what a store kept, and nothing came after it yet

	upToDate bool      // the last batch was
	idle     bool      // and it brought nothing
	behind   bool      // it is to be seen whether the node stays behind
	at       *endpoint // that is behind, since a time; nil for none
	since    time.Time
	answered bool      // by any node, ever
	shaken   bool      // the last poll got no node's answer: the next does not wait
	polled   time.Time // when the last poll began
}

const (
	defaultHold = 30 * time.Second
	// Where no endpoint serves, all are asked again after the first to the last of
	// these, doubling, give or take a half: soon enough for a person who waits, and
	// slow enough for a node that thousands wait for.
	roundFirst = 100 * time.Millisecond
	roundLast  = 5 * time.Second
	// emptyPause is between polls of a node that has nothing and does not hold its
	// answers.
	emptyPause = 50 * time.Millisecond
	// longQuery is the length past which a query goes in a body, because of its
	// cursor or its filter: proxies commonly take 8 KiB of a request line.
	longQuery = 4 << 10
)

func (c *Client) openFeed(ctx context.Context, options []FeedOption) (*feed, error) {
	f := &feed{c: c, options: feedOptions{since: "start", limit: maxPage, hold: defaultHold}}
	for _, o := range options {
		o.feed(&f.options)
	}
	f.cursor = f.options.since
	if f.cursor == "" {
		f.cursor = "start"
	}
	if err := f.options.check(); err != nil {
		return nil, err
	}
	if f.options.keep != nil {
		saved, err := f.options.keep.Load(ctx)
		if err != nil {
			return nil, fmt.Errorf("load cursor: %w", err)
		}
		if saved != "" {
			f.cursor, f.saved = saved, true
		}
	}
	return f, nil
}

func (o *feedOptions) check() error {
	if err := checkRange("Limit", o.limit, 1, maxChanges); err != nil {
		return err
	}
	if err := checkRange("Hold", o.hold, 0, maxWait); err != nil {
		return err
	}
	if o.every < 0 || o.patience < 0 {
		return fmt.Errorf("%w: Every and Patience: want 0 or more", ErrConfig)
	}
	return nil
}

// run yields batches until the consumer or ctx ends it. It returns an error that
// is still to be yielded.
func (f *feed) run(ctx context.Context, yield func(*Batch, error) bool) error {
	for {
		before := f.cursor
		b, err := f.next(ctx)
		if err != nil {
			return unlessEnded(ctx, err)
		}
		if !yield(b, nil) {
			return nil
		}
		if f.options.keep != nil && f.cursor != before {
			if err := f.options.keep.Save(context.WithoutCancel(ctx), f.cursor); err != nil {
				return fmt.Errorf("save cursor: %w", err)
			}
		}
		if f.options.once && b.UpToDate {
			return nil
		}
	}
}

// unlessEnded is an error, unless it is because ctx has ended.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// next waits until it is time, gets the next batch, however often that fails
// meanwhile, and moves the cursor past it.
func (f *feed) next(ctx context.Context) (*Batch, error) {
	pause := time.Duration(0)
	if f.upToDate {
		pause = f.options.every
	}
	if f.idle {
		pause = max(pause, emptyPause)
	}
	if err := sleep(ctx, time.Until(f.polled.Add(pause))); err != nil {
		return nil, err
	}
	var b *Batch
	err := f.c.persist(ctx, f.patience, func() (err error) {
		b, err = f.poll(ctx)
		return err
	})
	if f.saved && refusedByNode(err) {
		err = fmt.Errorf("go on from the saved cursor: %w", err)
	}
	if err != nil {
		return nil, err
	}
	b.Since, f.saved = f.cursor, false
	f.idle = len(b.Updates) == 0 && len(b.Retracted) == 0 && (b.UpToDate || b.Cursor == f.cursor)
	f.cursor, f.upToDate = b.Cursor, b.UpToDate
	return b, nil
}

// patience is for how long polls may fail. Before the first answer, any that has
// an end is at it.
func (f *feed) patience() time.Duration {
	if f.options.patience > 0 && !f.answered {
		return -1
	}
	return f.options.patience
}

// persist repeats what fails for a reason that may pass. After the time that
// patience gives, from the first failure on, it returns the error: 0 is for ever,
// less does not repeat.
func (c *Client) persist(ctx context.Context, patience func() time.Duration, do func() error) error {
	var start time.Time
	pauses := newPause(roundFirst, roundLast)
	for isNew := true; ; isNew = false {
		err := do()
		if err == nil || !Transient(err) {
			return err
		}
		if isNew {
			start = time.Now()
		}
		pause := max(pauses.NextBackOff(), c.pool.quiet())
		if p := patience(); p != 0 {
			left := p - time.Since(start)
			if left <= 0 {
				return err
			}
			pause = min(pause, left)
		}
		c.tell(Event{Kind: NoneAnswers, Err: err, Retry: pause}, isNew)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// poll asks for a batch once at each endpoint, until one gives it. Once one gives
// no answer nobody is asked to wait, until there is one: else each that hangs would
// take the time of a wait to be found, and a proxy that cuts those that wait would
// look like a node that is down.
func (f *feed) poll(ctx context.Context) (*Batch, error) {
	f.polled = time.Now()
	hold := f.hold()
	r, err := f.request(hold)
	if err != nil {
		return nil, err
	}
	if hold > 0 {
		now, err := f.request(0)
		if err != nil {
			return nil, err
		}
		r.next = &now
	}
	b := &Batch{}
	a, err := f.c.round(ctx, r, func(a *Answer) error {
		*b = Batch{}
		err := a.Decode(b)
		if err == nil && b.Cursor == "" {
			err = fmt.Errorf("%s: %w: a batch without a cursor", a.Endpoint, ErrNotANode)
		}
		return err
	})
	f.shaken = err != nil && !refusedByNode(err)
	if err != nil {
		f.answered = f.answered || refusedByNode(err)
		return nil, err
	}
	f.answered = true
	f.lags(a.from, len(b.Behind) > 0)
	return b, nil
}

// hold is how long the next poll waits for news: only once there is nothing more.
func (f *feed) hold() time.Duration {
	o := &f.options
	if !f.upToDate || o.every > 0 || o.once || f.shaken {
		return 0
	}
	hold := (o.hold - rand.N(o.hold/4+1)).Truncate(time.Millisecond)
	if f.behind {
		hold = min(hold, lagPatience)
	}
	return hold
}

// request asks for what is there, or waits for it.
func (f *feed) request(hold time.Duration) (Request, error) {
	o := &f.options
	r := Request{Path: "/v1/changes", Query: url.Values{}, Wait: hold}
	r.Query.Set("limit", strconv.Itoa(o.limit))
	r.Query.Set("since", f.cursor)
	o.filter.query(r.Query)
	readOptions{wait: hold}.query(r.Query)
	if len(r.Query.Encode()) <= longQuery {
		return r, nil
	}
	fields := map[string]any{}
	for name, values := range r.Query {
		fields[name] = values[0]
	}
	fields["limit"] = o.limit
	if len(o.authorities) > 0 {
		fields["authority"] = o.authorities
	}
	body, err := json.Marshal(fields)
	r.Method, r.Query, r.Body, r.Header = http.MethodPost, nil, body, http.Header{"Content-Type": {"application/json"}}
	return r, err
}

// lags takes notice of whether the feed of an endpoint is behind the cursor. Other
// feeds have other cursors, so each tells for itself.
func (f *feed) lags(e *endpoint, behind bool) {
	if !behind {
		f.at, f.behind = nil, false
		if f.c.pool.caughtUp(e, f) {
			f.c.tell(Event{Kind: EndpointCaughtUp, Endpoint: e.url}, true)
		}
		return
	}
	if f.at != e {
		f.at, f.since = e, time.Now()
	}
	var pause time.Duration
	var log bool
	pause, log, f.behind = f.c.pool.leave(e, f, f.since)
	if !f.behind {
		f.at = nil // it begins anew when it is asked again
	}
	if pause > 0 {
		f.c.tell(Event{Kind: EndpointLagging, Endpoint: e.url, Retry: pause}, log)
	}
}
