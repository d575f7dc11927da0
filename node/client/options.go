package client

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// An option of Changes is a FeedOption, one of Subjects a ListOption, one of View a
// ViewOption, one of History a ReadOption. Some serve several.
type (
	FeedOption interface{ feed(*feedOptions) }
	ListOption interface{ list(*listOptions) }
	ViewOption interface{ view(*viewOptions) }
	ReadOption interface{ read(*readOptions) }
)

type feedOptions struct {
	filter
	since    string
	keep     CursorStore
	limit    int
	hold     time.Duration
	every    time.Duration
	once     bool
	patience time.Duration
}

type listOptions struct {
	filter
	readOptions
	limit  int
	atMost int
	empty  bool
}

type readOptions struct {
	atLeast string
	wait    time.Duration
}

type viewOptions struct {
	readOptions
	at  string // a cursor
	cut bool   // at was given
	tag string // of a view that is not to be answered again, "" for none
}

// filter selects updates of a feed, or subjects of a list.
type filter struct {
	prefix      string
	authorities []string
}

// FilterOption narrows a feed or a list. A cursor is good for the same filter
// only: with another one it is ErrBadCursor.
type FilterOption func(*filter)

func (o FilterOption) feed(f *feedOptions) { o(&f.filter) }
func (o FilterOption) list(l *listOptions) { o(&l.filter) }

// Prefix selects subjects by whole segments: "order" is order and all below it,
// "order/" only what is below, "" is all.
func Prefix(p string) FilterOption { return func(f *filter) { f.prefix = p } }

// Authorities selects the updates of these authorities in a feed, and the
// subjects that any of them wrote in a list.
func Authorities(names ...string) FilterOption {
	return func(f *filter) { f.authorities = append(f.authorities, names...) }
}

type feedOption func(*feedOptions)

func (o feedOption) feed(f *feedOptions) { o(f) }

// Since begins after a cursor, of whatever node, or with "start" (the default) or
// "now".
func Since(cursor string) FeedOption { return feedOption(func(f *feedOptions) { f.since = cursor }) }

// Keep begins after the cursor that the store has, with that of Since while it
// has none, and keeps the cursor of each batch there: once the loop asks for the
// next batch, and so is done with it. A loop that is left by break or return is
// not done with its last batch, and gets it again.
func Keep(s CursorStore) FeedOption { return feedOption(func(f *feedOptions) { f.keep = s }) }

// Every polls every so often, counted from poll to poll, for as long as there is
// nothing more at once. Default 0: polls wait at the node for news.
func Every(d time.Duration) FeedOption { return feedOption(func(f *feedOptions) { f.every = d }) }

// Hold is how long a poll waits at a node for news, up to 55 s; the client takes
// up to a quarter less, so that many do not come at once. A shorter one finds a
// node that hangs sooner, and costs more requests. It has to be below the time after
// which proxies in between cut a request without an answer. Default 30 s.
func Hold(d time.Duration) FeedOption { return feedOption(func(f *feedOptions) { f.hold = d }) }

// Once ends the feed, without an error, after the first batch that is up to date,
// instead of waiting for more. That batch's cursor is kept too.
func Once() FeedOption { return feedOption(func(f *feedOptions) { f.once = true }) }

// Patience is how long a feed goes on trying, once a poll has failed, before it ends
// with the error; and where no endpoint has ever answered it, it ends at once, for
// then they are likely wrong. Default 0: for ever, from the start.
func Patience(d time.Duration) FeedOption {
	return feedOption(func(f *feedOptions) { f.patience = d })
}

// LimitOption bounds what comes in one piece.
type LimitOption int

func (o LimitOption) feed(f *feedOptions) { f.limit = int(o) }
func (o LimitOption) list(l *listOptions) { l.limit = int(o) }

// Limit bounds the updates of a batch, 1 to 10,000, or the subjects of a page, 1
// to 1,000. Default 1,000.
func Limit(n int) LimitOption { return LimitOption(n) }

type viewOption func(*viewOptions)

func (o viewOption) view(v *viewOptions) { o(v) }

// At asks for the view as it was at a cursor, of whatever node, feed or list: of
// those updates that the cursor has seen. It is the same whenever it is asked for,
// unless a fork took some of them back. A node that has not all of them waits for
// as long as Wait says, and is then passed over: ErrBehind where none has. Where the
// cursor has seen nothing of the subject it is ErrNotFound. It does not go with
// AtLeast.
func At(cursor string) ViewOption {
	return viewOption(func(v *viewOptions) { v.at, v.cut = cursor, true })
}

type listOption func(*listOptions)

func (o listOption) list(l *listOptions) { o(l) }

// AtMost ends a list after n subjects. Default 0: all.
func AtMost(n int) ListOption { return listOption(func(l *listOptions) { l.atMost = n }) }

// Ended lists subjects too whose status is empty.
func Ended() ListOption { return listOption(func(l *listOptions) { l.empty = true }) }

// PlaceOption asks a read for what a node may not have yet.
type PlaceOption func(*readOptions)

func (o PlaceOption) read(r *readOptions) { o(r) }
func (o PlaceOption) view(v *viewOptions) { o(&v.readOptions) }
func (o PlaceOption) list(l *listOptions) { o(&l.readOptions) }

// AtLeast asks for an answer that holds these updates, or what a cursor has seen:
// by the ID that a publish returned one reads one's own writes. A node that does
// not have it yet is passed over, and ErrBehind is where none has.
func AtLeast(idsOrCursor ...string) PlaceOption {
	return func(r *readOptions) { r.atLeast = strings.Join(idsOrCursor, ",") }
}

// Wait is how long each node may wait for AtLeast, or At, up to 55 s. Default 0.
func Wait(d time.Duration) PlaceOption { return func(r *readOptions) { r.wait = d } }

// The bounds of the interface.
const (
	maxWait    = 55 * time.Second
	maxChanges = 10_000
	maxPage    = 1_000
)

func checkRange[T int | time.Duration](name string, v, least, most T) error {
	if v < least || v > most {
		return fmt.Errorf("%w: %s: want %v to %v, got %v", ErrConfig, name, least, most, v)
	}
	return nil
}

func (f filter) query(q url.Values) {
	if f.prefix != "" {
		q.Set("prefix", f.prefix)
	}
	if len(f.authorities) > 0 {
		q["authority"] = f.authorities
	}
}

func (r readOptions) query(q url.Values) {
	if r.atLeast != "" {
		q.Set("at_least", r.atLeast)
	}
	if r.wait > 0 {
		q.Set("wait", r.wait.String())
	}
}

func (r readOptions) check() error { return checkRange("Wait", r.wait, 0, maxWait) }

func (v viewOptions) query(q url.Values) {
	v.readOptions.query(q)
	if v.cut {
		q.Set("at", v.at) // an empty one is refused: it asks for something else than now
	}
}

func (v viewOptions) check() error {
	if v.cut && v.atLeast != "" {
		return fmt.Errorf("%w: At does not go with AtLeast", ErrConfig)
	}
	return v.readOptions.check()
}

func (l *listOptions) query(page string, limit int) url.Values {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	l.filter.query(q)
	l.readOptions.query(q)
	if l.empty {
		q.Set("empty", "true")
	}
	if page != "" {
		q.Set("page", page)
	}
	return q
}
