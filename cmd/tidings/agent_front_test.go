package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"
)

func TestFrontAnswersBeforeTheNode(t *testing.T) {
	f := &front{node: "wh-1"}
	ask := func(method, path string) *http.Response {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w.Result()
	}
	const starting = `{"status":503,"type":"about:blank","title":"Service Unavailable","code":"not_ready",` +
		`"detail":"not ready: starting","reason":"starting","progress":{"have":0,"want":0}}`
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/healthz", 200, `{"status":"ok"}`},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/readyz", 503, starting},
		{"POST", "/v1/updates", 503, starting},
		{"GET", "/v1/mesh", 503, starting},
		{"HEAD", "/v1/mesh", 503, ""},
	} {
		r := ask(c.method, c.path)
		body, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != c.status || string(body) != c.body {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, r.StatusCode, body, c.status, c.body)
		}
		if r.Header.Get("Tidings-Node") != "wh-1" || r.Header.Get("Tidings-Converged") != "false" {
			t.Errorf("%s %s: headers %v", c.method, c.path, r.Header)
		}
	}
	f.open(http.NotFoundHandler())
	if r := ask("GET", "/healthz"); r.StatusCode != 404 {
		t.Errorf("once open: %d", r.StatusCode)
	}
}

// TestAgentEndsWhileItStarts: the first attempt to join takes its time where
// nobody answers, and whoever asks or ends the agent meanwhile does not wait.
func TestAgentEndsWhileItStarts(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, &process{out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }}, []string{
			"agent", "--name", "n", "--bind", "127.0.0.1:0", "--http", address, "--join", silent.Addr().String(),
			"--data-dir", filepath.Join(t.TempDir(), "data"),
		})
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		r, err := client.Get("http://" + address + "/readyz")
		if err == nil {
			_ = r.Body.Close()
			if r.StatusCode != 503 || r.Header.Get("Tidings-Node") != "n" {
				t.Errorf("%d %v", r.StatusCode, r.Header)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	cancel()
	if got := <-status; got != exitDone {
		t.Errorf("status %d", got)
	}
}
