package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

const ndjson = "Content-Type: application/x-ndjson"

type streamAnswer struct {
	Status int
	Line   int
	ID     *chain.ID
	Code   Code
	Field  string
}

func streamAnswers(t testing.TB, body string) []streamAnswer {
	t.Helper()
	var out []streamAnswer
	for line := range strings.Lines(body) {
		out = append(out, decode[streamAnswer](t, line))
	}
	return out
}

func TestStream(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	long := `{"subject":"s","delta":{"a":"` + strings.Repeat("x", maxSingleBody) + `"}}`
	body := "{\"subject\":\"a\",\"delta\":{\"x\":1}}\n" +
		"\n   \r\n" +
		"not JSON\n" +
		"{\"subject\":\"a\",\"delta\":{\"x\":1}}\r\n" +
		long + "\n" +
		"[{\"subject\":\"a\",\"delta\":{\"x\":1}}]\n" +
		"{\"subject\":\"b/\",\"delta\":{}}\n" +
		"{\"subject\":\"c\",\"delta\":[]}\n" +
		"{\"subject\":\"d\",\"delta\":{\"x\":1}}"
	a := call(h, "POST", "/v1/updates", body, ndjson)
	wantStatus(t, a, 200)
	if got := a.header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("Content-Type %s", got)
	}
	var got []string
	for _, i := range streamAnswers(t, a.body) {
		got = append(got, fmt.Sprintf("%d:%d %s %s", i.Line, i.Status, i.Code, i.Field))
	}
	want := []string{
		"1:201  ", "4:400 bad_request ", "5:200  ", "6:413 too_large ", "7:400 bad_request ",
		"8:400 bad_subject subject", "9:400 bad_delta delta", "10:201  ",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("items\n%q\nwant\n%q", got, want)
	}
	first, _, _ := strings.Cut(a.body, "\n")
	if exact := `{"status":201,"line":1,"id":"` + ownOrigin.String() + `.2","subject":"a","time":"2026-01-02T03:04:05.001Z","hlc":"019b7ca98c890000","deps":[],"acks":1}`; first != exact {
		t.Errorf("first item\n%s\nwant\n%s", first, exact)
	}
	if n := h.streams.Load(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
	a = call(h, "POST", "/v1/updates", "", ndjson)
	wantBody(t, a, 200, "")
}

// TestStreamOrder: many lines through a small window come out in their order,
// each with its own line.
func TestStreamOrder(t *testing.T) {
	f := newFake()
	h := New(Config{Backend: f, Limits: Limits{StreamWindow: 3}})
	defer h.Close()
	var body strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&body, "{\"subject\":\"s\",\"delta\":{\"n\":%d}}\n", i)
	}
	items := streamAnswers(t, call(h, "POST", "/v1/updates", body.String(), ndjson).body)
	if len(items) != 3000 {
		t.Fatalf("%d items, want 3000", len(items))
	}
	for i, item := range items {
		if item.Line != i+1 || item.Status != 201 || item.ID.Seq != chain.Seq(i+2) {
			t.Fatalf("item %d: %+v", i, item)
		}
	}
}

func TestStreamWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f})
		defer h.Close()
		dep := `{"subject":"s","delta":{"d":1},"deps":["` + fleet.String() + `.2"]}` + "\n"
		plain := `{"subject":"s","delta":{"p":1}}` + "\n"
		began := time.Now()
		items := streamAnswers(t, call(h, "POST", "/v1/updates?wait=2s", plain+dep+`{"subject":"s","delta":{"q":1}}`, ndjson).body)
		if len(items) != 3 || items[0].Status != 201 || items[1].Code != CodeUnknownDependency || items[2].Status != 201 {
			t.Errorf("items %+v", items)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %s, want 2s", took)
		}
		began = time.Now()
		items = streamAnswers(t, call(h, "POST", "/v1/updates?wait=3s&ack=2", `{"subject":"s","delta":{"r":1}}`, ndjson).body)
		if len(items) != 1 || items[0].Status != 202 || time.Since(began) != 3*time.Second {
			t.Errorf("items %+v after %s", items, time.Since(began))
		}
		f.room = 0
		items = streamAnswers(t, call(h, "POST", "/v1/updates", plain+plain, ndjson).body)
		if len(items) != 2 || items[0].Code != CodeBusy || items[1].Code != CodeBusy {
			t.Errorf("items %+v", items)
		}
	})
}

func TestStreamLimit(t *testing.T) {
	h := New(Config{Backend: newFake(), Limits: Limits{Streams: 1}})
	defer h.Close()
	h.streams.Add(1)
	if p := call(h, "POST", "/v1/updates", "{}", ndjson).problem(t); p.Code != CodeBusy {
		t.Errorf("problem %+v", p)
	}
	h.streams.Add(-1)
	wantStatus(t, call(h, "POST", "/v1/updates", "{}", ndjson), 200)
}

// serve runs a real server, and returns its address and a way to stop it.
func serve(t *testing.T, h *Handler) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(observed(h), nil)
	server.RegisterOnShutdown(h.Close)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
			_ = server.Close()
		}
		if err := <-done; err != http.ErrServerClosed {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

// liveStream is a publish stream over a socket that stays open.
type liveStream struct {
	in    *io.PipeWriter
	out   *bufio.Scanner
	close func()
}

func openStream(t *testing.T, address, query string) *liveStream {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	request, err := http.NewRequestWithContext(ctx, "POST", "http://"+address+"/v1/updates"+query, r)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	transport := &http.Transport{}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	s := &liveStream{in: w, out: bufio.NewScanner(response.Body)}
	s.close = func() {
		cancel()
		_ = w.Close()
		_ = response.Body.Close()
		transport.CloseIdleConnections()
	}
	t.Cleanup(s.close)
	if response.StatusCode != 200 {
		t.Fatalf("status %d", response.StatusCode)
	}
	return s
}

func (s *liveStream) send(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(s.in, line); err != nil {
		t.Fatal(err)
	}
}

func (s *liveStream) next(t *testing.T) (a streamAnswer) {
	t.Helper()
	if !s.out.Scan() {
		t.Fatalf("no more answers: %v", s.out.Err())
	}
	if err := json.Unmarshal(s.out.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestStreamDuplex: each line is answered before the next is sent, over one
// connection that stays open.
func TestStreamDuplex(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	s := openStream(t, serve(t, h), "")
	for i := range 5 {
		s.send(t, fmt.Sprintf("{\"subject\":\"s\",\"delta\":{\"n\":%d}}\n", i))
		if a := s.next(t); a.Line != i+1 || a.Status != 201 {
			t.Fatalf("answer %+v", a)
		}
	}
	_ = s.in.Close()
	if s.out.Scan() {
		t.Errorf("another answer: %s", s.out.Text())
	}
	if err := s.out.Err(); err != nil {
		t.Errorf("end of the stream: %v", err)
	}
}

// TestStreamClosing: a stream that is idle ends with the handler, by an item
// that says so, after the answers to what was taken.
func TestStreamClosing(t *testing.T) {
	f := newFake()
	f.gate = make(chan struct{})
	h := newHandler(t, f)
	s := openStream(t, serve(t, h), "")
	s.send(t, "{\"subject\":\"s\",\"delta\":{\"n\":1}}\n")
	waitFor(t, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.enqueued == 1 })
	h.Close()
	close(f.gate)
	if a := s.next(t); a.Status != 201 || a.Line != 1 {
		t.Errorf("answer %+v", a)
	}
	if a := s.next(t); a.Code != CodeClosing || a.Line != 2 {
		t.Errorf("answer %+v", a)
	}
	if s.out.Scan() {
		t.Errorf("another answer: %s", s.out.Text())
	}
}

// TestStreamGone: a client that breaks off takes nothing with it: the stream
// ends, and what it had sent is published.
func TestStreamGone(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	s := openStream(t, serve(t, h), "")
	s.send(t, "{\"subject\":\"s\",\"delta\":{\"n\":1}}\n{\"subject\":\"s\",")
	s.next(t)
	s.close()
	waitFor(t, func() bool { return h.streams.Load() == 0 })
	if f.enqueued != 1 {
		t.Errorf("%d drafts, want 1", f.enqueued)
	}
}

func TestStreamIdle(t *testing.T) {
	h := New(Config{Backend: newFake(), Limits: Limits{StreamIdle: 50 * time.Millisecond}})
	t.Cleanup(h.Close)
	address := serve(t, h)
	s := openStream(t, address, "")
	if s.out.Scan() || s.out.Err() != nil {
		t.Errorf("idle between lines: %q, %v", s.out.Text(), s.out.Err())
	}
	s = openStream(t, address, "")
	s.send(t, "{\"subject\":")
	if a := s.next(t); a.Code != CodeBadRequest || a.Line != 1 {
		t.Errorf("idle within a line: %+v", a)
	}
}

// waitFor polls what another goroutine or process brings about.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it did not come about within 10s")
		}
	}
}
