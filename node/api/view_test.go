package api

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

func TestView(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	one := f.put(ownOrigin, "order/42", `{"picked":true}`)
	two := f.put(fleet, "order/42", `{"van":"<7>"}`, one)
	want := `{"subject":"order/42","status":{"picked":true,"van":"<7>"},"authorities":{` +
		`"fleet":{"status":{"van":"<7>"},"update":"` + two.String() + `","time":"2026-01-02T03:04:05.002Z"},` +
		`"warehouse":{"status":{"picked":true},"update":"` + one.String() + `","time":"2026-01-02T03:04:05.001Z"}},` +
		`"conflicts":[],"heads":["` + two.String() + `"],"updates":2,"time":"2026-01-02T03:04:05.002Z"}`
	for _, path := range []string{"/v1/subjects/order/42", "/v1/subjects/order%2F42", "/v1/subjects/order%2f%34%32"} {
		a := call(h, "GET", path, "")
		wantBody(t, a, 200, want)
		for name, value := range map[string]string{
			"ETag": `"` + f.states["order/42"].ETag() + `"`, "Tidings-Age-Ms": "3", "Cache-Control": "no-cache",
			"Content-Type": "application/json",
		} {
			if got := a.header.Get(name); got != value {
				t.Errorf("%s: %s: %q, want %q", path, name, got, value)
			}
		}
	}
	head := call(h, "HEAD", "/v1/subjects/order/42", "")
	if head.status != 200 || head.body != "" || head.header.Get("ETag") == "" || head.header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %+v", head)
	}
}

func TestViewNotModified(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	f.put(ownOrigin, "s", `{"a":1}`)
	tag := call(h, "GET", "/v1/subjects/s", "").header.Get("ETag")
	for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*", `"x",W/"y" , ` + tag + ` , "z"`} {
		a := call(h, "GET", "/v1/subjects/s", "", "If-None-Match: "+match)
		if a.status != 304 || a.body != "" || a.header.Get("ETag") != tag || a.header.Get("Tidings-Age-Ms") == "" {
			t.Errorf("If-None-Match %s: %+v", match, a)
		}
	}
	for _, match := range []string{"", `"x"`, strings.Trim(tag, `"`), `"` + tag, "W/", `W/"`, ","} {
		if a := call(h, "GET", "/v1/subjects/s", "", "If-None-Match: "+match); a.status != 200 {
			t.Errorf("If-None-Match %s: status %d, want 200", match, a.status)
		}
	}
	f.put(ownOrigin, "s", `{"a":2}`)
	wantStatus(t, call(h, "GET", "/v1/subjects/s", "", "If-None-Match: "+tag), 200)
}

func TestViewWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f})
		defer h.Close()
		timed := func(target string, headers ...string) (answer, time.Duration) {
			began := time.Now()
			a := call(h, "GET", target, "", headers...)
			return a, time.Since(began)
		}
		a, took := timed("/v1/subjects/s?wait=30s")
		if a.problem(t).Code != CodeNotFound || took != 30*time.Second {
			t.Errorf("absent: %d after %s", a.status, took)
		}
		time.AfterFunc(4*time.Second, func() { f.put(ownOrigin, "other", `{"a":1}`) })
		time.AfterFunc(5*time.Second, func() { f.put(ownOrigin, "s", `{"a":1}`) })
		a, took = timed("/v1/subjects/s?wait=30s")
		if a.status != 200 || took != 5*time.Second {
			t.Errorf("absent, then there: %d after %s", a.status, took)
		}
		tag := a.header.Get("ETag")
		if a, took = timed("/v1/subjects/s?wait=30s"); a.status != 200 || took != 0 {
			t.Errorf("there: %d after %s", a.status, took)
		}
		if a, took = timed("/v1/subjects/s?wait=30s", "If-None-Match: "+tag); a.status != 304 || took != 30*time.Second {
			t.Errorf("unchanged: %d after %s", a.status, took)
		}
		time.AfterFunc(5*time.Second, func() { f.put(ownOrigin, "s", `{"a":2}`) })
		if a, took = timed("/v1/subjects/s?wait=30s", "If-None-Match: "+tag); a.status != 200 || took != 5*time.Second {
			t.Errorf("changed: %d after %s", a.status, took)
		}
	})
}

func TestAtLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f})
		defer h.Close()
		one := f.put(ownOrigin, "s", `{"a":1}`)
		missing := chain.ID{Origin: fleet, Seq: 2}
		cursor := chain.Cursor{Frontier: chain.Frontier{fleet: 2}, Filter: chain.Filter{Prefix: "x"}.Hash()}.String()
		for _, path := range []string{"/v1/subjects/s?", "/v1/subjects/s?expect=true&", "/v1/history/s?", "/v1/subjects?", "/v1/changes?"} {
			wantStatus(t, call(h, "GET", path+"at_least="+one.String(), ""), 200)
			for _, at := range []string{missing.String(), one.String() + "," + missing.String(), cursor} {
				began := time.Now()
				a := call(h, "GET", path+"wait=3s&at_least="+at, "")
				if p := a.problem(t); p.Code != CodeBehind || p.Status != 503 || a.header.Get("Retry-After") == "" {
					t.Errorf("%s at least %s: %+v", path, at, p)
				}
				if took := time.Since(began); took != 3*time.Second {
					t.Errorf("%s at least %s: after %s", path, at, took)
				}
			}
			began := time.Now()
			if a := call(h, "GET", path+"at_least="+missing.String(), ""); a.status != 503 || time.Since(began) != 0 {
				t.Errorf("%s: status %d after %s", path, a.status, time.Since(began))
			}
		}
		time.AfterFunc(time.Second, func() { f.put(fleet, "s", `{"b":1}`) })
		a := call(h, "GET", "/v1/subjects/s?wait=3s&at_least="+missing.String(), "")
		if wantStatus(t, a, 200); !strings.Contains(a.body, `"b":1`) {
			t.Errorf("body %s", a.body)
		}
	})
}

// TestWaitEnds: who waits is told at once that the handler closes, and leaves
// at once when its client does.
func TestWaitEnds(t *testing.T) {
	targets := []string{
		"/v1/subjects/none?wait=50s", "/v1/changes?wait=50s", "/v1/changes?wait=50s&at_least=" + nobody.String() + ".2",
		"/v1/history/s?wait=50s&at_least=" + nobody.String() + ".2",
	}
	for _, target := range targets {
		synctest.Test(t, func(t *testing.T) {
			h := New(Config{Backend: newFake()})
			done := make(chan answer, 1)
			began := time.Now()
			go func() { done <- call(h, "GET", target, "") }()
			synctest.Wait()
			h.Close()
			a := <-done
			if p := a.problem(t); p.Code != CodeClosing || time.Since(began) != 0 {
				t.Errorf("%s: %+v after %s", target, p, time.Since(began))
			}
			if n := h.waiters.Load(); n != 0 {
				t.Errorf("%d waiters are left", n)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			h := New(Config{Backend: newFake()})
			defer h.Close()
			ctx, cancel := context.WithCancel(t.Context())
			began := time.Now()
			time.AfterFunc(time.Second, cancel)
			callContext(ctx, h, "GET", target, "")
			if took := time.Since(began); took != time.Second {
				t.Errorf("%s: client left after 1s, handler after %s", target, took)
			}
			if n := h.waiters.Load(); n != 0 {
				t.Errorf("%d waiters are left", n)
			}
		})
	}
}

func TestTooManyWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f, Limits: Limits{Waiters: 1}})
		defer h.Close()
		done := make(chan answer, 1)
		go func() { done <- call(h, "GET", "/v1/changes?wait=10s", "") }()
		synctest.Wait()
		a := call(h, "GET", "/v1/subjects/s?wait=1s", "")
		if p := a.problem(t); p.Code != CodeBusy || p.Status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
			t.Errorf("second waiter: %+v", p)
		}
		// Who does not wait is served, and who publishes too.
		wantStatus(t, call(h, "POST", "/v1/updates", `{"subject":"s","delta":{"a":1}}`), 201)
		wantStatus(t, <-done, 200)
		wantStatus(t, call(h, "GET", "/v1/subjects/s?wait=1s", ""), 200)
	})
}
