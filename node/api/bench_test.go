package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// discard is an answer that nobody reads.
type discard struct {
	header http.Header
	status int
	bytes  int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { d.bytes += len(b); return len(b), nil }

func benchmarkGet(b *testing.B, h *Handler, target string, status int, headers ...string) {
	r := httptest.NewRequest("GET", target, nil)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	b.ReportAllocs()
	for b.Loop() {
		w := discard{header: http.Header{}}
		h.ServeHTTP(&w, r)
		if w.status != status {
			b.Fatalf("status %d, want %d", w.status, status)
		}
	}
}

func BenchmarkView(b *testing.B) {
	f := newFake()
	f.put(ownOrigin, "order/42", `{"picked":true,"at":"2026-01-02T03:04:05Z"}`)
	f.put(fleet, "order/42", `{"van":7}`)
	h := newHandler(b, f)
	tag := `"` + f.states["order/42"].ETag() + `"`
	b.Run("200", func(b *testing.B) { benchmarkGet(b, h, "/v1/subjects/order/42", 200) })
	b.Run("304", func(b *testing.B) {
		benchmarkGet(b, h, "/v1/subjects/order/42", 304, "If-None-Match: "+tag)
	})
}

func BenchmarkChanges(b *testing.B) {
	f := newFake()
	for i := range 1000 {
		f.put(ownOrigin, fmt.Sprintf("order/%d", i), `{"picked":true,"at":"2026-01-02T03:04:05Z"}`)
	}
	benchmarkGet(b, newHandler(b, f), "/v1/changes", 200)
}

func BenchmarkParseDraft(b *testing.B) {
	body := []byte(`{"subject":"order/42","delta":{"text":"` + strings.Repeat("x", 256) + `"},"key":"k-1"}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := parseDraft(body, noBody); err != nil {
			b.Fatal(err)
		}
	}
}
