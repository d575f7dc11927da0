package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/tidings-mesh/tidings/chain"
)

// TestRefusals is a table of requests that are wrong by themselves.
func TestRefusals(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	f.put(ownOrigin, "order/42", `{"a":1}`)
	const post = "/v1/updates"
	id := ownOrigin.String() + ".2"
	cursor := chain.Cursor{Frontier: chain.Frontier{ownOrigin: 2}}.String()
	damaged := cursor[:len(cursor)-1] + string(cursor[len(cursor)-1]^1)
	deps := func(n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(`"`+id+`",`, n), ",") + "]"
	}
	draft := func(more string) string { return `{"subject":"s","delta":{"a":2}` + more + `}` }
	deep := func(n int) string {
		return strings.Repeat(`{"a":`, n-1) + `{}` + strings.Repeat("}", n-1)
	}
	for _, c := range []struct {
		method, target, body string
		headers              []string
		status               int
		code                 Code
		field                string
	}{
		// Paths and methods.
		{"GET", "/nothing", "", nil, 404, CodeNotFound, "path"},
		{"POST", "/v1", "", nil, 404, CodeNotFound, "path"},
		{"GET", "/v1/subjectsx", "", nil, 404, CodeNotFound, "path"},
		{"GET", "/v1/history", "", nil, 404, CodeNotFound, "path"},
		{"GET", "//v1/subjects", "", nil, 404, CodeNotFound, "path"},
		{"GET", "/v1//subjects", "", nil, 404, CodeNotFound, "path"},
		{"GET", "/v1/../v1/mesh", "", nil, 404, CodeNotFound, "path"},
		{"GET", "/v1/mesh/", "", nil, 404, CodeNotFound, "path"},
		{"GET", "/v1/updates", "", nil, 405, CodeMethodNotAllowed, ""},
		{"PUT", "/v1/updates", "", nil, 405, CodeMethodNotAllowed, ""},
		{"DELETE", "/v1/subjects/s", "", nil, 405, CodeMethodNotAllowed, ""},
		{"POST", "/", "", nil, 405, CodeMethodNotAllowed, ""},
		{"BREW", "/healthz", "", nil, 405, CodeMethodNotAllowed, ""},
		{"GET", "/v1/mesh/members/x", "", nil, 405, CodeMethodNotAllowed, ""},
		{"GET", "/metrics", "", nil, 404, CodeNotFound, ""},
		// Subjects in paths: refused, and never redirected.
		{"GET", "/v1/subjects/", "", nil, 400, CodeBadSubject, "subject"},
		{"GET", "/v1/subjects/a/", "", nil, 400, CodeBadSubject, "subject"},
		{"GET", "/v1/subjects/a%2F", "", nil, 400, CodeBadSubject, "subject"},
		{"GET", "/v1/subjects//a", "", nil, 400, CodeBadSubject, "subject"},
		{"GET", "/v1/subjects/a//b", "", nil, 400, CodeBadSubject, "subject"},
		{"GET", "/v1/subjects/a/./b", "", nil, 400, CodeBadSubject, "subject"},
		{"GET", "/v1/subjects/a/../b", "", nil, 400, CodeBadSubject, "subject"},
		{"GET", "/v1/subjects/%2e%2e", "", nil, 400, CodeBadSubject, "subject"},
		{"GET", "/v1/subjects/a%00", "", nil, 400, CodeBadSubject, "subject"},
		{"GET", "/v1/subjects/%ff", "", nil, 400, CodeBadSubject, "subject"},
		{"GET", "/v1/subjects/" + strings.Repeat("a", 513), "", nil, 400, CodeBadSubject, "subject"},
		{"GET", "/v1/history/a//b", "", nil, 400, CodeBadSubject, "subject"},
		{"GET", "/v1/subjects/none", "", nil, 404, CodeNotFound, "subject"},
		{"GET", "/v1/history/none", "", nil, 404, CodeNotFound, "subject"},
		// IDs and origins in paths.
		{"GET", "/v1/updates/", "", nil, 404, CodeNotFound, "id"},
		{"GET", "/v1/updates/x", "", nil, 404, CodeNotFound, "id"},
		{"GET", "/v1/updates/" + ownOrigin.String() + ".0", "", nil, 404, CodeNotFound, "id"},
		{"GET", "/v1/updates/" + ownOrigin.String() + ".99", "", nil, 404, CodeNotFound, ""},
		{"GET", "/v1/chains/x", "", nil, 404, CodeNotFound, "origin"},
		{"GET", "/v1/chains/" + nobody.String(), "", nil, 404, CodeNotFound, ""},
		// Parameters.
		{"GET", "/v1/subjects/s?nope=1", "", nil, 400, CodeBadRequest, "nope"},
		{"GET", "/v1/subjects/s?since=" + cursor, "", nil, 400, CodeBadRequest, "since"},
		{"GET", "/v1/subjects/s?at=" + cursor, "", nil, 404, CodeNotFound, "subject"},
		{"GET", "/v1/subjects/s?at=" + damaged, "", nil, 400, CodeBadCursor, "at"},
		{"GET", "/v1/subjects/s?expect=yes", "", nil, 400, CodeBadRequest, "expect"},
		{"GET", "/v1/subjects/s?expect=", "", nil, 400, CodeBadRequest, "expect"},
		{"GET", "/v1/subjects/s?expect=true&expect=true", "", nil, 400, CodeBadRequest, "expect"},
		{"GET", "/v1/subjects/none?expect=true", "", nil, 404, CodeNotFound, "subject"},
		{"GET", "/v1/subjects?expect=true", "", nil, 400, CodeBadRequest, "expect"},
		{"GET", "/v1/history/s?expect=true", "", nil, 400, CodeBadRequest, "expect"},
		{"GET", "/v1/mesh?x", "", nil, 400, CodeBadRequest, "x"},
		{"GET", "/healthz?x", "", nil, 400, CodeBadRequest, "x"},
		{"GET", "/v1/updates/" + id + "?x=1", "", nil, 400, CodeBadRequest, "x"},
		{"GET", "/v1/subjects/s?%zz=1", "", nil, 400, CodeBadRequest, ""},
		{"GET", "/v1/subjects/s?wait=%zz", "", nil, 400, CodeBadRequest, "wait"},
		{"GET", "/v1/subjects/s?wait=1s&wait=1s", "", nil, 400, CodeBadRequest, "wait"},
		{"GET", "/v1/subjects/s?wait=1s;x", "", nil, 400, CodeBadRequest, "wait"},
		{"GET", "/v1/subjects/s?wait=56s", "", nil, 400, CodeBadRequest, "wait"},
		{"GET", "/v1/subjects/s?wait=-1s", "", nil, 400, CodeBadRequest, "wait"},
		{"GET", "/v1/subjects/s?wait=5", "", nil, 400, CodeBadRequest, "wait"},
		{"GET", "/v1/subjects/s?wait=", "", nil, 400, CodeBadRequest, "wait"},
		{"GET", "/v1/subjects/s?at_least=x", "", nil, 400, CodeBadRequest, "at_least"},
		{"GET", "/v1/subjects/s?at_least=", "", nil, 400, CodeBadRequest, "at_least"},
		{"GET", "/v1/subjects/s?at_least=" + id + ",", "", nil, 400, CodeBadRequest, "at_least"},
		{"GET", "/v1/subjects/s?at_least=" + damaged, "", nil, 400, CodeBadCursor, "at_least"},
		{"GET", "/v1/subjects?limit=0", "", nil, 400, CodeBadRequest, "limit"},
		{"GET", "/v1/subjects?limit=1001", "", nil, 400, CodeBadRequest, "limit"},
		{"GET", "/v1/subjects?limit=+1", "", nil, 400, CodeBadRequest, "limit"},
		{"GET", "/v1/subjects?limit=", "", nil, 400, CodeBadRequest, "limit"},
		{"GET", "/v1/subjects?empty=1", "", nil, 400, CodeBadRequest, "empty"},
		{"GET", "/v1/subjects?prefix=/a", "", nil, 400, CodeBadRequest, "prefix"},
		{"GET", "/v1/subjects?prefix=a//", "", nil, 400, CodeBadRequest, "prefix"},
		{"GET", "/v1/subjects?authority=", "", nil, 400, CodeBadRequest, "authority"},
		{"GET", "/v1/chains/" + ownOrigin.String() + "?from=0", "", nil, 400, CodeBadRequest, "from"},
		{"GET", "/v1/chains/" + ownOrigin.String() + "?limit=10001", "", nil, 400, CodeBadRequest, "limit"},
		{"GET", "/v1/changes?limit=10001", "", nil, 400, CodeBadRequest, "limit"},
		{"GET", "/v1/changes?since=", "", nil, 400, CodeBadCursor, "since"},
		{"GET", "/v1/changes?since=c1.x", "", nil, 400, CodeBadCursor, "since"},
		{"GET", "/v1/changes?since=" + damaged, "", nil, 400, CodeBadCursor, "since"},
		{"GET", "/v1/changes?since=" + cursor + "&prefix=order", "", nil, 400, CodeBadCursor, "since"},
		{"GET", "/v1/changes?since=" + strings.Repeat("x", maxURL), "", nil, 414, CodeTooLarge, ""},
		// The feed by POST.
		{"POST", "/v1/changes?since=now", "{}", nil, 400, CodeBadRequest, "since"},
		{"POST", "/v1/changes", "", nil, 400, CodeBadRequest, ""},
		{"POST", "/v1/changes", "[]", nil, 400, CodeBadRequest, ""},
		{"POST", "/v1/changes", `{"x":1}`, nil, 400, CodeBadRequest, "x"},
		{"POST", "/v1/changes", `{"since":"now","since":"now"}`, nil, 400, CodeBadRequest, "since"},
		{"POST", "/v1/changes", `{"since":1}`, nil, 400, CodeBadRequest, "since"},
		{"POST", "/v1/changes", `{"limit":"1"}`, nil, 400, CodeBadRequest, "limit"},
		{"POST", "/v1/changes", `{"limit":0}`, nil, 400, CodeBadRequest, "limit"},
		{"POST", "/v1/changes", `{"limit":1.0}`, nil, 400, CodeBadRequest, "limit"},
		{"POST", "/v1/changes", `{"wait":1}`, nil, 400, CodeBadRequest, "wait"},
		{"POST", "/v1/changes", `{"wait":"1h"}`, nil, 400, CodeBadRequest, "wait"},
		{"POST", "/v1/changes", `{"prefix":"/"}`, nil, 400, CodeBadRequest, "prefix"},
		{"POST", "/v1/changes", `{"authority":[1]}`, nil, 400, CodeBadRequest, "authority"},
		{"POST", "/v1/changes", `{"authority":[""]}`, nil, 400, CodeBadRequest, "authority"},
		{"POST", "/v1/changes", `{"since":"` + damaged + `"}`, nil, 400, CodeBadCursor, "since"},
		{"POST", "/v1/changes", "{}", []string{"Content-Type: text/plain"}, 415, CodeUnsupportedMediaType, "Content-Type"},
		// Types.
		{"GET", "/v1/mesh", "", []string{"Accept: text/html"}, 406, CodeNotAcceptable, ""},
		{"GET", "/v1/mesh", "", []string{"Accept: application/json;q=0, */*"}, 406, CodeNotAcceptable, ""},
		{"GET", "/v1/changes", "", []string{"Accept: text/html"}, 406, CodeNotAcceptable, ""},
		{"GET", "/v1/history/order/42", "", []string{"Accept: image/png"}, 406, CodeNotAcceptable, ""},
		{"GET", "/v1/subjects/order/42", "", []string{"Accept: application/x-ndjson"}, 406, CodeNotAcceptable, ""},
		{"POST", post, draft(""), []string{"Accept: text/html"}, 406, CodeNotAcceptable, ""},
		{"POST", post, draft(""), []string{"Content-Type: application/x-ndjson", "Accept: application/json"}, 406, CodeNotAcceptable, ""},
		{"POST", post, draft(""), []string{"Accept: application/x-ndjson"}, 406, CodeNotAcceptable, ""},
		{"POST", post, draft(""), []string{"Content-Type: application/merge-patch+json"}, 415, CodeUnsupportedMediaType, "Content-Type"},
		{"POST", post, draft(""), []string{"Content-Type: application/x-www-form-urlencoded"}, 415, CodeUnsupportedMediaType, "Content-Type"},
		{"POST", post, draft(""), []string{"Content-Type: application/json; charset=latin1"}, 415, CodeUnsupportedMediaType, "Content-Type"},
		{"POST", post, draft(""), []string{"Content-Type: ;"}, 415, CodeUnsupportedMediaType, "Content-Type"},
		{"POST", post, draft(""), []string{"Content-Encoding: gzip"}, 415, CodeUnsupportedMediaType, "Content-Encoding"},
		// Drafts.
		{"POST", post, "", nil, 400, CodeBadRequest, ""},
		{"POST", post, " ", nil, 400, CodeBadRequest, ""},
		{"POST", post, "7", nil, 400, CodeBadRequest, ""},
		{"POST", post, `{"subject":"s"`, nil, 400, CodeBadRequest, ""},
		{"POST", post, draft("") + "x", nil, 400, CodeBadRequest, ""},
		{"POST", post, draft("") + draft(""), nil, 400, CodeBadRequest, ""},
		{"POST", post, "[" + draft("") + "] 7", nil, 400, CodeBadRequest, ""},
		{"POST", post, "[" + draft("") + ",", nil, 400, CodeBadRequest, ""},
		{"POST", post, "{\"subject\":\"\xff\"}", nil, 400, CodeBadRequest, ""},
		{"POST", post, draft(`,"more":1`), nil, 400, CodeBadRequest, "more"},
		{"POST", post, draft(`,"Subject":"t"`), nil, 400, CodeBadRequest, "Subject"},
		{"POST", post, draft(`,"subject":"t"`), nil, 400, CodeBadRequest, "subject"},
		{"POST", post, draft(`,"s\u0075bject":"t"`), nil, 400, CodeBadRequest, "subject"},
		{"POST", post, `{"delta":{}}`, nil, 400, CodeBadSubject, "subject"},
		{"POST", post, `{"subject":null,"delta":{}}`, nil, 400, CodeBadSubject, "subject"},
		{"POST", post, `{"subject":"","delta":{}}`, nil, 400, CodeBadSubject, "subject"},
		{"POST", post, `{"subject":"/a","delta":{}}`, nil, 400, CodeBadSubject, "subject"},
		{"POST", post, `{"subject":7,"delta":{}}`, nil, 400, CodeBadRequest, "subject"},
		{"POST", post, `{"subject":"\ud800","delta":{}}`, nil, 400, CodeBadRequest, "subject"},
		{"POST", post, `{"subject":"s"}`, nil, 400, CodeBadDelta, "delta"},
		{"POST", post, `{"subject":"s","delta":null}`, nil, 400, CodeBadDelta, "delta"},
		{"POST", post, `{"subject":"s","delta":[]}`, nil, 400, CodeBadDelta, "delta"},
		{"POST", post, `{"subject":"s","delta":"{}"}`, nil, 400, CodeBadDelta, "delta"},
		{"POST", post, `{"subject":"s","delta":` + deep(65) + `}`, nil, 400, CodeBadDelta, "delta"},
		{"POST", post, `{"subject":"s","delta":{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}`, nil, 400, CodeBadDelta, "delta"},
		{"POST", post, `{"subject":"s","delta":{"a":1,"\u0061":2}}`, nil, 400, CodeBadRequest, "delta"},
		{"POST", post, `{"subject":"s","delta":{"a":"\udc00"}}`, nil, 400, CodeBadRequest, "delta"},
		{"POST", post, `{"subject":"s","delta":{"a":01}}`, nil, 400, CodeBadRequest, ""},
		{"POST", post, `{"subject":"s","delta":{"a":"` + strings.Repeat("x", chain.MaxDelta) + `"}}`, nil, 413, CodeTooLarge, "delta"},
		{"POST", post, `{"subject":"s","delta":{` + strings.Repeat(" ", chain.MaxDelta) + `}}`, nil, 413, CodeTooLarge, "delta"},
		{"POST", post, draft(`,"deps":` + deps(65)), nil, 413, CodeTooLarge, "deps"},
		{"POST", post, draft(`,"deps":"x"`), nil, 400, CodeBadRequest, "deps"},
		{"POST", post, draft(`,"deps":["x"]`), nil, 400, CodeBadRequest, "deps"},
		{"POST", post, draft(`,"deps":[7]`), nil, 400, CodeBadRequest, "deps"},
		{"POST", post + "?wait=0", draft(`,"deps":["` + nobody.String() + `.2"]`), nil, 409, CodeUnknownDependency, "deps"},
		{"POST", post + "?wait=0", draft(`,"cause":"` + nobody.String() + `.2","hook":"h"`), nil, 409, CodeUnknownDependency, "cause"},
		{"POST", post, draft(`,"cause":"x","hook":"h"`), nil, 400, CodeBadRequest, "cause"},
		{"POST", post, draft(`,"hook":"h"`), nil, 400, CodeBadRequest, "cause"},
		{"POST", post, draft(`,"cause":"` + id + `"`), nil, 400, CodeBadRequest, "hook"},
		{"POST", post, draft(`,"cause":"` + id + `","hook":""`), nil, 400, CodeBadRequest, "hook"},
		{"POST", post, draft(`,"key":""`), nil, 400, CodeBadRequest, "key"},
		{"POST", post, draft(`,"key":7`), nil, 400, CodeBadRequest, "key"},
		{"POST", post, draft(`,"key":"` + strings.Repeat("k", chain.MaxKey+1) + `"`), nil, 400, CodeBadRequest, "key"},
		{"POST", post, draft(`,"key":"k"`), []string{"Idempotency-Key: j"}, 400, CodeBadRequest, "key"},
		{"POST", post, draft(""), []string{"Idempotency-Key: j", "Idempotency-Key: j"}, 400, CodeBadRequest, "Idempotency-Key"},
		{"POST", post, "[" + draft("") + "]", []string{"Idempotency-Key: j"}, 400, CodeBadRequest, "Idempotency-Key"},
		{"POST", post, draft(""), []string{"Idempotency-Key: j", "Content-Type: application/x-ndjson"}, 400, CodeBadRequest, "Idempotency-Key"},
		{"POST", post, draft(`,"authority":"fleet"`), nil, 409, CodeWrongAuthority, "authority"},
		{"POST", post, draft(`,"authority":""`), nil, 400, CodeBadRequest, "authority"},
		{"POST", post + "?ack=0", draft(""), nil, 400, CodeBadRequest, "ack"},
		{"POST", post + "?ack=65", draft(""), nil, 400, CodeBadRequest, "ack"},
		{"POST", post + "?ack=01", draft(""), nil, 400, CodeBadRequest, "ack"},
		{"POST", post + "?ack=two", draft(""), nil, 400, CodeBadRequest, "ack"},
		{"POST", post + "?wait=forever", draft(""), nil, 400, CodeBadRequest, "wait"},
		{"POST", post + "?key=k", draft(""), nil, 400, CodeBadRequest, "key"},
		{"POST", post, "[" + strings.Repeat("7,", maxArrayItems) + "7]", nil, 413, CodeTooLarge, ""},
		{"POST", post, "[" + strings.Repeat(" ", maxArrayBody), nil, 413, CodeTooLarge, ""},
		{"POST", post, strings.Repeat(" ", maxSingleBody) + draft(""), nil, 413, CodeTooLarge, ""},
		// Pages of other sites.
		{"POST", post, draft(""), []string{"Origin: http://evil.example", "Sec-Fetch-Site: cross-site"}, 403, CodeNotAllowed, "Origin"},
		{"POST", post, draft(""), []string{"Sec-Fetch-Site: same-site"}, 403, CodeNotAllowed, "Origin"},
		{"POST", post, draft(""), []string{"Origin: http://evil.example"}, 403, CodeNotAllowed, "Origin"},
		{"POST", post, draft(""), []string{"Origin: null"}, 403, CodeNotAllowed, "Origin"},
		{"POST", "/v1/changes", "{}", []string{"Origin: http://evil.example"}, 403, CodeNotAllowed, "Origin"},
		{"DELETE", "/v1/mesh/members/failed", "", []string{"Origin: http://evil.example"}, 403, CodeNotAllowed, "Origin"},
		// Members.
		{"DELETE", "/v1/mesh/members/none", "", nil, 404, CodeNotFound, ""},
		{"DELETE", "/v1/mesh/members/", "", nil, 404, CodeNotFound, "name"},
		{"DELETE", "/v1/mesh/members/alive", "", nil, 403, CodeNotAllowed, ""},
	} {
		name := fmt.Sprintf("%s %.80s %.60s", c.method, c.target, c.body)
		t.Run(name, func(t *testing.T) {
			before := f.enqueued
			a := call(h, c.method, c.target, c.body, c.headers...)
			p := a.problem(t)
			if p.Status != c.status || p.Code != c.code || p.Field != c.field || p.Detail == "" {
				t.Errorf("got %d %s, field %q (%s); want %d %s, field %q", p.Status, p.Code, p.Field, p.Detail, c.status, c.code, c.field)
			}
			if len(p.Detail) > 400 {
				t.Errorf("detail of %d bytes", len(p.Detail))
			}
			if c.status == 405 != (a.header.Get("Allow") != "") {
				t.Errorf("Allow: %q", a.header.Get("Allow"))
			}
			if a.header.Get("Tidings-Node") != "wh-1" || a.header.Get("Tidings-Converged") != "true" {
				t.Errorf("headers %v", a.header)
			}
			if f.enqueued != before && c.code != CodeBadDelta && c.field != "delta" {
				t.Error("something of it came to the outbox")
			}
		})
	}
}

func TestProblemExact(t *testing.T) {
	h := newHandler(t, newFake())
	wantBody(t, call(h, "GET", "/v1/subjects?limit=%3Cb%3E", ""), 400,
		`{"status":400,"type":"about:blank","title":"Bad Request","code":"bad_request",`+
			`"detail":"\"<b>\": want a whole number from 1 to 1000","field":"limit"}`)
}

// TestBackendFailures is a table of what the node says no to, or fails at.
func TestBackendFailures(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("some step: %w", err) }
	gone := &GoneError{Floor: chain.Cursor{Frontier: chain.Frontier{ownOrigin: 9}}}
	const publish, read = 1, 2
	for _, c := range []struct {
		err    error
		status int
		code   Code
		field  string
		of     int // who comes into it
	}{
		{wrap(chain.ErrStoreFailed), 503, CodeStoreFailed, "", publish},
		{wrap(chain.ErrClosed), 503, CodeClosing, "", publish | read},
		{wrap(chain.ErrFrozen), 503, CodeNotReady, "", publish},
		{wrap(ErrNotReady), 503, CodeNotReady, "", publish},
		{wrap(ErrClockSkew), 503, CodeClockSkew, "", publish},
		{wrap(ErrBusy), 429, CodeBusy, "", publish},
		{wrap(chain.ErrKeyReused), 422, CodeKeyReused, "key", publish},
		{wrap(chain.ErrReactions), 403, CodeNotAllowed, "cause", publish},
		{wrap(&chain.DependencyError{IDs: []chain.ID{{Origin: fleet, Seq: 2}}}), 409, CodeUnknownDependency, "deps", publish},
		{&chain.DraftError{Field: "deps", Err: &chain.DependencyError{IDs: []chain.ID{{Origin: fleet, Seq: 2}}}}, 409, CodeUnknownDependency, "deps", publish},
		{&chain.DraftError{Field: "hook", Err: wrap(chain.ErrDraft)}, 400, CodeBadRequest, "hook", publish},
		{&chain.DraftError{Field: "deps", Err: wrap(chain.ErrTooLarge)}, 413, CodeTooLarge, "deps", publish},
		{&chain.DraftError{Field: "key", Err: chain.ErrKeyReused}, 422, CodeKeyReused, "key", publish},
		{&chain.DraftError{Field: "cause", Err: wrap(chain.ErrReactions)}, 403, CodeNotAllowed, "cause", publish},
		{wrap(gone), 410, CodeGone, "since", read},
		{wrap(chain.ErrCursor), 400, CodeBadCursor, "since", read},
		{wrap(chain.ErrCorrupt), 500, CodeInternal, "", publish | read},
		{errPlanted, 500, CodeInternal, "", publish | read},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			var logged bytes.Buffer
			f := newFake()
			f.enqueue, f.feed = c.err, c.err
			h := New(Config{Backend: f, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			defer h.Close()
			check := func(a answer) {
				t.Helper()
				p := a.problem(t)
				if p.Status != c.status || p.Code != c.code || p.Field != c.field {
					t.Errorf("got %+v, want %d %s, field %q", p, c.status, c.code, c.field)
				}
				if strings.Contains(a.body, "secret") {
					t.Errorf("the answer tells the failure: %s", a.body)
				}
				if (c.code == CodeGone) != (p.Floor != "") {
					t.Errorf("floor %q", p.Floor)
				}
				if got := a.header.Get("Retry-After") != ""; got != c.code.Later() {
					t.Errorf("Retry-After is there: %t", got)
				}
			}
			body := `{"subject":"s","delta":{"a":1}}`
			if c.of&read != 0 {
				check(call(h, "GET", "/v1/changes", ""))
			}
			if c.of&publish != 0 {
				check(call(h, "POST", "/v1/updates", body))
				check(call(h, "POST", "/v1/updates", "["+body+"]"))
			}
			if got := logged.Len() > 0; got != (c.code == CodeInternal || c.code == CodeStoreFailed) {
				t.Errorf("logged: %s", logged.String())
			}
			if c.of&publish == 0 {
				return
			}
			f.enqueue, f.result = nil, c.err
			check(call(h, "POST", "/v1/updates", body))
			a := call(h, "POST", "/v1/updates", "["+body+"]")
			wantStatus(t, a, 200)
			items := decode[[]Problem](t, a.body)
			if len(items) != 1 || items[0].Status != c.status || items[0].Code != c.code {
				t.Errorf("items %+v", items)
			}
		})
	}
}

// panicking is a backend with a defect.
type panicking struct{ *fake }

func (panicking) Mesh() *Mesh { panic("planted: a secret") }

func TestPanic(t *testing.T) {
	var logged bytes.Buffer
	h := New(Config{Backend: panicking{newFake()}, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	defer h.Close()
	a := call(h, "GET", "/v1/mesh", "")
	if p := a.problem(t); p.Code != CodeInternal || strings.Contains(a.body, "secret") {
		t.Errorf("problem %s", a.body)
	}
	if !strings.Contains(logged.String(), "planted") || !strings.Contains(logged.String(), "stack=") {
		t.Errorf("logged: %s", logged.String())
	}
}

// TestBrokenOff: a history that fails on its way is cut off, not ended.
func TestBrokenOff(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	f.put(ownOrigin, "broken", `{"text":"`+strings.Repeat("x", 60_000)+`"}`)
	f.put(ownOrigin, "broken", `{"text":"`+strings.Repeat("y", 60_000)+`"}`)
	f.put(ownOrigin, "broken", `{"text":"last"}`)
	f.put(ownOrigin, "broken", `{"bad":true}`)
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("recovered %v, want http.ErrAbortHandler", got)
		}
	}()
	call(h, "GET", "/v1/history/broken", "")
	t.Error("the answer came to its end")
}

func TestBrokenAtOnce(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	f.put(ownOrigin, "broken", `{"bad":true}`)
	if p := call(h, "GET", "/v1/history/broken", "").problem(t); p.Code != CodeInternal {
		t.Errorf("problem %+v", p)
	}
}

func TestProblemDecodes(t *testing.T) {
	p := Problem{Status: 503, Code: CodeNotReady, Detail: "d", Field: "f", Line: 3, Reason: "r", Progress: &Progress{Have: 1, Want: 2}, Floor: "c"}
	var back Problem
	if err := json.Unmarshal(p.AppendJSON(nil), &back); err != nil {
		t.Fatal(err)
	}
	if *back.Progress != *p.Progress {
		t.Errorf("progress %+v", back.Progress)
	}
	back.Progress, p.Progress = nil, nil
	if back != p {
		t.Errorf("got %+v, want %+v", back, p)
	}
}
