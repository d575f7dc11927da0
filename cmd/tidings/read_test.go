package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// pages is a step that gives the subjects s/0 to s/n-1, two a page.
func pages(n int) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, r *http.Request, b []byte) {
		from := 0
		if page := r.URL.Query().Get("page"); page != "" {
			_, _ = fmt.Sscanf(page, "p%d", &from)
		}
		var views []string
		next := "null"
		for i := from; i < n; i++ {
			if i == from+2 {
				next = fmt.Sprintf(`"p%d"`, i)
				break
			}
			views = append(views, fmt.Sprintf(`{"subject":"s/%d","status":{"b":1.50,"a":"<é>"},"updates":3,"time":"2026-01-02T03:04:05.001Z"}`, i))
		}
		answers(200, fmt.Sprintf(`{"subjects":[%s],"next_page":%s,"cursor":"c1.%d"}`, strings.Join(views, ","), next, from))(w, r, b)
	}
}

func TestLsReadsAllPages(t *testing.T) {
	f := newFake(t, pages(5))
	o := call(t, "ls", "s/", "--empty", "--endpoints", f.server.URL)
	if o.want(t, exitDone, `s/4      -      2026-01-02T03:04:05.001Z  3        {"b":1.50,"a":"<é>"}`, ""); strings.Count(o.out, "\n") != 6 {
		t.Errorf("got\n%s", o.out)
	}
	if uri := f.requests()[2].uri; uri != "/v1/subjects?empty=true&limit=1000&page=p4&prefix=s%2F" {
		t.Errorf("asked for %s", uri)
	}
}

func TestLsShowsTheState(t *testing.T) {
	f := newFake(t, answers(200, `{"subjects":[{"subject":"a","status":{"state":"picked"},"updates":1,"time":"2026-01-02T03:04:05.000Z"},
		{"subject":"b","status":{"state":{"x":1}},"updates":1,"time":"2026-01-02T03:04:05.000Z"},{"subject":"c","status":{},"updates":2,"time":"2026-01-02T03:04:05.000Z"},
		{"subject":"d","status":{"states":1},"updates":1,"time":"2026-01-02T03:04:05.000Z"}],"next_page":null,"cursor":"c1.x"}`))
	o := call(t, "ls", "--empty", "--endpoints", f.server.URL)
	for _, line := range []string{
		"SUBJECT  STATE    TIME                      UPDATES  STATUS\n", "a        picked   2026-01-02T03:04:05.000Z  1        {", "b        {\"x\":1}  2026-01-02T03:04:05.000Z  1        {",
		"c        (ended)  2026-01-02T03:04:05.000Z  2        {}", "d        -        2026-01-02T03:04:05.000Z  1        {",
	} {
		o.want(t, exitDone, line, "")
	}
}

func TestGetShowsWhoIsExpected(t *testing.T) {
	const view = `{"subject":"s","status":{"state":"failed","reason":"no_stock","message":"\u001b[2J","url":1,"x":2},
		"authorities":{},"heads":["00000000000000000000000000.2"],"updates":1,"time":"2026-01-02T03:04:05.001Z","conflicts":[]%s}`
	f := newFake(t, answers(200, fmt.Sprintf(view, `,"expected":["fleet","pay ments","w"],"missing":["fleet","pay ments"],"late":["fleet"]`)))
	o := call(t, "get", "s", "--expect", "--endpoints", f.server.URL)
	o.want(t, exitDone, "state     failed\nreason    no_stock\nmessage   \\u001b[2J\nurl       1\nstatus ", "")
	o.want(t, exitDone, "expected  fleet, pay ments, w\nmissing   fleet, pay ments\nlate      fleet\n", "")
	if uri := f.requests()[0].uri; uri != "/v1/subjects/s?expect=true" {
		t.Errorf("asked for %s", uri)
	}
	f = newFake(t, answers(200, fmt.Sprintf(view, "")))
	o = call(t, "get", "s", "--endpoints", f.server.URL)
	o.want(t, exitDone, "heads    00000000000000000000000000.2\n\n", "")
	if uri := f.requests()[0].uri; uri != "/v1/subjects/s" || strings.Contains(o.out, "missing") {
		t.Errorf("asked for %s, got\n%s", uri, o.out)
	}
	f = newFake(t, answers(200, fmt.Sprintf(view, `,"expected":[],"missing":[],"late":[]`)))
	callWith(t, "", map[string]string{"TIDINGS_EXPECT": "true"}, "get", "s", "--endpoints", f.server.URL).
		want(t, exitDone, "expected  -\nmissing   -\nlate      -\n", "")
}

func TestGetAtACursor(t *testing.T) {
	f := newFake(t, answers(200, `{"subject":"s","status":{},"authorities":{},"heads":["00000000000000000000000000.2"],"updates":1,"time":"2026-01-02T03:04:05.001Z","conflicts":[]}`))
	call(t, "get", "s", "--at", "c1.x_-", "--endpoints", f.server.URL).want(t, exitDone, "updates  1\n", "")
	if uri := f.requests()[0].uri; uri != "/v1/subjects/s?at=c1.x_-" {
		t.Errorf("asked for %s", uri)
	}
	call(t, "get", "s", "--at", "c1.x", "--expect", "--endpoints", f.server.URL).want(t, exitUsage, "", "--at")
	if n := len(f.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
	call(t, "get", "s", "--at", "x", "--endpoints", newFake(t, refuses(400, "bad_cursor")).server.URL).want(t, exitFailed, "", "bad_cursor")
	call(t, "get", "s", "--at", "c1.x", "--endpoints", newFake(t, refuses(503, "behind")).server.URL).want(t, exitFailed, "", "behind")
}

func TestLsJSONIsOneDocumentAsTheNodeHasIt(t *testing.T) {
	for _, c := range []struct {
		args []string
		n    int
		next *string
	}{
		{nil, 5, nil},
		{[]string{"--limit", "4"}, 4, ptr("p4")},
		{[]string{"--limit", "9"}, 5, nil},
	} {
		f := newFake(t, pages(5))
		o := call(t, append([]string{"ls", "-o", "json", "--endpoints", f.server.URL}, c.args...)...)
		o.want(t, exitDone, `{"subject":"s/0","status":{"b":1.50,"a":"<é>"},"updates":3,"time":"2026-01-02T03:04:05.001Z"}`, "")
		var got struct {
			Subjects []json.RawMessage `json:"subjects"`
			NextPage *string           `json:"next_page"`
			Cursor   string            `json:"cursor"`
		}
		if err := json.Unmarshal([]byte(o.out), &got); err != nil {
			t.Fatalf("%v in %s", err, o.out)
		}
		if len(got.Subjects) != c.n || got.Cursor != "c1.0" || fmt.Sprint(deref(got.NextPage)) != fmt.Sprint(deref(c.next)) {
			t.Errorf("%v: %d subjects, cursor %s, next %q", c.args, len(got.Subjects), got.Cursor, deref(got.NextPage))
		}
	}
}

func TestLsBreaksOff(t *testing.T) {
	// What was listed stays listed, and the status says that it is not all.
	f := newFake(t, pages(5), refuses(400, "bad_request"))
	call(t, "ls", "--endpoints", f.server.URL).want(t, exitFailed, "s/1", "bad_request")
}

func TestHistoryAsksForItsForm(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, b []byte) {
		switch r.Header.Get("Accept") {
		case "application/json":
			answers(200, `{"subject":"s","complete":false,"updates":[`+updateText(2, 10, "s", `{"x":"\u202e"}`)+`]}`)(w, r, b)
		case "image/svg+xml":
			answers(200, "<svg/>\n")(w, r, b)
		default:
			refuses(406, "not_acceptable")(w, r, b)
		}
	})
	call(t, "history", "s", "--endpoints", f.server.URL).want(t, exitDone, millisText(10)+`  a`, "not complete")
	call(t, "history", "s", "-o", "json", "--endpoints", f.server.URL).want(t, exitDone, `{"subject":"s","complete":false`, "")
	call(t, "history", "s", "-o", "svg", "--endpoints", f.server.URL).want(t, exitDone, "<svg/>\n", "")
	older := newFake(t, refuses(406, "not_acceptable"))
	call(t, "history", "s", "-o", "svg", "--endpoints", older.server.URL).want(t, exitFailed, "", "not_acceptable")
}

func TestViewShowsConflicts(t *testing.T) {
	f := newFake(t, answers(200, `{"subject":"s","status":{"x":1},"authorities":{"b":{"status":{},"update":"00000000000000000000000000.3","time":"2026-01-02T03:04:05.002Z"},
		"a\u001b[2J":{"status":{"x":1},"update":"00000000000000000000000000.2","time":"2026-01-02T03:04:05.001Z"}},"heads":["00000000000000000000000000.2","00000000000000000000000000.3"],"updates":2,"time":"2026-01-02T03:04:05.002Z",
		"conflicts":[{"path":"/x","writes":[{"value":1,"authority":"a","update":"00000000000000000000000000.2","time":"2026-01-02T03:04:05.001Z"},{"deleted":true,"authority":"b","update":"00000000000000000000000000.3","time":"2026-01-02T03:04:05.002Z"}]}]}`))
	o := call(t, "get", "s", "--endpoints", f.server.URL)
	o.want(t, exitDone, `a\u001b[2J  2026-01-02T03:04:05.001Z  00000000000000000000000000.2  {"x":1}`+"\n"+`b           2026-01-02T03:04:05.002Z  00000000000000000000000000.3  {}`, "")
	o.want(t, exitDone, "/x        1          a          2026-01-02T03:04:05.001Z  00000000000000000000000000.2\n/x        (deleted)  b          2026-01-02T03:04:05.002Z  00000000000000000000000000.3\n", "")
}

func TestMembersAndLag(t *testing.T) {
	f := newFake(t, answers(200, `{"node":"n1","converged":false,"root":"`+strings.Repeat("0", 64)+`","store":{"bytes":1},
		"members":[{"name":"n1","authority":"a","origin":"00000000000000000000000004","addr":"h:1","http":"h:2","status":"alive","zone":"","rtt_ms":0,"behind":0},
		{"name":"n2","authority":"b","origin":"00000000000000000000000008","addr":"h:3","http":"","status":"failed","zone":"eu","rtt_ms":12.34,"behind":7}],
		"chains":[{"origin":"00000000000000000000000008","authority":"b","node":"n2","head":9,"applied":4,"known":12,"held":5,"age_ms":61000}],
		"held":[{"id":"00000000000000000000000008.5","reason":"dependency","waiting_for":["0000000000000000000000000c.1"],"age_ms":1500}]}`))
	call(t, "members", "--endpoints", f.server.URL).want(t, exitDone, "n2    b          failed  h:3   -     eu    12.3ms  7       00000000000000000000000008\n", "")
	call(t, "members", "list", "-o", "json", "--endpoints", f.server.URL).want(t, exitDone, `{"converged":false,"members":[{"name":"n1"`, "")
	o := call(t, "lag", "--endpoints", f.server.URL)
	o.want(t, exitDone, "00000000000000000000000008  b          n2    4        9     12     8    5     1m1s  -\n", "")
	o.want(t, exitDone, "00000000000000000000000008.5  dependency  1.5s  0000000000000000000000000c.1\n", "")
	call(t, "members", "forget", "n/2", "--endpoints", newFake(t, answers(204, "")).server.URL).want(t, exitDone, "forgot n/2\n", "")
	call(t, "members", "forget", "n2", "--endpoints", newFake(t, refuses(403, "not_allowed")).server.URL).want(t, exitFailed, "", "not_allowed")
}

func TestReadLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A trivial model: split at line breaks, trim, drop what is blank.
		var text strings.Builder
		n := rapid.IntRange(0, 8).Draw(t, "lines")
		var want []string
		for i := range n {
			line := rapid.SampledFrom([]string{"", " ", "{}", "x\r", "\t{\"a\":1}", strings.Repeat("y", maxLine), strings.Repeat("z", maxLine+1)}).Draw(t, "line")
			text.WriteString(line)
			if i < n-1 || rapid.Bool().Draw(t, "ends") {
				text.WriteByte('\n')
			}
			switch trimmed := strings.TrimSpace(line); {
			case len(line) >= maxLine:
				// The line break counts too where there is one.
				want = append(want, fmt.Sprintf("%d long", i+1))
			case trimmed != "":
				want = append(want, fmt.Sprintf("%d %s", i+1, trimmed))
			}
		}
		in := bufio.NewReaderSize(iotest.HalfReader(strings.NewReader(text.String())), 64)
		lines := make(chan streamLine, n+1)
		readLines(t.Context(), in, lines)
		var got []string
		for l := range lines {
			switch {
			case errors.Is(l.err, errLineTooLong) || len(l.text) >= maxLine:
				got = append(got, fmt.Sprintf("%d long", l.number))
			case l.err != nil:
				t.Fatal(l.err)
			default:
				got = append(got, fmt.Sprintf("%d %s", l.number, l.text))
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %.200q\nwant %.200q", got, want)
		}
	})
}

func TestReadLinesFails(t *testing.T) {
	lines := make(chan streamLine, 4)
	readLines(t.Context(), io.MultiReader(strings.NewReader("{}\n"), iotest.ErrReader(errors.New("disk"))), lines)
	if l := <-lines; string(l.text) != "{}" {
		t.Errorf("got %+v", l)
	}
	if l := <-lines; l.err == nil || l.number != 2 {
		t.Errorf("got %+v", l)
	}
}

func FuzzWithKey(f *testing.F) {
	for _, seed := range []string{`{}`, `{ }`, `{"a":1}`, ` {"key":"x"}`, `{"a":{"key":1}}`, `[]`, `null`, `{"a":1}x`, `"{"`, ``, `{"a":1,"a":2}`} {
		f.Add([]byte(seed), "k-1")
	}
	f.Fuzz(func(t *testing.T, line []byte, key string) {
		line = bytes.TrimSpace(line)
		got := withKey(line, key)
		var before, after map[string]json.RawMessage
		if json.Unmarshal(line, &before) != nil || before == nil {
			if !bytes.Equal(got, line) {
				t.Fatalf("%q became %q", line, got)
			}
			return
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%q became %q: %v", line, got, err)
		}
		if _, has := before["key"]; !has {
			delete(after, "key")
		}
		for k, v := range before {
			if !bytes.Equal(after[k], v) {
				t.Fatalf("%q became %q", line, got)
			}
		}
		if len(after) != len(before) {
			t.Fatalf("%q became %q", line, got)
		}
	})
}

func ptr[T any](v T) *T { return &v }

func deref(s *string) string {
	if s == nil {
		return "(none)"
	}
	return *s
}
