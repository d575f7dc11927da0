package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// event is one as a browser would dispatch it.
type event struct{ name, id, data string }

// readEvent reads the next event by the rules of the HTML standard, 9.2.6, as
// far as a sound server can tell them apart: fields by lines, a colon and one
// space, data lines joined, nothing dispatched without data.
func readEvent(r *bufio.Reader) (event, error) {
	e := event{name: "message"}
	var data []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return e, err
		}
		line = strings.TrimSuffix(line, "\n")
		if strings.ContainsRune(line, '\r') {
			return e, fmt.Errorf("a carriage return ends a line: %q", line)
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && len(data) > 0:
			e.data = strings.Join(data, "\n")
			return e, nil
		case line == "":
			e.name = "message"
		case field == "event":
			e.name = value
		case field == "id" && !strings.ContainsRune(value, 0):
			e.id = value
		case field == "data":
			data = append(data, value)
		}
	}
}

// events is a stream that a test reads, of a handler without a socket.
type events struct {
	*bufio.Reader
	header http.Header
	body   *io.PipeWriter
	begun  chan struct{}
	status int
	leave  context.CancelFunc
	done   chan struct{}
}

func (e *events) Header() http.Header { return e.header }
func (e *events) WriteHeader(status int) {
	e.status = status
	close(e.begun)
}
func (e *events) Write(b []byte) (int, error) { return e.body.Write(b) }
func (e *events) Flush()                      {}

// openEvents asks for events. What is written waits until it is read.
func openEvents(t *testing.T, h http.Handler, method, target, body string, headers ...string) *events {
	ctx, leave := context.WithCancel(context.Background())
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	r.Header.Set("Accept", "text/event-stream")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	in, out := io.Pipe()
	e := &events{bufio.NewReader(in), http.Header{}, out, make(chan struct{}), 0, leave, make(chan struct{})}
	go func() {
		defer close(e.done)
		observed(h).ServeHTTP(e, r)
		_ = out.Close()
	}()
	t.Cleanup(func() {
		leave()
		_ = in.Close()
		<-e.done
	})
	<-e.begun
	return e
}

func (e *events) next(t *testing.T) event {
	t.Helper()
	got, err := readEvent(e.Reader)
	if err != nil {
		t.Fatalf("%v after %+v", err, got)
	}
	return got
}

// TestEvents: the bytes of a stream, in virtual time, until the node closes.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f})
		one := f.put(ownOrigin, "order/1", `{"text":"a\r\nb\u2028"}`)
		began := time.Now()
		e := openEvents(t, h, "GET", "/v1/changes?prefix=order&limit=1", "")
		if took := time.Since(began); took != 0 || e.status != 200 {
			t.Errorf("status %d after %s", e.status, took)
		}
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
			"Vary": "Accept", "Content-Length": "", "Tidings-Node": "wh-1",
		} {
			if got := e.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		// Each batch is what a poll would get, and its ID the place to go on from.
		at := func(seq chain.Seq) string {
			return chain.Cursor{Frontier: chain.Frontier{ownOrigin: seq}, Filter: chain.Filter{Prefix: "order"}.Hash()}.String()
		}
		poll := call(h, "GET", "/v1/changes?prefix=order&limit=1", "").body
		want := "event: changes\nid: " + at(one.Seq) + "\ndata: " + poll + "\n\n"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(e, got); err != nil || string(got) != want {
			t.Fatalf("%v, event\n%s\nwant\n%s", err, got, want)
		}
		synctest.Wait()
		// What the filter leaves out moves the bookmark, which comes when nothing did.
		time.Sleep(7 * time.Second)
		f.put(ownOrigin, "van/1", `{}`)
		bookmark := e.next(t)
		idle := func(since time.Time) bool {
			took := time.Since(since)
			return took <= bookmarkEvery && took > bookmarkEvery/2
		}
		if took := time.Since(began); !idle(began) || bookmark.name != "bookmark" || bookmark.id != at(3) {
			t.Errorf("%+v after %s", bookmark, took)
		}
		if want := `{"updates":[],"cursor":"` + at(3) + `","up_to_date":true,"behind":[],"converged":true}`; bookmark.data != want {
			t.Errorf("bookmark %s, want %s", bookmark.data, want)
		}
		last := time.Now()
		for i := range 2 { // limit=1: an event each, at once
			f.put(ownOrigin, "order/2", fmt.Sprintf(`{"n":%d}`, i))
		}
		for i := range 2 {
			c := e.next(t)
			if b := decode[gotBatch](t, c.data); c.name != "changes" || c.id != at(chain.Seq(4+i)) || b.Cursor != c.id || len(b.Updates) != 1 {
				t.Errorf("event %+v", c)
			}
		}
		if took := time.Since(last); took != 0 {
			t.Errorf("held back for %s", took)
		}
		if b := e.next(t); b.name != "bookmark" || !idle(last) {
			t.Errorf("%+v after %s", b, time.Since(last))
		}
		h.Close()
		if end := e.next(t); end.name != "error" || end.id != "" || decode[Problem](t, end.data).Code != CodeClosing {
			t.Errorf("at the end: %+v", end)
		}
		if _, err := readEvent(e.Reader); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
		<-e.done
		if f.watched.Load() == 0 || h.waiters.Load() != 0 {
			t.Errorf("%d watches were made, %d wait", f.watched.Load(), h.waiters.Load())
		}
	})
}

// TestEventsResume: the ID of the last event beats since, on another node, and
// by POST.
func TestEventsResume(t *testing.T) {
	first, other := newFake(), newFake()
	for _, f := range []*fake{first, other} {
		for i := range 4 {
			f.put(ownOrigin, "s", fmt.Sprintf(`{"n":%d}`, i))
		}
	}
	e := openEvents(t, newHandler(t, first), "GET", "/v1/changes?limit=2", "")
	last := e.next(t)
	for _, again := range []*events{
		openEvents(t, newHandler(t, other), "GET", "/v1/changes?since=start", "", "Last-Event-ID: "+last.id),
		openEvents(t, newHandler(t, other), "GET", "/v1/changes?since="+last.id, ""),
		openEvents(t, newHandler(t, other), "POST", "/v1/changes", `{"since":"now"}`, "Last-Event-ID: "+last.id),
		openEvents(t, newHandler(t, other), "POST", "/v1/changes", `{"since":"`+last.id+`"}`),
	} {
		if b := decode[gotBatch](t, again.next(t).data); len(b.Updates) != 2 || b.Updates[0].ID.Seq != 4 {
			t.Errorf("after %s: %+v", last.id, b)
		}
	}
	// Who begins now has a place at once to come back to.
	now := openEvents(t, newHandler(t, other), "GET", "/v1/changes?since=now", "").next(t)
	if now.name != "bookmark" || now.id != other.Now(chain.Filter{}).String() {
		t.Errorf("now: %+v", now)
	}
}

// TestEventsRefused: what is wrong before the start is told by the status.
func TestEventsRefused(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	f.put(ownOrigin, "s", `{"n":1}`)
	filtered := chain.Cursor{Filter: chain.Filter{Prefix: "s"}.Hash()}.String()
	for _, c := range []struct {
		query string
		id    string
		code  Code
		field string
	}{
		{"", "nonsense", CodeBadCursor, "Last-Event-ID"},
		{"", "now", CodeBadCursor, "Last-Event-ID"},
		{"", filtered, CodeBadCursor, "Last-Event-ID"},
		{"since=nonsense", "", CodeBadCursor, "since"},
		{"limit=0", "", CodeBadRequest, "limit"},
		{"at_least=" + chain.ID{Origin: fleet, Seq: 9}.String(), "", CodeBehind, "at_least"},
	} {
		headers := []string{"Accept: text/event-stream"}
		if c.id != "" {
			headers = append(headers, "Last-Event-ID: "+c.id)
		}
		if p := call(h, "GET", "/v1/changes?"+c.query, "", headers...).problem(t); p.Code != c.code || p.Field != c.field {
			t.Errorf("%s %s: %+v", c.query, c.id, p)
		}
	}
	f.feed = &GoneError{}
	if p := call(h, "GET", "/v1/changes", "", "Accept: text/event-stream").problem(t); p.Code != CodeGone {
		t.Errorf("%+v", p)
	}
	f.feed = nil
	// A browser's other types do not make a poll a stream, nor the other way round.
	for accept, want := range map[string]string{
		"*/*": "application/json", "application/json, text/event-stream": "application/json",
		"text/event-stream, application/json;q=0.5": "text/event-stream",
	} {
		a := call(h, "HEAD", "/v1/changes", "", "Accept: "+accept)
		if got := a.header.Get("Content-Type"); a.status != 200 || a.body != "" || got != want {
			t.Errorf("%s: %d %s", accept, a.status, got)
		}
	}
}

// TestEventsFail: what goes wrong on the way is the last event.
func TestEventsFail(t *testing.T) {
	f := newFake()
	e := openEvents(t, newHandler(t, f), "GET", "/v1/changes", "")
	waitFor(t, func() bool { return f.watched.Load() > 0 })
	f.mu.Lock()
	f.feed = chain.ErrStoreFailed
	f.mu.Unlock()
	f.put(ownOrigin, "s", `{"n":1}`)
	if last := e.next(t); last.name != "error" || decode[Problem](t, last.data).Code != CodeStoreFailed {
		t.Errorf("%+v", last)
	}
	if _, err := readEvent(e.Reader); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

// TestEventsSlowReader: a consumer that takes nothing is not read ahead for, and
// cut off once its time is over.
func TestEventsSlowReader(t *testing.T) {
	f := newFake()
	text := strings.Repeat("x", 500<<10)
	for i := range 24 {
		f.put(ownOrigin, fmt.Sprint("s/", i), fmt.Sprintf(`{"text":%q}`, text))
	}
	h := newHandler(t, f)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(h, nil)
	server.WriteTimeout = 300 * time.Millisecond
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprint(c, "GET /v1/changes?limit=1 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
	waitFor(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.scans > 0
	})
	waitFor(t, func() bool { return h.waiters.Load() == 0 })
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.scans > 20 {
		t.Errorf("%d batches of 500 KB were read for a consumer that takes nothing", f.scans)
	}
}

// TestEventsOutliveWriteTimeout: it counts from each event, not from the request.
func TestEventsOutliveWriteTimeout(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(h, nil)
	server.WriteTimeout = 500 * time.Millisecond
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	fmt.Fprint(c, "GET /v1/changes HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || response.StatusCode != 200 || response.ContentLength != -1 {
		t.Fatalf("%v %+v", err, response)
	}
	r := bufio.NewReader(response.Body)
	for i := range 2 {
		time.Sleep(600 * time.Millisecond) // longer than the time-out: what is tried
		f.put(ownOrigin, "s", fmt.Sprintf(`{"n":%d}`, i))
		if e, err := readEvent(r); err != nil || e.name != "changes" {
			t.Fatalf("%+v, %v", e, err)
		}
	}
}
