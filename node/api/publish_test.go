package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

func decode[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("answer is not JSON: %v\n%s", err, text)
	}
	return v
}

func TestPublishOne(t *testing.T) {
	h := newHandler(t, newFake())
	a := call(h, "POST", "/v1/updates", `{"subject":"order/42","delta":{"picked": true}}`)
	wantBody(t, a, 201, `{"id":"`+ownOrigin.String()+`.2","subject":"order/42","time":"2026-01-02T03:04:05.001Z",`+
		`"hlc":"019b7ca98c890000","deps":[],"acks":1}`)
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Tidings-Node": "wh-1", "Tidings-Converged": "true",
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestPublishKeepsDelta: the delta reaches the node as the very bytes sent.
func TestPublishKeepsDelta(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	const delta = `{"b":1.50,"a":"<é\u00e9>","c":1e400}`
	wantStatus(t, call(h, "POST", "/v1/updates", `{"subject":"s","delta":`+delta+`}`), 201)
	if got := string(f.updates[1].Delta); got != delta {
		t.Fatalf("delta %s, want %s", got, delta)
	}
}

func TestPublishUnchanged(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	wantBody(t, call(h, "POST", "/v1/updates", `{"subject":"s","delta":{}}`), 200,
		`{"id":null,"subject":"s","deps":[],"acks":0,"unchanged":true}`)
	id := f.put(ownOrigin, "s", `{"a":1}`)
	a := call(h, "POST", "/v1/updates?ack=3&wait=0", `{"subject":"s","delta":{"a":1.0}}`)
	wantBody(t, a, 200, `{"id":"`+id.String()+`","subject":"s","time":"2026-01-02T03:04:05.001Z",`+
		`"hlc":"019b7ca98c890000","deps":[],"acks":1,"unchanged":true}`)
}

// TestPublishOfOwnPage: a page that the node's own address served may publish,
// and reads are for all.
func TestPublishOfOwnPage(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	f.put(ownOrigin, "s", `{"a":1}`)
	for i, headers := range [][]string{
		{"Origin: http://example.com", "Sec-Fetch-Site: same-origin"},
		{"Origin: http://example.com"},
		{"Sec-Fetch-Site: none"},
	} {
		body := fmt.Sprintf(`{"subject":"s","delta":{"own":%d}}`, i)
		wantStatus(t, call(h, "POST", "http://example.com/v1/updates", body, headers...), 201)
	}
	wantStatus(t, call(h, "GET", "/v1/subjects/s", "", "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"), 200)
}

// TestPublishEmptyHeaders: what says nothing is as good as absent.
func TestPublishEmptyHeaders(t *testing.T) {
	h := newHandler(t, newFake())
	for i, header := range []string{"Accept: ", "Accept: ,", "Content-Type: ", "Content-Encoding: identity"} {
		body := fmt.Sprintf(`{"subject":"s","delta":{"a":%d}}`, i)
		wantStatus(t, call(h, "POST", "/v1/updates", body, header), 201)
	}
}

func TestPublishKey(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	body := `{"subject":"s","delta":{"a":1},"key":"k"}`
	first := call(h, "POST", "/v1/updates", body)
	wantStatus(t, first, 201)
	wantBody(t, call(h, "POST", "/v1/updates", body), 200, first.body)
	wantBody(t, call(h, "POST", "/v1/updates", body, "Idempotency-Key: k"), 200, first.body)
	noKey := `{"subject":"s","delta":{"a":1}}`
	wantBody(t, call(h, "POST", "/v1/updates", noKey, "Idempotency-Key: k"), 200, first.body)
	other := call(h, "POST", "/v1/updates", `{"subject":"s","delta":{"a":2},"key":"k"}`)
	wantStatus(t, other, 422)
	if p := other.problem(t); p.Code != CodeKeyReused || p.Field != "key" {
		t.Errorf("problem %+v", p)
	}
}

func TestPublishDeps(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	dep := f.put(fleet, "s", `{"a":1}`)
	a := call(h, "POST", "/v1/updates", fmt.Sprintf(`{"subject":"s","delta":{"b":2},"deps":[%q,"%s.999"]}`, dep, ownOrigin))
	wantStatus(t, a, 201)
	if got := decode[struct{ Deps []chain.ID }](t, a.body).Deps; len(got) != 1 || got[0] != dep {
		t.Errorf("deps %v, want %v: those on the own chain are dropped, and not waited for", got, dep)
	}
	a = call(h, "POST", "/v1/updates", fmt.Sprintf(`{"subject":"s","delta":{"c":2},"cause":%q,"hook":"refund"}`, dep))
	wantStatus(t, a, 201)
	if u := f.updates[len(f.updates)-1]; u.Cause != dep || u.Hook != "refund" {
		t.Errorf("published %+v", u)
	}
}

// TestPublishNoObject: what is no object is told so for what it is.
func TestPublishNoObject(t *testing.T) {
	h := newHandler(t, newFake())
	if p := call(h, "POST", "/v1/updates", `7`).problem(t); p.Detail != "want a JSON object, or an array of them" {
		t.Errorf("a body: %s", p.Detail)
	}
	for _, item := range []string{`7`, `"s"`, `null`, `[{}]`} {
		array := call(h, "POST", "/v1/updates", "["+item+"]")
		wantStatus(t, array, 200)
		p := decode[[]Problem](t, array.body)[0]
		if p.Code != CodeBadRequest || p.Detail != "want an array of JSON objects: this item is none" {
			t.Errorf("item %s: %+v", item, p)
		}
		p = decode[Problem](t, call(h, "POST", "/v1/updates", item+"\n", ndjson).body)
		if p.Code != CodeBadRequest || p.Line != 1 || p.Detail != "want a JSON object a line: this line is none" {
			t.Errorf("line %s: %+v", item, p)
		}
	}
}

// TestPublishDepsMissing: the answer names what is not applied here, and the
// field that asks for it.
func TestPublishDepsMissing(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	f.put(fleet, "s", `{"a":1}`)
	here, next, other, own := fleet.String()+".2", fleet.String()+".3", nobody.String()+".2", ownOrigin.String()+".9"
	many, named := "", ""
	for seq := range 10 {
		many += fmt.Sprintf(`,"%s.%d"`, nobody, seq+2)
		if seq < 8 {
			named += fmt.Sprintf(" %s.%d", nobody, seq+2)
		}
	}
	for _, c := range []struct{ more, field, detail string }{
		{`"deps":["` + here + `","` + next + `"]`, "deps", "not applied here: " + next},
		{`"deps":["` + other + `","` + next + `","` + other + `","` + own + `"]`, "deps", "not applied here: " + other + " " + next},
		{`"cause":"` + other + `","hook":"h","deps":["` + here + `"]`, "cause", "not applied here: " + other},
		{`"cause":"` + other + `","hook":"h","deps":["` + next + `"]`, "cause", "not applied here: " + other + " " + next},
		{`"cause":"` + here + `","hook":"h","deps":["` + next + `"]`, "deps", "not applied here: " + next},
		{`"deps":[` + many[1:] + `]`, "deps", "not applied here:" + named + " and 2 more"},
	} {
		p := call(h, "POST", "/v1/updates?wait=0", `{"subject":"s","delta":{"b":2},`+c.more+`}`).problem(t)
		if p.Code != CodeUnknownDependency || p.Field != c.field || p.Detail != c.detail {
			t.Errorf("%s: %s, field %q: %s; want field %q: %s", c.more, p.Code, p.Field, p.Detail, c.field, c.detail)
		}
	}
}

// TestPublishDepsWait: a dependency that comes in time is waited for, and one
// that does not is refused once the time is over.
func TestPublishDepsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f})
		defer h.Close()
		body := `{"subject":"s","delta":{"b":2},"deps":["` + fleet.String() + `.2"]}`
		began := time.Now()
		a := call(h, "POST", "/v1/updates?wait=2s", body)
		wantStatus(t, a, 409)
		if p := a.problem(t); p.Code != CodeUnknownDependency || p.Field != "deps" {
			t.Errorf("problem %+v", p)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("refused after %s, want 2s", took)
		}
		time.AfterFunc(time.Second, func() { f.put(fleet, "s", `{"a":1}`) })
		wantStatus(t, call(h, "POST", "/v1/updates", body), 201)
	})
}

func TestPublishAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f})
		defer h.Close()
		began := time.Now()
		a := call(h, "POST", "/v1/updates?ack=2&wait=7s", `{"subject":"s","delta":{"a":1},"key":"k"}`)
		wantStatus(t, a, 202)
		if got := decode[struct{ Acks int }](t, a.body).Acks; got != 1 {
			t.Errorf("acks %d, want 1", got)
		}
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("answered after %s, want 7s", took)
		}
		f.acks = 2
		a = call(h, "POST", "/v1/updates?ack=2", `{"subject":"s","delta":{"a":1},"key":"k"}`)
		wantStatus(t, a, 200)
		if got := decode[struct{ Acks int }](t, a.body).Acks; got != 2 {
			t.Errorf("acks %d, want 2", got)
		}
		wantStatus(t, call(h, "POST", "/v1/updates?ack=2", `{"subject":"s","delta":{"a":2}}`), 201)
	})
}

func TestPublishInMemory(t *testing.T) {
	f := newFake()
	f.info.Durable = false
	a := call(newHandler(t, f), "POST", "/v1/updates", `{"subject":"s","delta":{"a":1}}`)
	wantStatus(t, a, 201)
	if !strings.Contains(a.body, `"acks":0`) {
		t.Errorf("body %s, want acks 0", a.body)
	}
}

func TestPublishArray(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	a := call(h, "POST", "/v1/updates", ` [
		{"subject":"a","delta":{"x":1}},
		{"subject":"a/","delta":{"x":1}},
		{"subject":"b","delta":null},
		7,
		{"subject":"c","delta":{"x":1,"x":2}},
		{"subject":"a","delta":{"x":1}},
		{"subject":"d","delta":{"y":1}}]`)
	wantStatus(t, a, 200)
	type item struct {
		Status    int
		ID        *chain.ID
		Code      Code
		Field     string
		Line      *int
		Unchanged bool
	}
	items := decode[[]item](t, a.body)
	var got []string
	for _, i := range items {
		got = append(got, fmt.Sprintf("%d %s %s %t %t", i.Status, i.Code, i.Field, i.ID != nil, i.Unchanged))
		if i.Line != nil {
			t.Errorf("item of an array has line %d", *i.Line)
		}
	}
	want := []string{
		"201   true false", "400 bad_subject subject false false", "400 bad_delta delta false false",
		"400 bad_request  false false", "400 bad_request delta false false", "200   true true", "201   true false",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("items\n%q\nwant\n%q", got, want)
	}
	wantBody(t, call(h, "POST", "/v1/updates", `[]`), 200, `[]`)
}

func TestPublishArrayExact(t *testing.T) {
	h := newHandler(t, newFake())
	a := call(h, "POST", "/v1/updates", `[{"subject":"a","delta":{"x":1}},{"subject":"","delta":{}}]`)
	wantBody(t, a, 200, `[{"status":201,"id":"`+ownOrigin.String()+`.2","subject":"a","time":"2026-01-02T03:04:05.001Z",`+
		`"hlc":"019b7ca98c890000","deps":[],"acks":1},`+
		`{"status":400,"type":"about:blank","title":"Bad Request","code":"bad_subject","detail":"empty","field":"subject"}]`)
}

func TestPublishArrayOrder(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	var items []string
	for i := range 1000 {
		items = append(items, fmt.Sprintf(`{"subject":"s","delta":{"n":%d}}`, i))
	}
	wantStatus(t, call(h, "POST", "/v1/updates", "["+strings.Join(items, ",")+"]"), 200)
	for i, u := range f.updates[1:] {
		if want := fmt.Sprintf(`{"n":%d}`, i); string(u.Delta) != want {
			t.Fatalf("update %d is %s, want %s", i, u.Delta, want)
		}
	}
}

// TestPublishFull: while the outbox is full nothing is published and the
// answer says so; what got in before it was full is published, and only the
// rest is refused.
func TestPublishFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f})
		defer h.Close()
		f.room = 0
		for _, body := range []string{`{"subject":"s","delta":{"a":1}}`, `[{"subject":"s","delta":{"a":1}}]`} {
			began := time.Now()
			a := call(h, "POST", "/v1/updates?wait=3s", body)
			wantStatus(t, a, 429)
			if p := a.problem(t); p.Code != CodeBusy || a.header.Get("Retry-After") == "" {
				t.Errorf("problem %+v, Retry-After %q", p, a.header.Get("Retry-After"))
			}
			if took := time.Since(began); took != 3*time.Second {
				t.Errorf("refused after %s, want 3s", took)
			}
		}
		f.room = 1
		a := call(h, "POST", "/v1/updates?wait=3s", `[{"subject":"s","delta":{"a":1}},{"subject":"s","delta":{"a":2}}]`)
		wantStatus(t, a, 200)
		items := decode[[]struct{ Status int }](t, a.body)
		if len(items) != 2 || items[0].Status != 201 || items[1].Status != 429 {
			t.Errorf("items %+v, want 201 and 429", items)
		}
	})
}

// TestPublishClosing: what was taken is answered by its outcome though the
// handler is closed meanwhile.
func TestPublishClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.gate = make(chan struct{})
		h := New(Config{Backend: f})
		done := make(chan answer)
		go func() { done <- call(h, "POST", "/v1/updates", `{"subject":"s","delta":{"a":1}}`) }()
		synctest.Wait()
		h.Close()
		synctest.Wait()
		close(f.gate)
		wantStatus(t, <-done, 201)
		a := call(h, "POST", "/v1/updates", `{"subject":"s","delta":{"a":1}}`)
		if p := a.problem(t); p.Code != CodeClosing || a.status != http.StatusServiceUnavailable {
			t.Errorf("problem %+v", p)
		}
	})
}
