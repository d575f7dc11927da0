package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"
)

// caller asks the nodes behind some endpoints. It stays with the one that
// answered last and moves on when that one does not answer. It is not safe for
// concurrent use.
type caller struct {
	endpoints []endpoint
	at        int // place in endpoints of the one to ask first
	timeout   time.Duration
	token     string
	http      *http.Client
}

// request is one call. Path is escaped, without the endpoint's own.
type request struct {
	method string // GET if empty
	path   string
	query  url.Values
	header http.Header
	body   []byte
	wait   time.Duration // for which the node was asked to hold the answer
}

// answer is what a node said, read to its end.
type answer struct {
	status   int
	header   http.Header
	body     []byte
	endpoint endpoint
}

const (
	// maxAnswer bounds one answer. A chain page or a batch of the feed is a few
	// megabytes; a history is as long as its subject was written to.
	maxAnswer = 1 << 30
	// Retries of a publish that was sent wait from the first to the last of
	// these, doubling.
	retryFirst = 50 * time.Millisecond
	retryLast  = time.Second
)

func newCaller(f *clientFlags) (*caller, error) {
	endpoints, err := parseEndpoints(f.Endpoints)
	if err != nil {
		return nil, err
	}
	if f.Timeout < 0 {
		return nil, usagef("--timeout: want 0 or more, got %s", f.Timeout)
	}
	token, err := readToken(f.TokenFile)
	if err != nil {
		return nil, err
	}
	return &caller{
		endpoints: endpoints, timeout: f.Timeout, token: token,
		http: &http.Client{
			// A node never redirects: whoever does is not one, and would be
			// given the token.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// do asks for something that is the same however often it is asked for, at
// each endpoint in turn until one serves it. Where none answers, it is an
// *unreachableError; a refusal is a *problemError.
func (c *caller) do(ctx context.Context, r request) (*answer, error) {
	return c.round(ctx, r, func(a *answer) bool {
		return a.status != http.StatusBadGateway && a.status != http.StatusServiceUnavailable && a.status != http.StatusGatewayTimeout
	})
}

// ask is do, but takes any answer for one, refusals included.
func (c *caller) ask(ctx context.Context, r request) (*answer, error) {
	a, err := c.round(ctx, r, func(*answer) bool { return true })
	var problem *problemError
	if a != nil && errors.As(err, &problem) {
		return a, nil
	}
	return a, err
}

// round asks each endpoint once, from the one that answered last, until an
// answer serves. It returns an answer that refuses along with the refusal.
func (c *caller) round(ctx context.Context, r request, serves func(*answer) bool) (*answer, error) {
	var lost []error
	var refused *answer
	for range c.endpoints {
		limit := c.timeout
		if limit > 0 {
			limit += r.wait
		}
		a, _, err := c.try(ctx, c.endpoints[c.at], r, limit)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			lost = append(lost, err)
		case serves(a):
			return a, a.problem()
		default:
			refused = a
		}
		c.at = (c.at + 1) % len(c.endpoints)
	}
	if refused != nil {
		return refused, refused.problem()
	}
	return nil, &unreachableError{lost: lost}
}

// get asks for a path and decodes the answer's JSON into v.
func (c *caller) get(ctx context.Context, path string, query url.Values, v any) (*answer, error) {
	a, err := c.do(ctx, request{path: path, query: query})
	if err != nil {
		return nil, err
	}
	return a, a.decode(v)
}

// deliver sends something that must happen once, and that carries a key by
// which a node tells a repetition. It goes on to the next endpoint only while
// nothing was sent; after that it repeats at the same one, for the timeout.
// Keys belong to a node, so nothing else would keep it from happening twice.
func (c *caller) deliver(ctx context.Context, r request) (*answer, error) {
	var lost []error
	for range c.endpoints {
		a, sent, err := c.insist(ctx, c.endpoints[c.at], r)
		if err == nil {
			return a, a.problem()
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if sent {
			return nil, &unreachableError{lost: []error{err}, sent: true}
		}
		lost = append(lost, err)
		c.at = (c.at + 1) % len(c.endpoints)
	}
	return nil, &unreachableError{lost: lost}
}

// insist repeats a request at one endpoint, once it was sent, until there is
// an answer that is not "later".
func (c *caller) insist(ctx context.Context, e endpoint, r request) (a *answer, sent bool, err error) {
	start := time.Now()
	left := func() time.Duration {
		if c.timeout == 0 {
			return time.Hour
		}
		return c.timeout - time.Since(start)
	}
	for pause := retryFirst; ; pause = min(2*pause, retryLast) {
		limit := time.Duration(0)
		if c.timeout > 0 {
			limit = max(left(), time.Millisecond)
		}
		got, reached, failed := c.try(ctx, e, r, limit)
		sent = sent || reached
		if failed == nil {
			a, err = got, nil
		} else if a == nil || reached {
			// A refusal to connect after "later" leaves that answer standing.
			a, err = nil, failed
		}
		switch {
		case ctx.Err() != nil:
			return nil, sent, ctx.Err()
		case !sent, failed == nil && !a.later():
			return a, sent, err
		}
		if failed == nil {
			pause = max(pause, a.retryAfter())
		}
		if left() <= pause {
			return a, sent, err
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, sent, err
		}
	}
}

// try asks one endpoint once. sent tells whether the node may have got any of
// it.
func (c *caller) try(ctx context.Context, e endpoint, r request, limit time.Duration) (a *answer, sent bool, err error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent = true },
	})
	address := string(e) + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(r.body))
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", e, err)
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("User-Agent", "tidings/"+build().Version)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, sent, reason(e, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, sent, reason(e, err)
	}
	if len(body) > maxAnswer {
		return nil, sent, fmt.Errorf("%s: answer of more than %d bytes", e, maxAnswer)
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: body, endpoint: e}, sent, nil
}

// reason is why an endpoint did not answer, without the request repeated.
func reason(e endpoint, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: no answer in time", e)
	}
	return fmt.Errorf("%s: %w", e, err)
}

// decode reads the answer's JSON.
func (a *answer) decode(v any) error {
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("%s: answer is not what a node gives: %w", a.endpoint, err)
	}
	return nil
}

// sleep waits, but not past the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// subjectPath is the path of a call about a subject. Its "/" are escaped, so
// that nothing on the way takes the segments for a path's.
func subjectPath(call, subject string) (string, error) {
	if subject == "" {
		return "", usagef("want a subject, got an empty argument")
	}
	return "/v1/" + call + "/" + url.PathEscape(subject), nil
}
