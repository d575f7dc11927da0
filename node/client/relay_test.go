package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// relay is what proxies, balancers and firewalls do: a server of a web that passes
// bytes on to another one, and cuts connections on which nothing passes for a while.
type relay struct {
	idle time.Duration
	cuts atomic.Int64

	mu   sync.Mutex    // protects dead
	dead chan struct{} // closed once the connections of until then lead nowhere
}

// relay serves a name by another server.
func (w *web) relay(name, to string, idle time.Duration) *relay {
	r := &relay{idle: idle, dead: make(chan struct{})}
	s := &site{conns: make(chan net.Conn), done: make(chan struct{})}
	w.mu.Lock()
	w.sites[name] = s
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(w.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			near, err := s.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer near.Close()
				if far, err := w.dial(ctx, "", to+":80"); err == nil {
					r.pass(ctx, near, far)
				}
			})
		}
	})
	w.finally(func() { _ = s.Close(); cancel(); wg.Wait() })
	return r
}

// forget swallows what comes on the connections of until now, without closing them.
func (r *relay) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.dead)
	r.dead = make(chan struct{})
}

// pass passes bytes between two connections, and closes both at the end.
func (r *relay) pass(ctx context.Context, near, far net.Conn) {
	closeBoth := func() { _ = near.Close(); _ = far.Close() }
	defer closeBoth()
	defer context.AfterFunc(ctx, closeBoth)()
	cut := time.AfterFunc(r.idle, func() { r.cuts.Add(1); closeBoth() })
	defer cut.Stop()
	r.mu.Lock()
	dead := r.dead
	r.mu.Unlock()
	oneWay := func(to, from net.Conn) {
		defer closeBoth()
		for b := make([]byte, 4<<10); ; {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			select {
			case <-dead:
				cut.Stop()
				continue
			default:
			}
			cut.Reset(r.idle)
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { oneWay(far, near) })
	wg.Go(func() { oneWay(near, far) })
	wg.Wait()
}

// A proxy cuts connections on which nothing passes for 60 s. Nobody notices: a poll
// waits less, a connection that is not used is closed before, a stream is written
// to more often. So a publish never finds its connection cut, and is not in doubt.
func TestAProxyThatCutsIdleConnectionsIsNotNoticed(t *testing.T) {
	const idle = time.Minute
	many := chain.Cursor{Frontier: chain.Frontier{}}
	for i := range 300 {
		many.Frontier[chain.Origin{byte(i >> 8), byte(i)}] = 2
	}
	require.Greater(t, len(many.String()), longQuery)
	for name, options := range map[string][]FeedOption{
		"waiting": nil, "waiting long": {Hold(maxWait)}, "by a body": {Since(many.String())},
		"often": {Every(50 * time.Second)}, "just then": {Every(idle)}, "seldom": {Every(5 * time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *web) {
				d := newDesk(t, "d", "d")
				w.finally(d.handler.Close)
				w.serve("node", d.handler)
				proxy := w.relay("proxy", "node", idle)
				heard := &events{}
				c := w.client(func(cfg *Config) { cfg.Notify = heard.keep }, "proxy")
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				go func() {
					for i := 0; sleep(ctx, 11*time.Minute+time.Duration(i)*7*time.Second) == nil; i++ {
						d.publish(time.Now().UnixMilli(), "s", fmt.Sprintf(`{"n":%d}`, i))
					}
				}()
				n := 0
				for b, err := range c.Changes(ctx, options...) {
					require.NoError(t, err)
					for _, u := range b.Updates {
						n++
						late := time.Since(u.Time)
						if strings.HasPrefix(name, "waiting") {
							require.Zero(t, late)
						}
						require.LessOrEqual(t, late, 5*time.Minute)
					}
				}
				require.InDelta(t, 5, n, 1)
				require.Empty(t, heard.all, "nothing failed")
				require.Zero(t, proxy.cuts.Load(), "the client closes what it does not use before the proxy does")
			})
		})
	}
	inBubble(t, func(t *testing.T, w *web) {
		node := w.script("node", answers(201, `{"id":"`+zeros+`.2","subject":"s","deps":[],"acks":1}`))
		proxy := w.relay("proxy", "node", idle)
		c := w.client(nil, "proxy")
		for i := range 100 {
			_, err := c.Publish(t.Context(), Draft{Subject: "s", Delta: []byte(`{}`)})
			require.NoError(t, err)
			require.Len(t, node.requests(), i+1)
			time.Sleep(time.Duration(i) * time.Second)
		}
		require.Zero(t, proxy.cuts.Load())
	})
	inBubble(t, func(t *testing.T, w *web) {
		d := newDesk(t, "d", "d")
		w.finally(d.handler.Close)
		w.serve("node", d.handler)
		proxy := w.relay("proxy", "node", idle)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://proxy/v1/changes?since=now&prefix=none", nil)
		require.NoError(t, err)
		r.Header.Set("Accept", "text/event-stream")
		transport := newTransport()
		transport.Proxy, transport.DialContext = nil, w.dial
		w.finally(transport.CloseIdleConnections)
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		n := 0
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if lines.Text() == "event: bookmark" {
				n++
			}
		}
		require.Greater(t, n, 200, "it lives until the context ends")
		require.Zero(t, proxy.cuts.Load())
	})
}

// A proxy that cuts polls that wait costs a request each time, and no update is late
// for it: whether the node lives is asked without waiting.
func TestAProxyThatCutsPollsIsLivedWith(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		d := newDesk(t, "d", "d")
		w.finally(d.handler.Close)
		w.serve("node", d.handler)
		proxy := w.relay("proxy", "node", 20*time.Second)
		heard := &events{}
		c := w.client(func(cfg *Config) { cfg.Notify = heard.keep }, "proxy")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		go func() {
			for i := 0; sleep(ctx, time.Minute+time.Duration(i)*time.Second) == nil; i++ {
				d.publish(time.Now().UnixMilli(), "s", fmt.Sprintf(`{"n":%d}`, i))
			}
		}()
		n := 0
		for b, err := range c.Changes(ctx, Patience(5*time.Second)) {
			require.NoError(t, err)
			for _, u := range b.Updates {
				n++
				require.LessOrEqual(t, time.Since(u.Time), roundFirst*3/2)
			}
		}
		require.Greater(t, n, 35)
		require.Greater(t, int(proxy.cuts.Load()), 90)
		require.Positive(t, heard.count(EndpointDown))
		require.Equal(t, heard.count(EndpointDown), heard.count(EndpointUp), "after each it is well again")
	})
}

// Endpoints that hang are found out one after the other within the time of an answer
// each, rather than that of a wait.
func TestOnlyTheFirstThatHangsCostsAWait(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		w.script("a", batch("c1.A", true), hangs)
		w.script("b", hangs)
		w.script("c", hangs)
		w.script("d", batch("c1.B", true))
		began := time.Now()
		take(t, w.client(nil, "a", "b", "c", "d"), 2)
		require.LessOrEqual(t, time.Since(began), emptyPause+defaultHold+3*defaultTimeout)
	})
	// One that is busy with who waits is not asked at once in another way.
	inBubble(t, func(t *testing.T, w *web) {
		waits := func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("wait") {
				refuses(429, "busy", "Retry-After", "1")(w, r)
			} else {
				batch("c1.A", true)(w, r)
			}
		}
		a, b := w.script("a", waits), w.script("b", waits)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		require.NoError(t, failed(ctx, w.client(nil, "a", "b")))
		require.Less(t, len(a.requests())+len(b.requests()), 600*2+10)
	})
}

// A connection that carries several requests may lead nowhere any more, and nobody
// says so. A request that is given up does not close it; that nothing comes on it
// does.
func TestAConnectionThatLeadsNowhereIsLeft(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate
	certificates, roots := server.TLS.Certificates, server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	server.Close()
	inBubble(t, func(t *testing.T, w *web) {
		node := &script{steps: []step{func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, 2, r.ProtoMajor)
			answers(200, meshText)(w, r)
		}}}
		w.serveTLS("node", node, certificates)
		proxy := w.relay("proxy", "node", time.Hour)
		transport := newTransport()
		transport.Proxy, transport.DialContext = nil, w.dial
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: "example.com"}
		c := New(Config{Endpoints: []string{"https://proxy"}, Transport: transport})
		w.finally(c.Close)
		_, err := c.Mesh(t.Context())
		require.NoError(t, err)
		proxy.forget()
		began := time.Now()
		for err = ErrUnreachable; err != nil && time.Since(began) < 10*time.Minute; {
			_, err = c.Mesh(t.Context())
		}
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(began), alive+connecting+defaultTimeout)
	})
}
