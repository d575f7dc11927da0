package api

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	// bookmarkEvery is after how long without news an event stream tells its
	// place, at the latest: a consumer whose filter admits little gets on, and
	// proxies see that the stream lives. See idleTime for when.
	bookmarkEvery = 15 * time.Second

	lastEventID = "Last-Event-ID"
)

// events answers a query of the feed as server-sent events (HTML, 9.2), without
// end. Each batch is an event "changes", whose ID is the cursor after it, and
// "bookmark" is one without updates. What goes wrong before the first is
// answered by its status, later by an event "error", which is the last one.
//
// Nothing is read ahead of what the consumer takes. So a slow one holds one
// batch, and one that takes nothing for the server's WriteTimeout is cut off.
func (h *Handler) events(x *exchange, c *changesQuery) error {
	field := "since"
	if id := x.r.Header.Get(lastEventID); id != "" {
		if id == sinceStart || id == sinceNow {
			return newProblem(CodeBadCursor, lastEventID, "want the ID of an event, which is a cursor")
		}
		c.since, field = id, lastEventID
	}
	f, err := h.follow(c, field)
	if err != nil {
		return err
	}
	w, err := x.waitIn(context.WithCancel(x.r.Context()))
	if err != nil {
		return err
	}
	defer w.end()
	if c.atLeast != nil {
		timed, cancel := w.within(c.wait)
		defer cancel()
		if err := h.applied(timed, c.atLeast); err != nil {
			return err
		}
	}
	var b *batch
	if c.since == sinceNow {
		b = f.now()
	} else if b, err = f.first(w); err != nil {
		return err
	}
	x.w.Header()["Content-Type"] = eventsHeader
	x.w.Header()["X-Accel-Buffering"] = noHeader // nginx holds a stream back otherwise
	s := &eventStream{x: x, rc: x.controller()}
	s.deadline()
	x.begin(http.StatusOK)
	if x.r.Method == http.MethodHead || !s.flush() {
		return nil
	}
	// A consumer of "now" needs a place to come back to before anything happens.
	if (b.found || c.since == sinceNow) && !s.batch(b) {
		return nil
	}
	for news := true; ; news = b.found {
		idle, cancel := w.within(idleTime(news))
		b, err = f.next(idle)
		cancel()
		if err == nil && !b.found {
			err = w.over()
		}
		if err != nil {
			return s.fail(err)
		}
		if !s.batch(b) {
			return nil
		}
	}
}

// idleTime is how long a stream waits for news until it tells its place. Streams
// that had the same event at the same time spread over half of bookmarkEvery, and
// then stay apart: all at once they would stand before every producer.
func idleTime(afterNews bool) time.Duration {
	if afterNews {
		return bookmarkEvery - rand.N(bookmarkEvery/2)
	}
	return bookmarkEvery - rand.N(bookmarkEvery/10)
}

// eventStream writes events. Each is sent on at once. A method that reports
// false has found that nobody takes them any more.
type eventStream struct {
	x  *exchange
	rc *http.ResponseController
}

// batch sends a batch, or the place where there is none.
func (s *eventStream) batch(b *batch) bool {
	name := "bookmark"
	if b.found {
		name = "changes"
	}
	text, place := b.text(s.x.h)
	return s.event("event: "+name+"\nid: "+place+"\ndata: ", text)
}

// fail tells why the stream ends here.
func (s *eventStream) fail(err error) error {
	if errors.Is(err, errGone) || clientGone(s.x.r.Context(), err) {
		return nil
	}
	p := problemOf(err)
	s.x.h.report(p, err, slog.String("method", s.x.r.Method), slog.String("path", s.x.r.URL.Path))
	s.event("event: error\ndata: ", p.AppendJSON(nil))
	return nil
}

// event sends an event whose data, JSON without a line's end, comes last.
func (s *eventStream) event(head string, data []byte) bool {
	s.deadline()
	for _, part := range [...][]byte{[]byte(head), data, []byte("\n\n")} {
		if _, err := s.x.w.Write(part); err != nil {
			return false
		}
	}
	return s.flush()
}

func (s *eventStream) flush() bool {
	err := s.rc.Flush()
	return err == nil || errors.Is(err, http.ErrNotSupported)
}

// deadline gives an event its time to be taken, also on a server that sets none:
// a stream would hold its place there for ever.
func (s *eventStream) deadline() {
	most := writeTimeout
	if server, ok := s.x.r.Context().Value(http.ServerContextKey).(*http.Server); ok && server.WriteTimeout > 0 {
		most = server.WriteTimeout
	}
	_ = s.rc.SetWriteDeadline(time.Now().Add(most))
}
