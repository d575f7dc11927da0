package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// exchange is one request on its way to its answer. It belongs to the
// goroutine of the request.
type exchange struct {
	h      *Handler
	w      http.ResponseWriter
	r      *http.Request
	rest   string // of the path, below the route's prefix
	start  time.Time
	status int // of the answer once it has begun, else 0
	waited time.Duration
}

// Header values that are shared by all answers, and never written to.
var (
	trueHeader     = []string{"true"}
	falseHeader    = []string{"false"}
	nosniffHeader  = []string{"nosniff"}
	noStoreHeader  = []string{"no-store"}
	noCacheHeader  = []string{"no-cache"}
	acceptHeader   = []string{"Accept"}
	retryHeader    = []string{"1"} // seconds
	closeHeader    = []string{"close"}
	noHeader       = []string{"no"}
	jsonHeader     = []string{typeJSON}
	ndjsonHeader   = []string{typeNDJSON}
	eventsHeader   = []string{typeEvents}
	problemHeader  = []string{"application/problem+json"}
	plainHeader    = []string{"text/plain; charset=utf-8"}
	notBoundByTime time.Time
)

const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeEvents = "text/event-stream"
	typeSVG    = "image/svg+xml"
)

// slow is after how long an answer gets the whole of the server's WriteTimeout
// anew, whatever took so long.
const slow = 5 * time.Second

// begin writes the head of the answer.
func (x *exchange) begin(status int) {
	if time.Since(x.start) > slow {
		x.extend()
	}
	x.status = status
	x.w.WriteHeader(status)
}

// send writes a whole answer.
func (x *exchange) send(status int, contentType []string, body []byte) {
	x.sendSized(status, contentType, []string{strconv.Itoa(len(body))}, body)
}

// sendSized is send where the length is written out already.
func (x *exchange) sendSized(status int, contentType, length []string, body []byte) {
	header := x.w.Header()
	header["Content-Type"] = contentType
	header["Content-Length"] = length
	x.begin(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body) // whoever has gone reads no error
	}
}

func (x *exchange) json(body []byte) { x.send(http.StatusOK, jsonHeader, body) }

// empty writes an answer without a body.
func (x *exchange) empty(status int) { x.begin(status) }

func (x *exchange) problem(p *Problem) {
	header := x.w.Header()
	delete(header, "Etag")
	header["Cache-Control"] = noStoreHeader
	if p.Code.Later() {
		header["Retry-After"] = retryHeader
	}
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = p.AppendJSON((*buf)[:0])
	x.send(p.Status, problemHeader, *buf)
}

func (x *exchange) controller() *http.ResponseController { return http.NewResponseController(x.w) }

// extend gives what is written next the whole of the server's WriteTimeout,
// which otherwise counts from the request. A server without one stays without.
func (x *exchange) extend() {
	server, ok := x.r.Context().Value(http.ServerContextKey).(*http.Server)
	if ok && server.WriteTimeout > 0 {
		_ = x.controller().SetWriteDeadline(time.Now().Add(server.WriteTimeout))
	}
}

// waiting is a request that waits for something. Done ends with its time, its
// client or the handler; why it ended is told by over.
type waiting struct {
	context.Context
	x      *exchange
	since  time.Time
	cancel context.CancelFunc
	stop   func() bool
	watch  Watch // of what it waits for next; nil before it has begun to
}

// wait begins to wait for at most d; end has to be called. It is refused while
// too many others wait. With d = 0 the context has ended already, nothing
// waits, and nothing is counted.
func (x *exchange) wait(d time.Duration) (*waiting, error) {
	if d <= 0 {
		now := time.Now()
		ended, cancel := context.WithDeadline(x.r.Context(), now)
		return &waiting{Context: ended, x: x, since: now, cancel: cancel}, nil
	}
	return x.waitIn(context.WithTimeout(x.r.Context(), d))
}

// waitIn is wait in a context of its own.
func (x *exchange) waitIn(ctx context.Context, cancel context.CancelFunc) (*waiting, error) {
	if x.h.waiters.Add(1) > int64(x.h.limits.Waiters) {
		x.h.waiters.Add(-1)
		cancel()
		x.h.metrics.refused.WithLabelValues("waiter").Inc()
		// Kept open, the connections of those refused would leave no room for others.
		x.w.Header()["Connection"] = closeHeader
		return nil, newProblem(CodeBusy, "", "too many requests wait on this node; ask another, or later")
	}
	x.h.metrics.waiters.Inc()
	// The server watches for the client's end by reading on, which a deadline
	// for the request would take for that end.
	_ = x.controller().SetReadDeadline(notBoundByTime)
	return &waiting{
		Context: ctx, x: x, since: time.Now(), cancel: cancel, stop: context.AfterFunc(x.h.closing, cancel),
	}, nil
}

// next reports whether to look again for what is waited for, and false once the
// time is over. The first time it only begins to watch: what came since the last
// look is found by another one. It looks again by itself after some time, where
// that is not zero. A nil waiting has no time.
func (w *waiting) next(watch func() Watch, after time.Duration) (bool, error) {
	if w == nil {
		return false, nil
	}
	if err := w.over(); err != nil {
		return false, err
	}
	if w.Err() != nil {
		return false, nil
	}
	if w.watch != nil {
		ctx, cancel := context.Context(w), func() {}
		if after > 0 {
			ctx, cancel = context.WithTimeout(w, max(after, leastSleep))
		}
		err := w.watch.Wait(ctx)
		cancel()
		switch {
		case err == nil:
		case after > 0 && w.Err() == nil:
			return true, nil // by itself: nothing has rung
		default:
			return false, w.over()
		}
		w.watch.Stop()
		w.x.h.metrics.woken.Inc()
	}
	w.watch = watch()
	return true, nil
}

// leastSleep bounds how often a waiter looks again by itself where the node's
// clock stands still, or is slower than time.
const leastSleep = 10 * time.Millisecond

// within is the same wait with less time.
func (w *waiting) within(d time.Duration) (*waiting, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(w.Context, d)
	return &waiting{Context: ctx, x: w.x, stop: w.stop}, cancel
}

// end ends the wait. What is answered next has the server's WriteTimeout. It
// may be called twice, and on nil.
func (w *waiting) end() {
	if w == nil {
		return
	}
	w.cancel()
	if w.watch != nil {
		w.watch.Stop()
	}
	if w.stop == nil {
		return
	}
	w.stop()
	w.stop = nil
	w.x.h.waiters.Add(-1)
	w.x.h.metrics.waiters.Dec()
	w.x.waited += time.Since(w.since)
	w.x.extend()
}

// over says why the wait ended: nil for its time, else what to answer.
func (w *waiting) over() error {
	switch {
	case w.x.r.Context().Err() != nil:
		return errors.Join(errGone, w.x.r.Context().Err())
	case w.stop != nil && w.x.h.closing.Err() != nil:
		return errClosing
	}
	return nil
}
