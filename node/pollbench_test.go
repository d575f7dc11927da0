package node_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidings-mesh/tidings/node"
)

// discarded is an answer that nobody reads.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(status int)      { d.status = status }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkPoll is what a node does for one request, without net/http: 20,000
// updates of 256 bytes over 2,000 subjects, on disk.
func BenchmarkPoll(b *testing.B) {
	const subjects, rounds = 2_000, 10
	n, err := node.Open(b.Context(), node.Config{Name: "wh-1", DataDir: b.TempDir(), Bind: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	pad := strings.Repeat("abcdefgh", 25)
	for i := range subjects * rounds {
		ack, err := n.Enqueue(b.Context(), draft(fmt.Sprintf("order/%05d", i%subjects), fmt.Sprintf(`{"state":"%s","n":%d}`, pad, i)))
		if err == nil && i%subjects == subjects-1 {
			_, err = ack.Wait(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	h := n.Handler()
	get := func(b *testing.B, r *http.Request, status int) http.Header {
		w := discarded{header: http.Header{}}
		if h.ServeHTTP(&w, r); w.status != status {
			b.Fatalf("%s: status %d, want %d", r.URL, w.status, status)
		}
		return w.header
	}
	request := func(target string) *http.Request { return httptest.NewRequest("GET", target, nil) }
	views := make([]*http.Request, subjects)
	histories := make([]*http.Request, subjects)
	for i := range views {
		views[i] = request(fmt.Sprintf("/v1/subjects/order/%05d", i))
		histories[i] = request(fmt.Sprintf("/v1/history/order/%05d", i))
	}
	for _, of := range []int{1, subjects} {
		b.Run(fmt.Sprintf("view/of=%d", of), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				get(b, views[i%of], http.StatusOK)
			}
		})
	}
	b.Run("unchanged", func(b *testing.B) {
		r := request("/v1/subjects/order/00001")
		r.Header["If-None-Match"] = get(b, r, http.StatusOK)["Etag"]
		b.ReportAllocs()
		for b.Loop() {
			get(b, r, http.StatusNotModified)
		}
	})
	b.Run("history", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			get(b, histories[i%subjects], http.StatusOK)
		}
	})
	b.Run("subjects", func(b *testing.B) {
		r := request("/v1/subjects?limit=1000")
		b.ReportAllocs()
		for b.Loop() {
			get(b, r, http.StatusOK)
		}
	})
	b.Run("changes", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			// Each of another length, for one that was made is shared.
			get(b, request(fmt.Sprintf("/v1/changes?limit=%d", 900+i%200)), http.StatusOK)
		}
	})
}
