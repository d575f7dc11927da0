package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const receipt = `{"id":"00000000000000000000000004.2","subject":"a","time":"2026-01-02T03:04:05.001Z","hlc":"019b7ca98c890000","deps":[],"acks":0}`

func TestPublishRepeatsAtTheSameNodeWithTheSameKey(t *testing.T) {
	first := newFake(t, hangsUp, hangsUp, answers(201, receipt))
	second := newFake(t, answers(201, receipt))
	call(t, "publish", "a", `{"x":1}`, "--endpoints", first.server.URL+","+second.server.URL).
		want(t, exitDone, "00000000000000000000000004.2\n", "")
	got := first.requests()
	if len(got) != 3 || len(second.requests()) != 0 {
		t.Fatalf("%d and %d requests, want 3 and 0", len(got), len(second.requests()))
	}
	key := keyOf(t, got[0].body)
	if key == "" || got[1].body != got[0].body || got[2].body != got[0].body {
		t.Errorf("bodies differ, or have no key: %+v", got)
	}
}

func TestPublishGoesOnOnlyIfNothingWasSent(t *testing.T) {
	second := newFake(t, answers(201, receipt))
	call(t, "publish", "a", `{}`, "--endpoints", nobody(t)+","+second.server.URL).want(t, exitDone, "004.2", "")

	for name, step := range map[string]func(http.ResponseWriter, *http.Request, []byte){
		"hangs up": hangsUp, "hangs": hangs,
	} {
		second := newFake(t, answers(201, receipt))
		first := newFake(t, step)
		call(t, "publish", "a", `{}`, "--key", "k-7", "--timeout", "300ms", "--endpoints", first.server.URL+","+second.server.URL).
			want(t, exitUnreachable, "", "it may be published: repeat it to that endpoint alone with --key k-7")
		if n := len(second.requests()); n != 0 {
			t.Errorf("%s: the second endpoint got %d requests", name, n)
		}
	}
}

func TestPublishWaitsForANodeThatAsksForIt(t *testing.T) {
	for _, code := range []string{"busy", "not_ready"} {
		status := 503
		if code == "busy" {
			status = 429
		}
		f := newFake(t, refuses(status, code), refuses(status, code), answers(201, receipt))
		// Meanwhile it says, once, what it waits for.
		o := call(t, "publish", "a", `{}`, "--endpoints", f.server.URL)
		o.want(t, exitDone, "004.2", "")
		if want := "tidings: " + f.server.URL + ": " + code + ": because of " + code + "; asking again for up to 10s\n"; o.err != want {
			t.Errorf("standard error: %q, want %q", o.err, want)
		}
		stays := newFake(t, refuses(status, code))
		call(t, "publish", "a", `{}`, "--timeout", "200ms", "--endpoints", stays.server.URL).want(t, exitFailed, "", code)
	}
	// A store that failed does not heal.
	f := newFake(t, refuses(503, "store_failed"), answers(201, receipt))
	call(t, "publish", "a", `{}`, "--endpoints", f.server.URL).want(t, exitFailed, "", "store_failed")
}

func TestPublishOutcomes(t *testing.T) {
	node := func(status int, body string) string { return newFake(t, answers(status, body)).server.URL }
	unchanged := `{"id":"00000000000000000000000004.2","unchanged":true}`
	call(t, "publish", "a", `{}`, "--endpoints", node(200, unchanged)).want(t, exitDone, "004.2\n", "unchanged")
	o := call(t, "publish", "a", `{}`, "--endpoints", node(200, `{"id":null,"unchanged":true}`))
	if o.want(t, exitDone, "", "unchanged"); o.out != "" {
		t.Errorf("standard output: %q", o.out)
	}
	short := strings.Replace(receipt, `"acks":0`, `"acks":1`, 1)
	call(t, "publish", "a", `{}`, "--ack", "3", "--endpoints", node(202, short)).want(t, exitFailed, "004.2\n", "only 1 of 3 nodes")
	call(t, "publish", "a", `{}`, "-o", "json", "--endpoints", node(201, receipt)).want(t, exitDone, receipt+"\n", "")
	refused := newFake(t, refuses(409, "unknown_dependency"))
	call(t, "publish", "a", `{}`, "--endpoints", refused.server.URL).want(t, exitFailed, "", "unknown_dependency")
}

func TestPublishSendsWhatWasGiven(t *testing.T) {
	f := newFake(t, answers(201, receipt))
	delta := ` {"b": 1.50, "a":"<\u00e9>" } `
	dep := "00000000000000000000000004.9"
	for name, args := range map[string][]string{
		"argument": {delta},
		"file":     {"@" + writeFile(t, "delta.json", delta)},
		"input":    {"-"},
	} {
		before := len(f.requests())
		args = append([]string{"publish", "a/b", "--key", "k", "--dep", dep + "," + dep, "--ack", "2", "--endpoints", f.server.URL}, args...)
		callWith(t, delta, nil, args...).want(t, exitDone, "", "")
		r := f.requests()[before]
		if want := `{"subject":"a/b","key":"k","deps":["` + dep + `","` + dep + `"],"delta":` + delta + `}`; r.body != want {
			t.Errorf("%s: sent %s\nwant %s", name, r.body, want)
		}
		if r.uri != "/v1/updates?ack=2&wait=5s" || r.method != http.MethodPost {
			t.Errorf("%s: %s %s", name, r.method, r.uri)
		}
	}
}

// counts is a step that answers a stream: an ID for each line, a problem for
// each that has no subject.
func counts(w http.ResponseWriter, _ *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	n := 0
	for line := range strings.Lines(string(body)) {
		n++
		var d struct {
			Subject string `json:"subject"`
		}
		if json.Unmarshal([]byte(line), &d) != nil || d.Subject == "" {
			fmt.Fprintf(w, `{"status":400,"title":"Bad Request","detail":"no subject","code":"bad_subject","line":%d}`+"\n", n)
			continue
		}
		fmt.Fprintf(w, `{"id":"00000000000000000000000004.%d","subject":%q,"status":201,"line":%d}`+"\n", n+1, d.Subject, n)
	}
}

func TestPublishStream(t *testing.T) {
	// The blank line is passed over, and still counted.
	in := `{"subject":"a","delta":{}}` + "\n\n" + `  {"subject":"b","delta":{},"key":"own"}` + "\r\n" + "{}\n" + "nonsense\n" + `{"subject":"c","delta":{"n":1}}`
	for _, fault := range []int{0, 2} {
		script := []func(http.ResponseWriter, *http.Request, []byte){counts}
		for range fault {
			script = append([]func(http.ResponseWriter, *http.Request, []byte){hangsUp}, script...)
		}
		f := newFake(t, script...)
		o := callWith(t, in, nil, "publish", "--ndjson", "-", "--key", "run7", "--endpoints", f.server.URL)
		o.want(t, exitFailed, "", "2 of 5 lines failed")
		want := []string{
			"1 201 00000000000000000000000004.2", "3 201 00000000000000000000000004.3",
			"4 400 bad_subject: no subject", "5 400 bad_subject: no subject", "6 201 00000000000000000000000004.6", "",
		}
		// How the lines fall into batches depends on when they are read, and
		// with it the IDs of this fake: only with one batch are they known.
		if requests := f.requests(); len(requests) == 1+fault {
			if got := strings.Split(o.out, "\n"); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %q\nwant %q", got, want)
			}
		}
		var sent strings.Builder
		for _, r := range f.requests()[fault:] {
			sent.WriteString(r.body)
		}
		wantSent := `{"key":"run7-1","subject":"a","delta":{}}` + "\n" + `{"subject":"b","delta":{},"key":"own"}` + "\n" +
			`{"key":"run7-4"}` + "\n" + "nonsense\n" + `{"key":"run7-6","subject":"c","delta":{"n":1}}` + "\n"
		if sent.String() != wantSent {
			t.Errorf("sent %s\nwant %s", sent.String(), wantSent)
		}
	}
}

func TestPublishStreamOfManyBatches(t *testing.T) {
	var in strings.Builder
	const lines = 2*maxBatchLines + 10
	for i := range lines {
		fmt.Fprintf(&in, `{"subject":"s/%d","delta":{}}`+"\n", i)
	}
	fmt.Fprintf(&in, `{"subject":%q}`+"\n", strings.Repeat("x", maxLine))
	file := writeFile(t, "many.ndjson", in.String())
	f := newFake(t, counts)
	o := call(t, "publish", "--ndjson", file, "-o", "json", "--endpoints", f.server.URL)
	o.want(t, exitFailed, fmt.Sprintf(`{"status":413,"line":%d,`, lines+1), "1 of 2011 lines failed")
	number := 0
	for line := range strings.Lines(o.out) {
		number++
		var r struct{ Line int }
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Line != number {
			t.Fatalf("line %d: %s: %v", number, line, err)
		}
	}
	if number != lines+1 {
		t.Errorf("%d results for %d lines", number, lines+1)
	}
	keys := map[string]bool{}
	for _, r := range f.requests() {
		for line := range strings.Lines(r.body) {
			keys[keyOf(t, line)] = true
		}
	}
	if len(keys) != lines {
		t.Errorf("%d different keys for %d lines", len(keys), lines)
	}
}

// A result is the node's own text, but for the number of its line.
func TestPublishStreamResultsAsGiven(t *testing.T) {
	for _, c := range []struct{ given, want string }{
		{`{"status":201,"line":1,"id":"00000000000000000000000004.2","subject":"<é>","acks":0}`, `{"status":201,"line":70,"id":"00000000000000000000000004.2","subject":"<é>","acks":0}`},
		{`{"z":{"line":5},"line" : 1 ,"a":[1.50]}`, `{"z":{"line":5},"line" : 70 ,"a":[1.50]}`},
		{`{"status":400}`, `{"status":400,"line":70}`},
		{`{}`, `{"line":70}`},
	} {
		got, err := withLine([]byte(c.given), 70)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", c.given, got, err, c.want)
		}
	}
	for _, bad := range []string{``, `[]`, `7`, `{"a"`, `{"a":1,}`} {
		if got, err := withLine([]byte(bad), 70); err == nil {
			t.Errorf("%s: %s", bad, got)
		}
	}
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		fmt.Fprintln(w, `{"status":201,"line":1,"id":"00000000000000000000000004.2","subject":"b","acks":0}`)
	})
	callWith(t, "\n\n"+`{"subject":"b","delta":{}}`, nil, "publish", "--ndjson", "-", "-o", "json", "--endpoints", f.server.URL).
		want(t, exitDone, `{"status":201,"line":3,"id":"00000000000000000000000004.2","subject":"b","acks":0}`+"\n", "")
}

func TestPublishStreamUnreachable(t *testing.T) {
	callWith(t, `{"subject":"a","delta":{}}`, nil, "publish", "--ndjson", "-", "--endpoints", nobody(t)).
		want(t, exitUnreachable, "", "no node answered")
	callWith(t, "", nil, "publish", "--ndjson", "-", "--endpoints", nobody(t)).want(t, exitDone, "", "")
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// What cannot be printed is told, once, and is no wrong usage; nor is an ID lost by it.
func TestStandardOutputIsFull(t *testing.T) {
	f := newFake(t, answers(201, receipt))
	many := newFake(t, answers(200, `{"status":201,"line":1,`+receipt[1:]+"\n"))
	for _, c := range []struct {
		in   string
		args []string
		want string
	}{
		{"", []string{"publish", "a", "{}", "--endpoints", f.server.URL}, "tidings: published as 00000000000000000000000004.2\ntidings: no space left on device\n"},
		{`{"subject":"a","delta":{}}`, []string{"publish", "--ndjson", "-", "--endpoints", many.server.URL}, "tidings: no space left on device\n"},
		{"", []string{"publish", "--help"}, "tidings: no space left on device\n"},
		{"", []string{"version"}, "tidings: no space left on device\n"},
	} {
		var said bytes.Buffer
		status := run(t.Context(), &process{in: strings.NewReader(c.in), out: full{}, err: &said, getenv: func(string) string { return "" }}, c.args)
		if status != exitFailed || said.String() != c.want {
			t.Errorf("%q: status %d, %q, want %q", c.args, status, said.String(), c.want)
		}
	}
}
