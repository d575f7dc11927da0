package api

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

func TestViewAt(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	f.put(ownOrigin, "other", `{"a":1}`)
	at := func() string { return "/v1/subjects/s?at=" + call(h, "GET", "/v1/changes?since=now", "").cursor(t) }
	before := at()
	one := f.put(ownOrigin, "s", `{"a":1}`)
	then, first := at(), call(h, "GET", "/v1/subjects/s", "")
	two := f.put(fleet, "s", `{"b":2}`, one)
	now, second := at(), call(h, "GET", "/v1/subjects/s", "")

	if p := call(h, "GET", before, "").problem(t); p.Code != CodeNotFound || p.Field != "subject" {
		t.Errorf("before it was: %+v", p)
	}
	for target, want := range map[string]answer{then: first, now: second} {
		a := call(h, "GET", target, "")
		wantBody(t, a, 200, want.body)
		for _, name := range []string{"ETag", "Cache-Control", "Content-Type", "Tidings-Age-Ms"} {
			if a.header.Get(name) != want.header.Get(name) {
				t.Errorf("%s: %q, want %q", name, a.header.Get(name), want.header.Get(name))
			}
		}
		same := call(h, "GET", target, "", "If-None-Match: "+want.header.Get("ETag"))
		if same.status != 304 || same.body != "" || same.header.Get("ETag") != want.header.Get("ETag") {
			t.Errorf("not modified: %+v", same)
		}
	}
	if first.header.Get("ETag") == second.header.Get("ETag") {
		t.Error("two cuts have one ETag")
	}
	// A filter narrows what is delivered, not what was seen.
	filtered := chain.Cursor{Frontier: chain.Frontier{ownOrigin: one.Seq}, Filter: chain.Filter{Prefix: "x"}.Hash()}
	wantBody(t, call(h, "GET", "/v1/subjects/s?at="+filtered.String(), ""), 200, first.body)
	// What a freeze took back is in no view of then.
	f.retracted = []chain.Retraction{{Origin: fleet, After: two.Seq - 1}}
	wantBody(t, call(h, "GET", now, ""), 200, first.body)
}

// cursor is the cursor of a batch of the feed.
func (a answer) cursor(t *testing.T) string {
	t.Helper()
	wantStatus(t, a, 200)
	return decode[struct{ Cursor string }](t, a.body).Cursor
}

func TestViewAtRefuses(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	one := f.put(ownOrigin, "s", `{"a":1}`)
	cursor := chain.Cursor{Frontier: chain.Frontier{ownOrigin: one.Seq}}.String()
	for query, want := range map[string]Problem{
		"at=":                                      {Code: CodeBadCursor, Field: "at"},
		"at=now":                                   {Code: CodeBadCursor, Field: "at"},
		"at=" + one.String():                       {Code: CodeBadCursor, Field: "at"},
		"at=" + cursor[:len(cursor)-1]:             {Code: CodeBadCursor, Field: "at"},
		"at=" + cursor + "&at=" + cursor:           {Code: CodeBadRequest, Field: "at"},
		"expect=true&at=" + cursor:                 {Code: CodeBadRequest, Field: "expect"},
		"expect=maybe&at=" + cursor:                {Code: CodeBadRequest, Field: "expect"},
		"at=" + cursor + "&at_least=" + cursor:     {Code: CodeBadRequest, Field: "at_least"},
		"at_least=false&at=" + cursor:              {Code: CodeBadRequest, Field: "at_least"},
		"wait=1h&at=" + cursor:                     {Code: CodeBadRequest, Field: "wait"},
		"at=" + cursor + "&since=" + cursor:        {Code: CodeBadRequest, Field: "since"},
		"at=" + strings.ToUpper(cursor):            {Code: CodeBadCursor, Field: "at"},
		"at=" + chain.Cursor{}.String() + "&wait=": {Code: CodeBadRequest, Field: "wait"},
	} {
		p := call(h, "GET", "/v1/subjects/s?"+query, "").problem(t)
		if p.Status != 400 || p.Code != want.Code || p.Field != want.Field {
			t.Errorf("%s: %+v", query, p)
		}
	}
	wantStatus(t, call(h, "GET", "/v1/subjects/s?expect=false&at="+cursor, ""), 200)
	for _, path := range []string{"/v1/subjects", "/v1/history/s", "/v1/changes"} {
		if p := call(h, "GET", path+"?at="+cursor, "").problem(t); p.Code != CodeBadRequest || p.Field != "at" {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

// A view of then waits until what its cursor has seen is here, and for nothing
// else: neither for a subject nor for another view.
func TestViewAtWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f})
		defer h.Close()
		one := f.put(ownOrigin, "s", `{"a":1}`)
		at := func(f chain.Frontier) string {
			return "&at=" + chain.Cursor{Frontier: f}.String()
		}
		here, ahead := at(chain.Frontier{ownOrigin: one.Seq}), at(chain.Frontier{ownOrigin: one.Seq, fleet: 2})
		timed := func(query string, status int, want time.Duration, headers ...string) answer {
			t.Helper()
			began := time.Now()
			a := call(h, "GET", "/v1/subjects/"+query, "", headers...)
			if took := time.Since(began); a.status != status || took != want {
				t.Errorf("%s: %d after %s, want %d after %s", query, a.status, took, status, want)
			}
			return a
		}
		tag := timed("s?wait=30s"+here, 200, 0).header.Get("ETag")
		timed("s?wait=30s"+here, 304, 0, "If-None-Match: "+tag)
		timed("none?wait=30s"+here, 404, 0)
		a := timed("s?wait=30s"+ahead, 503, 30*time.Second)
		if p := a.problem(t); p.Code != CodeBehind || p.Field != "at" || a.header.Get("Retry-After") == "" {
			t.Errorf("%+v", p)
		}
		timed("s?"+ahead[1:], 503, 0)
		time.AfterFunc(time.Second, func() { f.put(fleet, "s", `{"b":1}`) })
		if a := timed("s?wait=30s"+ahead, 200, time.Second); !strings.Contains(a.body, `"b":1`) {
			t.Errorf("body %s", a.body)
		}
		timed("s?wait=30s"+here, 304, 0, "If-None-Match: "+tag)
	})
}
