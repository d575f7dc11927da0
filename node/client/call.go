package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"time"

	"github.com/tidings-mesh/tidings/node/api/reply"
)

// Request is one call of a node's HTTP interface, for what the Client has no
// method for.
type Request struct {
	Method string // GET if empty
	Path   string // escaped, below the endpoint's own, like "/v1/mesh"
	Query  url.Values
	Header http.Header
	Body   []byte
	// Wait is how long the node was asked to hold the answer.
	Wait time.Duration
	// Any takes refusals for answers: a node that is not ready is not passed
	// over, nor is what it says an error.
	Any bool

	// next is asked in its place once an endpoint gave no answer; nil for the same.
	next *Request
}

// Answer is what a node said, read to its end.
type Answer struct {
	Status   int
	Header   http.Header
	Body     []byte
	Endpoint string // of the node

	from *endpoint
}

// Do asks for something that is the same however often it is asked for, at one
// endpoint after the other until one serves it. It goes on where one does not
// answer, fails (5xx), is busy, or is no node. A refusal is a *Problem, the last
// one where all refuse, along with the answer that holds it; where none answers
// it is an *UnreachableError.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) { return c.round(ctx, r, nil) }

// get asks for a path and decodes the answer's JSON into v.
func (c *Client) get(ctx context.Context, path string, query url.Values, wait time.Duration, v any) (*Answer, error) {
	return c.round(ctx, Request{Path: path, Query: query, Wait: wait}, func(a *Answer) error { return a.Decode(v) })
}

// round asks each endpoint once. read, unless nil, is part of an endpoint's
// success.
func (c *Client) round(ctx context.Context, r Request, read func(*Answer) error) (*Answer, error) {
	if c.err != nil {
		return nil, c.err
	}
	var lost []error
	var refusal error
	var refused *Answer
	for _, e := range c.pool.order() {
		a, _, err := c.try(ctx, e, r, c.patience(r))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err != nil {
			lost = append(lost, err)
			c.failed(e, err, 0)
			if r.next != nil {
				r = *r.next
			}
			continue
		}
		if r.Any {
			c.answered(e)
			return a, nil
		}
		err = a.Err()
		if err == nil && read != nil {
			err = read(a)
		}
		switch {
		case err == nil:
			c.answered(e)
			return a, nil
		case errors.Is(err, ErrBehind):
			// The node is well, and another may have more.
			c.answered(e)
		case Transient(err):
			c.failed(e, err, a.retryAfter())
		default:
			if refusedByNode(err) {
				c.answered(e)
			}
			return a, err
		}
		// What a node says is worth more than what is in front of another.
		if refused == nil || refusedByNode(err) {
			refused, refusal = a, err
		}
	}
	if refused != nil {
		return refused, refusal
	}
	return nil, &UnreachableError{Lost: lost}
}

// refusedByNode reports whether an error is a node's, rather than of what is in
// front of it or of no answer.
func refusedByNode(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Code != ""
}

func (c *Client) answered(e *endpoint) {
	if c.pool.answered(e) {
		c.tell(Event{Kind: EndpointUp, Endpoint: e.url}, true)
	}
}

func (c *Client) failed(e *endpoint, err error, atLeast time.Duration) {
	pause, first := c.pool.failed(e, atLeast)
	c.tell(Event{Kind: EndpointDown, Endpoint: e.url, Err: err, Retry: pause}, first)
}

// patience is how long a node may take until it begins to answer, 0 for ever.
func (c *Client) patience(r Request) time.Duration {
	if c.cfg.Timeout < 0 {
		return 0
	}
	return c.cfg.Timeout + r.Wait
}

// try asks one endpoint once; limit, if above 0, bounds the time until the answer
// begins. sent tells whether the node may have got any of it.
func (c *Client) try(ctx context.Context, e *endpoint, r Request, limit time.Duration) (a *Answer, sent bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := newWatchdog(limit, func() { cancel(errNoAnswer) })
	defer watch.stop()
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent = true },
	})
	address := e.url + r.Path
	if len(r.Query) > 0 {
		address += "?" + r.Query.Encode()
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(traced, method, address, bytes.NewReader(r.Body))
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", e.url, err)
	}
	for k, v := range r.Header {
		req.Header[k] = v
	}
	if c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, sent, reason(ctx, e, err)
	}
	defer resp.Body.Close()
	body, err := readBody(resp, c.cfg.MaxAnswer, watch, c.patience(Request{}))
	if err != nil {
		return nil, sent, reason(ctx, e, err)
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, Endpoint: e.url, from: e}, sent, nil
}

var errNoAnswer = errors.New("no answer in time")

// reason is why an endpoint did not answer, without the request repeated.
func reason(ctx context.Context, e *endpoint, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if cause := context.Cause(ctx); errors.Is(cause, errNoAnswer) {
		err = cause
	}
	return fmt.Errorf("%s: %w", e.url, err)
}

// Decode reads the answer's JSON. An error wraps ErrNotANode.
func (a *Answer) Decode(v any) error {
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fmt.Errorf("%s: %w: %w", a.Endpoint, ErrNotANode, err)
	}
	return nil
}

// Err is the *Problem that the answer holds, nil if it holds none. What is not a
// node's word, or says that there is no such call, has no code.
func (a *Answer) Err() error {
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	isProblem := kind == "application/problem+json"
	// A status that something in front of the node has changed does not make a
	// problem an answer.
	if a.Status < 300 && !isProblem || a.Status == http.StatusNotModified {
		return nil
	}
	p := &Problem{}
	if !isProblem || json.Unmarshal(a.Body, p) != nil {
		p = &Problem{}
	}
	if p.Status == 0 || a.Status >= 300 {
		p.Status = a.Status
	}
	switch {
	case p.Status == http.StatusNotFound && (p.Code == "" || p.Code == reply.CodeNotFound && p.Field == reply.FieldPath):
		return &Problem{Status: p.Status, Detail: "no node's interface is at " + a.Endpoint + ": look at its path"}
	case p.Code == "":
		p.Detail = cmp.Or(p.Detail, http.StatusText(p.Status)) + " from " + a.Endpoint
	}
	return p
}

// retryAfter is how long a node asks to be left alone.
func (a *Answer) retryAfter() time.Duration {
	seconds, err := strconv.ParseUint(a.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, asideLast)
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

// subjectPath is the path of a call about a subject. Its "/" are escaped, so that
// nothing on the way takes the segments for a path's.
func subjectPath(call, subject string) string {
	return "/v1/" + call + "/" + url.PathEscape(subject)
}
