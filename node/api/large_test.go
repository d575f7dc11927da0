package api

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLargeBodiesAreBounded: a large body waits for room, which those before have
// until they are answered, and is refused as busy after its time. Small ones go on.
func TestLargeBodiesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMeasured(newFake(), Limits{LargeBodies: 2 * smallBody})
		defer h.Close()
		large := `[{"subject":"s","delta":{"a":1}}` + strings.Repeat(" ", smallBody) + `]`
		small := `[{"subject":"s","delta":{"b":1}}]`
		first := make(chan int)
		go func() { first <- call(h, "POST", "/v1/updates?ack=2&wait=10s", large).status }()
		synctest.Wait()
		began := time.Now()
		refused := call(h, "POST", "/v1/updates?wait=3s", large)
		if p := refused.problem(t); p.Code != CodeBusy || refused.header.Get("Retry-After") == "" || time.Since(began) != 3*time.Second {
			t.Errorf("%+v after %s", p, time.Since(began))
		}
		wantMetrics(t, h, `tidings_http_refused_total{what="body"} 1`)
		wantStatus(t, call(h, "POST", "/v1/updates", small), http.StatusOK)
		second := make(chan int)
		go func() { second <- call(h, "POST", "/v1/updates?wait=50s", large).status }()
		if got := []int{<-first, <-second}; got[0] != http.StatusOK || got[1] != http.StatusOK || time.Since(began) != 10*time.Second {
			t.Errorf("%d after %s", got, time.Since(began))
		}
		wantStatus(t, call(h, "POST", "/v1/updates", strings.Replace(large, "s", "t", 1)), http.StatusOK)
	})
}

// TestOneLargeBodyAlwaysFits: however little room there is, one has it.
func TestOneLargeBodyAlwaysFits(t *testing.T) {
	h := New(Config{Backend: newFake(), Limits: Limits{LargeBodies: 1}})
	defer h.Close()
	for range 3 {
		wantStatus(t, call(h, "POST", "/v1/updates", `[`+strings.Repeat(" ", 5*smallBody)+`]`), http.StatusOK)
	}
}

// TestLargeBodyEndsWithTheNode: one that waits for room does not keep a node from
// closing.
func TestLargeBodyEndsWithTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{Backend: newFake(), Limits: Limits{LargeBodies: 1}})
		if !h.large.TryTake(1) {
			t.Fatal("no room in the beginning")
		}
		answered := make(chan answer)
		go func() {
			answered <- call(h, "POST", "/v1/updates?wait=50s", strings.Repeat(" ", smallBody)+`{"subject":"s","delta":{"a":1}}`)
		}()
		synctest.Wait()
		h.Close()
		if p := (<-answered).problem(t); p.Code != CodeClosing {
			t.Errorf("%+v", p)
		}
	})
}
