package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tidings-mesh/tidings/chain"
)

// checkAnswer holds any answer to what all answers are held to.
func checkAnswer(t *testing.T, a answer) {
	t.Helper()
	if a.header.Get("Tidings-Node") == "" || a.header.Get("Tidings-Converged") == "" {
		t.Fatalf("headers %v", a.header)
	}
	if a.status >= 500 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if a.status >= 300 && a.status != 304 {
		if p := a.problem(t); p.Code == "" || p.Detail == "" {
			t.Fatalf("problem %s", a.body)
		}
	}
}

func FuzzPublish(f *testing.F) {
	for _, seed := range append(scanSeeds,
		`{"subject":"s","delta":{"a":1}}`, `{"subject":"s","delta":{"a":1},"deps":[],"key":"k","authority":"warehouse"}`,
		`[{"subject":"s","delta":{"a":1}},{"subject":"s","delta":{"a":2}}]`, `{"subject":"s","delta":{"a":1,"a":2}}`,
		"{\"subject\":\"s\",\"delta\":{\"a\":1}}\n\n{\"subject\":\"t\",\"delta\":{}}",
		`{"subject":"s","delta":{},"cause":"`+ownOrigin.String()+`.2","hook":"h"}`,
	) {
		f.Add(seed)
	}
	h := newHandler(f, newFake())
	f.Fuzz(func(t *testing.T, body string) {
		one := call(h, "POST", "/v1/updates?wait=0", body)
		checkAnswer(t, one)
		lines := call(h, "POST", "/v1/updates?wait=0", body, ndjson)
		wantStatus(t, lines, 200)
		last := 0
		for _, item := range streamAnswers(t, lines.body) {
			if item.Line <= last || item.Line > strings.Count(body, "\n")+1 {
				t.Fatalf("line %d after %d", item.Line, last)
			}
			if item.Status >= 500 || (item.Status >= 300) != (item.Code != "") {
				t.Fatalf("item %+v", item)
			}
			last = item.Line
		}
		// An array of a body is answered as the body is, in an item.
		if !strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "[") && strings.Count(body, "\n") == 0 && one.status < 300 {
			a := call(h, "POST", "/v1/updates?wait=0", "["+body+"]")
			wantStatus(t, a, 200)
			if items := decode[[]streamAnswer](t, a.body); len(items) != 1 || items[0].Status >= 300 {
				t.Fatalf("alone %d, in an array %s", one.status, a.body)
			}
		}
	})
}

func FuzzChangesBody(f *testing.F) {
	cursor := chain.Cursor{Frontier: chain.Frontier{ownOrigin: 2}}.String()
	for _, seed := range append(scanSeeds, `{"since":"now"}`, `{"since":"`+cursor+`","limit":1,"wait":"0","prefix":"a","authority":["b"],"at_least":"x"}`) {
		f.Add(seed)
	}
	h := newHandler(f, newFake())
	f.Fuzz(func(t *testing.T, body string) {
		c, err := parseChangesBody([]byte(body))
		if err != nil {
			checkAnswer(t, call(h, "POST", "/v1/changes", body))
			return
		}
		if c.limit < 1 || c.limit > maxChanges || c.wait < 0 || c.wait > maxWait {
			t.Fatalf("query %+v", c)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"", "a=b", "prefix=order&authority=a&authority=b", "wait=1s", "limit=5&page=p1.AAAA", "at_least=c1.AAAA", "since=now", "%", "%zz=1",
		"=", "&&", "wait=%00", "limit=99999999999999999999", "empty=true", "a;b", "ack=1", "from=0", "wait=1s&wait=1s",
	} {
		f.Add(seed)
	}
	h := newHandler(f, newFake())
	f.Fuzz(func(t *testing.T, query string) {
		if _, err := url.ParseRequestURI("/x?" + query); err != nil || strings.ContainsAny(query, " \t\r\n#") {
			return
		}
		// What url.ParseQuery refuses is refused here too, and what is taken
		// means the same.
		names := []string{"prefix", "authority", "limit", "page", "empty", "at_least", "since", "from", "ack"}
		q, err := parseQuery(query, names...)
		want, wantErr := url.ParseQuery(query)
		if err == nil && wantErr != nil {
			t.Fatalf("%q: taken, and url.ParseQuery says %v", query, wantErr)
		}
		if err == nil {
			for _, name := range names {
				if got := q.all(name); strings.Join(got, "\x00") != strings.Join(want[name], "\x00") {
					t.Fatalf("%q: %s is %q, want %q", query, name, got, want[name])
				}
			}
		}
		if strings.Contains(query, "wait") {
			return // not to be waited for
		}
		for _, path := range []string{"/v1/subjects", "/v1/changes", "/v1/subjects/s", "/v1/history/s", "/v1/chains/" + ownOrigin.String()} {
			a := get(h, path, query)
			if a.status != 503 { // at_least something that is not there
				checkAnswer(t, a)
			}
		}
	})
}

// get calls a path that need not be well formed.
func get(h http.Handler, path, query string, headers ...string) answer {
	r := httptest.NewRequest("GET", "/", nil)
	r.URL = &url.URL{Path: path, RawQuery: query}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/", "", "*", "/v1/subjects/a", "/v1/subjects/a//b", "/v1/subjects/../x", "/v1/history/\x00", "/v1/updates/" + ownOrigin.String() + ".1",
		"/v1/chains/" + ownOrigin.String(), "/v1/subjects/\xff", "/v1/mesh/members/x", "/v1/subjects/" + strings.Repeat("a/", 300),
	} {
		f.Add(seed)
	}
	fake := newFake()
	fake.put(ownOrigin, "a", `{"x":1}`)
	h := newHandler(f, fake)
	f.Fuzz(func(t *testing.T, path string) {
		a := get(h, path, "")
		checkAnswer(t, a)
		if a.header.Get("Location") != "" {
			t.Fatalf("%q is redirected", path)
		}
		if subject, ok := strings.CutPrefix(path, "/v1/subjects/"); ok && len(path) < maxURL {
			if bad := chain.CheckSubject(subject) != nil; bad != (a.status == 400) {
				t.Fatalf("%q: status %d", path, a.status)
			}
		}
	})
}

func FuzzIfNoneMatch(f *testing.F) {
	fake := newFake()
	fake.put(ownOrigin, "a", `{"x":1}`)
	tag := fake.states["a"].ETag()
	for _, seed := range []string{``, `*`, `"` + tag + `"`, `W/"` + tag + `"`, `"x", "` + tag + `"`, `"`, `W/`, `,,,`, `"` + tag, tag, `"a"b"c"`, `""`} {
		f.Add(seed)
	}
	h := newHandler(f, fake)
	f.Fuzz(func(t *testing.T, value string) {
		a := get(h, "/v1/subjects/a", "", "If-None-Match: "+value)
		if a.status != 200 && a.status != 304 {
			t.Fatalf("status %d", a.status)
		}
		if a.status == 304 && !strings.Contains(value, `"`+tag+`"`) && !strings.Contains(value, "*") {
			t.Fatalf("%q matched", value)
		}
		if !noneMatch([]string{value, `"` + tag + `"`}, tag) {
			t.Fatalf("the tag in a line after %q was not found", value)
		}
	})
}
