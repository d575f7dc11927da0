package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/tidings-mesh/tidings/node/api"
)

// front is what an agent serves: its node, once that can answer. To open a large
// store takes a moment, and whoever looks after the process has to be told
// meanwhile that it is alive and not ready, rather than be left without an
// answer.
type front struct {
	node   string // its name
	opened atomic.Pointer[http.Handler]
}

// open lets the node answer.
func (f *front) open(node http.Handler) { f.opened.Store(&node) }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if node := f.opened.Load(); node != nil {
		(*node).ServeHTTP(w, r)
		return
	}
	const reason = "starting"
	status, contentType, body := http.StatusOK, "application/json", []byte(`{"status":"ok"}`)
	header := w.Header()
	if r.URL.Path != "/healthz" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		p := api.Problem{
			Status: http.StatusServiceUnavailable, Code: api.CodeNotReady, Detail: "not ready: " + reason,
			Reason: reason, Progress: &api.Progress{},
		}
		status, contentType, body = p.Status, "application/problem+json", p.AppendJSON(nil)
		header.Set("Retry-After", "1")
	}
	header.Set("Tidings-Node", f.node)
	header.Set("Tidings-Converged", "false")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // whoever has gone reads no error
	}
}

// nameIn is the name that a data directory keeps, "" if it has none yet. What
// is wrong with the directory is for the node to say.
func nameIn(dir string) string {
	if dir == "" {
		return ""
	}
	var identity struct {
		Name string `json:"name"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "identity.json"))
	if err != nil || json.Unmarshal(b, &identity) != nil {
		return ""
	}
	return identity.Name
}
