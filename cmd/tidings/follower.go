package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// follower polls the feed with a cursor, at whichever endpoint answers.
type follower struct {
	caller *caller
	cursor string // start, now, or a node's
	prefix string
	hold   time.Duration // for which a node may hold its answer

	answered bool // by any endpoint, ever
}

// batch is one answer of the feed.
type batch struct {
	Updates   []json.RawMessage `json:"updates"`
	Cursor    string            `json:"cursor"`
	UpToDate  bool              `json:"up_to_date"`
	Retracted []retraction      `json:"retracted"`
}

type retraction struct {
	Origin string `json:"origin"`
	After  uint64 `json:"after"`
}

const (
	feedLimit = 1_000
	// longCursor is the length past which a cursor goes in a body: proxies
	// commonly take 8 KiB of a request line.
	longCursor = 4 << 10
)

// poll gets the batch after the cursor and hands it to use, whose calls to the
// same nodes may fail too: either is tried again for the timeout, if any node
// has answered before. The cursor stays where it is.
func (f *follower) poll(ctx context.Context, use func(*batch) error) (*batch, error) {
	start := time.Now()
	for pause := retryFirst; ; pause = min(2*pause, retryLast) {
		b, err := f.once(ctx)
		if err == nil {
			f.answered = true
			err = use(b)
		}
		if err == nil {
			return b, nil
		}
		patience := f.caller.timeout == 0 || time.Since(start)+pause < f.caller.timeout
		if !f.answered || !passing(err) || !patience {
			return nil, err
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// passing reports whether an error may be gone in a moment.
func passing(err error) bool {
	var lost *unreachableError
	var problem *problemError
	return errors.As(err, &lost) ||
		errors.As(err, &problem) && (problem.Status == http.StatusTooManyRequests || problem.Status >= 500)
}

func (f *follower) once(ctx context.Context) (*batch, error) {
	r := request{path: "/v1/changes", wait: f.hold}
	if len(f.cursor) <= longCursor {
		r.query = url.Values{"since": {f.cursor}, "limit": {strconv.Itoa(feedLimit)}}
		if f.prefix != "" {
			r.query.Set("prefix", f.prefix)
		}
		if f.hold > 0 {
			r.query.Set("wait", f.hold.String())
		}
	} else {
		fields := map[string]any{"since": f.cursor, "limit": feedLimit}
		if f.prefix != "" {
			fields["prefix"] = f.prefix
		}
		if f.hold > 0 {
			fields["wait"] = f.hold.String()
		}
		body, err := json.Marshal(fields)
		if err != nil {
			return nil, err
		}
		r.method, r.body, r.header = http.MethodPost, body, http.Header{"Content-Type": {"application/json"}}
	}
	a, err := f.caller.do(ctx, r)
	if err != nil {
		return nil, err
	}
	var b batch
	if err := a.decode(&b); err != nil {
		return nil, err
	}
	if b.Cursor == "" {
		return nil, fmt.Errorf("%s: batch without a cursor", a.endpoint)
	}
	return &b, nil
}

// history gets the updates of an update's subject, that update among them.
func (f *follower) history(ctx context.Context, u *updateJSON, h *historyJSON) error {
	path, err := subjectPath("history", u.Subject)
	if err != nil {
		return err
	}
	const hold = 5 * time.Second
	a, err := f.caller.do(ctx, request{path: path, query: url.Values{"at_least": {u.ID}, "wait": {hold.String()}}, wait: hold})
	if err != nil {
		return err
	}
	return a.decode(h)
}
