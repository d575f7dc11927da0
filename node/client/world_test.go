package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// web is a network in memory, in virtual time, on which HTTP servers have names.
type web struct {
	t *testing.T

	mu    sync.Mutex // protects what follows
	sites map[string]*site
	stops []func()
}

// inBubble runs a test in virtual time and stops what it began.
func inBubble(t *testing.T, test func(t *testing.T, w *web)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &web{t: t, sites: map[string]*site{}}
		defer func() {
			w.mu.Lock()
			stops := w.stops
			w.mu.Unlock()
			for _, stop := range slices.Backward(stops) {
				stop()
			}
		}()
		test(t, w)
	})
}

// site is one server: a listener of pipes.
type site struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (s *site) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

func (s *site) Close() error   { s.once.Do(func() { close(s.done) }); return nil }
func (s *site) Addr() net.Addr { return &net.TCPAddr{} }

func (w *web) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	w.mu.Lock()
	s := w.sites[host]
	w.mu.Unlock()
	if s == nil {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	select {
	case s.conns <- there:
		return here, nil
	case <-s.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve starts a server under a name. stop cuts all its connections.
func (w *web) serve(name string, h http.Handler) (stop func()) {
	server := &http.Server{Handler: h}
	return w.serveBy(name, server, server.Serve)
}

// serveTLS is serve with TLS, and so with HTTP/2.
func (w *web) serveTLS(name string, h http.Handler, certificates []tls.Certificate) (stop func()) {
	server := &http.Server{Handler: h, TLSConfig: &tls.Config{Certificates: certificates}}
	return w.serveBy(name, server, func(l net.Listener) error { return server.ServeTLS(l, "", "") })
}

func (w *web) serveBy(name string, server *http.Server, serve func(net.Listener) error) (stop func()) {
	s := &site{conns: make(chan net.Conn), done: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = serve(s) })
	w.mu.Lock()
	w.sites[name] = s
	w.mu.Unlock()
	stop = sync.OnceFunc(func() {
		w.mu.Lock()
		if w.sites[name] == s {
			delete(w.sites, name)
		}
		w.mu.Unlock()
		_ = server.Close()
		wg.Wait()
	})
	w.finally(stop)
	return stop
}

// finally calls stop at the end of the test.
func (w *web) finally(stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stops = append(w.stops, stop)
}

// client returns a client of the servers of these names.
func (w *web) client(change func(*Config), names ...string) *Client {
	transport := newTransport()
	transport.Proxy, transport.DialContext = nil, w.dial
	cfg := Config{InOrder: true, Transport: transport}
	for _, name := range names {
		cfg.Endpoints = append(cfg.Endpoints, "http://"+name)
	}
	if change != nil {
		change(&cfg)
	}
	c := New(cfg)
	w.finally(c.Close)
	return c
}

// script is a server that answers by steps, one a request, the last one for ever.
type script struct {
	steps []step

	mu   sync.Mutex // protects what follows
	seen []seen
}

type step func(w http.ResponseWriter, r *http.Request)

type seen struct {
	method, uri, body string
	header            http.Header
	at                time.Time
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.seen = append(s.seen, seen{r.Method, r.RequestURI, string(body), r.Header, time.Now()})
	step := s.steps[min(len(s.seen), len(s.steps))-1]
	s.mu.Unlock()
	step(w, r)
}

func (s *script) requests() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]seen(nil), s.seen...)
}

func (w *web) script(name string, steps ...step) *script {
	s := &script{steps: steps}
	w.serve(name, s)
	return s
}

// answers is a step that gives an answer; headers are names and values by turns.
func answers(status int, body string, headers ...string) step {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// refuses is a step that gives a problem.
func refuses(status int, code string, headers ...string) step {
	body := fmt.Sprintf(`{"type":"about:blank","title":"T","status":%d,"detail":"because of %s","code":%q,"field":"f","line":3,"floor":"c1.floor"}`, status, code, code)
	return answers(status, body, append(headers, "Content-Type", "application/problem+json")...)
}

// hangsUp is a step that takes the request and closes the connection.
func hangsUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// hangs is a step that takes the request and never answers.
func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// stalls is a step that begins an answer and does not go on.
func stalls(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, `{"updates":[`)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// trickles is a step whose answer comes in pieces, one each every.
func trickles(piece string, n int, every time.Duration, end string) step {
	return func(w http.ResponseWriter, r *http.Request) {
		for range n {
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(every):
			case <-r.Context().Done():
				return
			}
		}
		_, _ = io.WriteString(w, end)
	}
}

// after is a step that answers later, as a poll that waits does.
func after(d time.Duration, then step) step {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			then(w, r)
		case <-r.Context().Done():
		}
	}
}

var zeros = strings.Repeat("0", 26)

// updateText is an update as a node writes it. Higher times come later.
func updateText(seq, time int, subject, delta string) string {
	return fmt.Sprintf(`{"id":"%s.%d","subject":%q,"authority":"a","time":"2026-01-02T03:04:05.001Z","hlc":"%016x","deps":[],"delta":%s}`,
		zeros, seq, subject, time<<16, delta)
}

func batchText(cursor string, upToDate bool, updates ...string) string {
	return fmt.Sprintf(`{"updates":[%s],"cursor":%q,"up_to_date":%t,"behind":[],"converged":true}`, strings.Join(updates, ","), cursor, upToDate)
}

func batch(cursor string, upToDate bool, updates ...string) step {
	return answers(200, batchText(cursor, upToDate, updates...))
}

// events keeps what a client tells.
type events struct {
	mu  sync.Mutex // protects all
	all []Event
}

func (e *events) keep(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) count(k EventKind) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		if ev.Kind == k {
			n++
		}
	}
	return n
}

// take collects n batches of a feed and leaves it.
func take(t *testing.T, c *Client, n int, options ...FeedOption) (cursors, ids []string) {
	t.Helper()
	for b, err := range c.Changes(t.Context(), options...) {
		require.NoError(t, err)
		cursors = append(cursors, b.Cursor)
		for _, u := range b.Updates {
			ids = append(ids, strings.TrimPrefix(u.ID.String(), zeros+"."))
		}
		if len(cursors) == n {
			break
		}
	}
	return cursors, ids
}

// failed is the error that ends a feed.
func failed(ctx context.Context, c *Client, options ...FeedOption) error {
	for _, err := range c.Changes(ctx, options...) {
		if err != nil {
			return err
		}
	}
	return nil
}
