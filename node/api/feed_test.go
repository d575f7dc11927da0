package api

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

type gotBatch struct {
	Updates []struct {
		ID        chain.ID
		Authority string
	}
	Cursor    string
	UpToDate  bool `json:"up_to_date"`
	Behind    []chain.Origin
	Converged bool
}

func TestChanges(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	one := f.put(ownOrigin, "a", `{"x":1}`)
	two := f.put(fleet, "b", `{"y":2}`, one)
	cursor := chain.Cursor{Frontier: chain.Frontier{ownOrigin: 2, fleet: 2}}.String()
	want := `{"updates":[` +
		`{"id":"` + one.String() + `","subject":"a","authority":"warehouse","time":"2026-01-02T03:04:05.001Z","hlc":"019b7ca98c890000","deps":[],"delta":{"x":1}},` +
		`{"id":"` + two.String() + `","subject":"b","authority":"fleet","time":"2026-01-02T03:04:05.002Z","hlc":"019b7ca98c8a0000","deps":["` + one.String() + `"],"delta":{"y":2}}` +
		`],"cursor":"` + cursor + `","up_to_date":true,"behind":[],"converged":true}`
	wantBody(t, call(h, "GET", "/v1/changes", ""), 200, want)
	wantBody(t, call(h, "GET", "/v1/changes?since=start&limit=10000", ""), 200, want)
	wantBody(t, call(h, "POST", "/v1/changes", `{}`), 200, want)
	wantBody(t, call(h, "POST", "/v1/changes", `{"since":"start","limit":7,"wait":"1s","prefix":"","authority":[],"at_least":null}`), 200, want)
	end := `{"updates":[],"cursor":"` + cursor + `","up_to_date":true,"behind":[],"converged":true}`
	wantBody(t, call(h, "GET", "/v1/changes?since="+cursor, ""), 200, end)
	wantBody(t, call(h, "POST", "/v1/changes", `{"since":"`+cursor+`","wait":0}`), 200, end)
	wantBody(t, call(h, "GET", "/v1/changes?since=now&wait=50s", ""), 200, end)
}

func TestChangesPages(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	for i := range 10 {
		f.put([]chain.Origin{ownOrigin, fleet}[i%2], "s", fmt.Sprintf(`{"n":%d}`, i))
	}
	since, seen := "start", 0
	for {
		b := decode[gotBatch](t, call(h, "GET", "/v1/changes?limit=3&since="+since, "").body)
		seen += len(b.Updates)
		if since = b.Cursor; b.UpToDate {
			break
		}
		if len(b.Updates) != 3 {
			t.Fatalf("page of %d, want 3", len(b.Updates))
		}
	}
	if seen != 10 {
		t.Errorf("%d updates in pages, want 10", seen)
	}
}

func TestChangesFilter(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	f.put(ownOrigin, "order/1", `{"a":1}`)
	f.put(fleet, "order/1", `{"b":1}`)
	f.put(fleet, "van/1", `{"c":1}`)
	for query, want := range map[string]int{
		"prefix=order": 2, "prefix=order/": 2, "prefix=ord": 0, "authority=fleet": 2, "authority=fleet&authority=warehouse": 3,
		"prefix=order&authority=fleet": 1, "authority=none": 0,
	} {
		b := decode[gotBatch](t, call(h, "GET", "/v1/changes?"+query, "").body)
		if len(b.Updates) != want || !b.UpToDate {
			t.Errorf("%s: %d updates, want %d", query, len(b.Updates), want)
		}
		next := "/v1/changes?since=" + b.Cursor
		if p := call(h, "GET", next, "").problem(t); p.Code != CodeBadCursor || p.Field != "since" {
			t.Errorf("%s: cursor without its filter: %+v", query, p)
		}
		wantStatus(t, call(h, "GET", next+"&"+query, ""), 200)
	}
}

func TestChangesBehind(t *testing.T) {
	f := newFake()
	f.diverged = true
	f.retracted = []chain.Retraction{{Origin: fleet, After: 4}}
	h := newHandler(t, f)
	f.put(ownOrigin, "a", `{"x":1}`)
	since := chain.Cursor{Frontier: chain.Frontier{nobody: 5}}.String()
	a := call(h, "GET", "/v1/changes?since="+since, "")
	wantStatus(t, a, 200)
	b := decode[gotBatch](t, a.body)
	if len(b.Updates) != 1 || len(b.Behind) != 1 || b.Behind[0] != nobody || b.Converged {
		t.Errorf("batch %s", a.body)
	}
	if !strings.HasSuffix(a.body, `"converged":false,"retracted":[{"origin":"`+fleet.String()+`","after":4}]}`) {
		t.Errorf("batch %s", a.body)
	}
	if got := a.header.Get("Tidings-Converged"); got != "false" {
		t.Errorf("Tidings-Converged: %s", got)
	}
}

func TestChangesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f})
		defer h.Close()
		poll := func(query string) (gotBatch, time.Duration) {
			began := time.Now()
			a := call(h, "GET", "/v1/changes?"+query, "")
			wantStatus(t, a, 200)
			return decode[gotBatch](t, a.body), time.Since(began)
		}
		if b, took := poll("wait=30s"); len(b.Updates) != 0 || took != 30*time.Second {
			t.Errorf("%d updates after %s", len(b.Updates), took)
		}
		// What the filter leaves out does not end the wait, and is passed over.
		time.AfterFunc(time.Second, func() { f.put(ownOrigin, "other", `{"a":1}`) })
		time.AfterFunc(2*time.Second, func() { f.put(ownOrigin, "s", `{"a":1}`) })
		b, took := poll("wait=30s&prefix=s")
		if len(b.Updates) != 1 || took != 2*time.Second {
			t.Errorf("%d updates after %s", len(b.Updates), took)
		}
		c, err := chain.ParseCursor(b.Cursor)
		if err != nil || c.Frontier[ownOrigin] != 3 {
			t.Errorf("cursor at %v, %v", c.Frontier, err)
		}
		if b, took = poll("wait=30s&prefix=s&since=" + b.Cursor); len(b.Updates) != 0 || took != 30*time.Second {
			t.Errorf("%d updates after %s", len(b.Updates), took)
		}
	})
}

// TestChangesSparse: a page that the node ended early for finding little goes
// on by itself while there is time to wait, and is handed out where not.
func TestChangesSparse(t *testing.T) {
	f := newFake()
	f.pages = 3
	h := newHandler(t, f)
	for range 20 {
		f.put(ownOrigin, "other", `{"a":1}`)
	}
	last := f.put(ownOrigin, "s", `{"a":1}`)
	b := decode[gotBatch](t, call(h, "GET", "/v1/changes?prefix=s", "").body)
	if len(b.Updates) != 0 || b.UpToDate {
		t.Errorf("without wait: %+v", b)
	}
	if c, err := chain.ParseCursor(b.Cursor); err != nil || c.Frontier[ownOrigin] == 0 {
		t.Errorf("the cursor did not advance: %v, %v", c.Frontier, err)
	}
	b = decode[gotBatch](t, call(h, "GET", "/v1/changes?prefix=s&wait=10s", "").body)
	if len(b.Updates) != 1 || b.Updates[0].ID != last {
		t.Errorf("with wait: %+v", b)
	}
}

func TestHistory(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	one := f.put(ownOrigin, "s", `{"a":1}`)
	f.put(ownOrigin, "other", `{"a":1}`)
	two := f.put(fleet, "s", `{"a":2}`, one)
	first := `{"id":"` + one.String() + `","subject":"s","authority":"warehouse","time":"2026-01-02T03:04:05.001Z","hlc":"019b7ca98c890000","deps":[],"delta":{"a":1}}`
	second := `{"id":"` + two.String() + `","subject":"s","authority":"fleet","time":"2026-01-02T03:04:05.003Z","hlc":"019b7ca98c8b0000","deps":["` + one.String() + `"],"delta":{"a":2}}`
	a := call(h, "GET", "/v1/history/s", "")
	wantBody(t, a, 200, `{"subject":"s","updates":[`+first+`,`+second+`],"complete":true}`)
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: %s", got)
	}
	a = call(h, "GET", "/v1/history/s", "", "Accept: application/x-ndjson")
	wantBody(t, a, 200, first+"\n"+second+"\n")
	if got := a.header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("Content-Type: %s", got)
	}
	if a = call(h, "HEAD", "/v1/history/s", ""); a.status != 200 || a.body != "" {
		t.Errorf("HEAD: %+v", a)
	}
}

func TestHistoryLong(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	text := strings.Repeat("x", 1000)
	for i := range 500 {
		f.put(ownOrigin, "s", fmt.Sprintf(`{"n":%d,"text":%q}`, i, text))
	}
	a := call(h, "GET", "/v1/history/s", "")
	v := decode[struct {
		Updates  []struct{ Delta struct{ N int } }
		Complete bool
	}](t, a.body)
	if len(v.Updates) != 500 || !v.Complete || v.Updates[499].Delta.N != 499 {
		t.Errorf("%d updates, complete %t", len(v.Updates), v.Complete)
	}
	lines := strings.Split(strings.TrimSuffix(call(h, "GET", "/v1/history/s", "", "Accept: application/x-ndjson").body, "\n"), "\n")
	if len(lines) != 500 {
		t.Errorf("%d lines, want 500", len(lines))
	}
}

func TestSubjects(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	for i := range 25 {
		f.put([]chain.Origin{ownOrigin, fleet}[i%2], fmt.Sprintf("order/%02d", i), `{"a":1}`)
	}
	f.put(ownOrigin, "order/07/x", `{"a":1}`)
	f.put(ownOrigin, "van/1", `{"a":1}`)
	f.put(fleet, "order/03", `{"a":null}`)
	type list struct {
		Subjects []struct{ Subject string }
		NextPage *string `json:"next_page"`
		Cursor   string
	}
	walk := func(query string) (subjects []string) {
		page, cursor := "", ""
		for {
			a := call(h, "GET", "/v1/subjects?"+query+"&page="+page, "")
			wantStatus(t, a, 200)
			l := decode[list](t, a.body)
			for _, s := range l.Subjects {
				subjects = append(subjects, s.Subject)
			}
			if cursor == "" {
				cursor = l.Cursor
				f.put(ownOrigin, "zzz", fmt.Sprintf(`{"n":%d}`, f.clock)) // while the list is read
			}
			if l.Cursor != cursor {
				t.Fatalf("%s: a later page has another cursor", query)
			}
			if l.NextPage == nil {
				return subjects
			}
			page = *l.NextPage
		}
	}
	for query, want := range map[string]int{
		"prefix=order": 25, "prefix=order&empty=true": 26, "prefix=order/07": 2, "prefix=order/07/": 1, "prefix=none": 0,
		"prefix=order&authority=fleet": 11, "prefix=order&authority=fleet&authority=warehouse": 25,
	} {
		for _, limit := range []string{"1", "4", "25", "1000"} {
			got := walk(query + "&limit=" + limit)
			if len(got) != want {
				t.Errorf("%s, limit %s: %d subjects, want %d: %v", query, limit, len(got), want, got)
			}
			for i := 1; i < len(got); i++ {
				if got[i-1] >= got[i] {
					t.Errorf("%s, limit %s: %s after %s", query, limit, got[i], got[i-1])
				}
			}
		}
	}
}

func TestSubjectsExact(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	id := f.put(ownOrigin, "s", `{"a":1}`)
	view := string(f.states["s"].AppendView(nil))
	cursor := chain.Cursor{Frontier: chain.Frontier{ownOrigin: id.Seq}, Filter: chain.Filter{Prefix: "s"}.Hash()}.String()
	wantBody(t, call(h, "GET", "/v1/subjects?prefix=s", ""), 200, `{"subjects":[`+view+`],"next_page":null,"cursor":"`+cursor+`"}`)
}

func TestSubjectsPageToken(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	f.put(ownOrigin, "a", `{"a":1}`)
	f.put(ownOrigin, "b", `{"a":1}`)
	l := decode[struct {
		NextPage string `json:"next_page"`
	}](t, call(h, "GET", "/v1/subjects?limit=1", "").body)
	token := l.NextPage
	wantStatus(t, call(h, "GET", "/v1/subjects?limit=5&page="+token, ""), 200)
	bad := []string{"x", "p1.", "p1.!!", "p2." + token[3:], token[:len(token)-2], token + "AA", url.QueryEscape("p1.\n" + token[3:])}
	for i := range len(token) - 3 {
		c := byte('A')
		if token[i+3] == 'A' {
			c = 'B'
		}
		bad = append(bad, token[:i+3]+string(c)+token[i+4:])
	}
	for _, page := range bad {
		if p := call(h, "GET", "/v1/subjects?page="+page, "").problem(t); p.Code != CodeBadRequest || p.Field != "page" {
			t.Errorf("page %s: %+v", page, p)
		}
	}
	for _, other := range []string{"prefix=a", "authority=fleet", "empty=true"} {
		if p := call(h, "GET", "/v1/subjects?page="+token+"&"+other, "").problem(t); p.Field != "page" {
			t.Errorf("page with %s: %+v", other, p)
		}
	}
}

// TestSubjectsLongCursor: a cursor too long for a URL is told on the first page
// alone, and never replaced by a later one.
func TestSubjectsLongCursor(t *testing.T) {
	p := page{from: "s", cursor: strings.Repeat("c", maxPageCursor+1)}
	back, ok := parsePage(p.String(), p.filter)
	if !ok || back.cursor != "" || back.from != "s" {
		t.Errorf("page %+v, %t", back, ok)
	}
}

func TestSubjectsScanTime(t *testing.T) {
	f := newFake()
	h := New(Config{Backend: f, Limits: Limits{ScanTime: time.Nanosecond}})
	defer h.Close()
	for i := range 200 {
		f.put(ownOrigin, fmt.Sprintf("s/%03d", i), `{"a":1}`)
	}
	l := decode[struct {
		Subjects []struct{}
		NextPage *string `json:"next_page"`
	}](t, call(h, "GET", "/v1/subjects?authority=fleet", "").body)
	if len(l.Subjects) != 0 || l.NextPage == nil {
		t.Errorf("%d subjects, next page %v: want an early end", len(l.Subjects), l.NextPage)
	}
}

// A batch that takes updates back, and has none, is what a consumer waits for.
func TestChangesOfARetractionAlone(t *testing.T) {
	f := newFake()
	f.retracted = []chain.Retraction{{Origin: fleet, After: 4}}
	h := newHandler(t, f)
	const wait = 20 * time.Second
	began := time.Now()
	a := call(h, "GET", "/v1/changes?wait="+wait.String(), "")
	wantStatus(t, a, 200)
	if took := time.Since(began); took > wait/2 {
		t.Errorf("it waited %v", took)
	}
	if want := `"retracted":[{"origin":"` + fleet.String() + `","after":4}]}`; !strings.HasSuffix(a.body, want) {
		t.Errorf("batch %s, want one that ends in %s", a.body, want)
	}
}
