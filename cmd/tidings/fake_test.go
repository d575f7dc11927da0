package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// fake stands for a node that does what a real one does only when it fails:
// it answers by a script, one function a request, the last one for ever.
type fake struct {
	t      *testing.T
	server *httptest.Server
	script []func(w http.ResponseWriter, r *http.Request, body []byte)

	mu   sync.Mutex // protects what follows
	seen []seen
}

// seen is a request that came.
type seen struct {
	method, uri, body string
	header            http.Header
}

func newFake(t *testing.T, script ...func(http.ResponseWriter, *http.Request, []byte)) *fake {
	t.Helper()
	f := &fake{t: t, script: script}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	f.seen = append(f.seen, seen{r.Method, r.RequestURI, string(body), r.Header})
	step := f.script[min(len(f.seen), len(f.script))-1]
	f.mu.Unlock()
	step(w, r, body)
}

func (f *fake) requests() []seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]seen(nil), f.seen...)
}

// answers is a step that gives an answer.
func answers(status int, body string) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// refuses is a step that gives a problem.
func refuses(status int, code string) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"type":"about:blank","title":%q,"status":%d,"detail":"because of %s","code":%q}`,
			http.StatusText(status), status, code, code)
	}
}

// hangsUp is a step that takes the request and closes the connection.
func hangsUp(w http.ResponseWriter, _ *http.Request, _ []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// hangs is a step that takes the request and never answers.
func hangs(_ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() }

// nobody is an endpoint where nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func keyOf(t *testing.T, body string) string {
	t.Helper()
	var draft struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal([]byte(body), &draft); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return draft.Key
}
