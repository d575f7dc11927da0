package api

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// TestListenerBounds: one connection too many is told so, and there is room again
// once another has gone.
func TestListenerBounds(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	l, err := NewListener(inner, 2, registry)
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(newHandler(t, newFake()), nil)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	address := l.Addr().String()
	var open []net.Conn
	for i := range 2 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		open = append(open, c)
		waitFor(t, func() bool { return l.open.Load() == int64(i+1) })
	}
	for range 3 {
		response, body := raw(t, address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if response.StatusCode != 429 || response.Header.Get("Retry-After") == "" || !response.Close || !strings.Contains(body, `"code":"busy"`) {
			t.Errorf("%d %v %s", response.StatusCode, response.Header, body)
		}
	}
	scraped := New(Config{Backend: newFake(), Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})})
	defer scraped.Close()
	wantMetrics(t, scraped, `tidings_http_connections 2`, `tidings_http_refused_total{what="connection"} 3`)
	// Far too many are closed without a word, and none is left open.
	var silent []net.Conn
	for range 2 * maxTold {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		silent = append(silent, c)
	}
	for _, c := range silent {
		_, _ = io.Copy(io.Discard, c)
	}
	_ = open[0].Close()
	waitFor(t, func() bool { return l.open.Load() == 1 })
	response, _ := raw(t, address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if response.StatusCode != 200 {
		t.Errorf("with room again: %d", response.StatusCode)
	}
}

// TestListenerHalfCloses: a connection that net/http ends before it has read all
// of a request is still read from, so that the answer is not lost in a reset.
func TestListenerHalfCloses(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewListener(inner, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	half, ok := server.(halfCloser)
	if !ok || half.CloseWrite() != nil {
		t.Fatalf("%T does not half-close", server)
	}
	if n, err := io.Copy(io.Discard, client); n != 0 || err != nil {
		t.Fatalf("%d bytes, %v, want the end", n, err)
	}
	if _, err := io.WriteString(client, "more"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, len("more"))); err != nil {
		t.Fatalf("what comes after is not read: %v", err)
	}
	pipe, _ := net.Pipe()
	if err := (&bounded{Conn: pipe, listener: l}).CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a pipe: %v", err)
	}
}
