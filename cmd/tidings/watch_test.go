package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// updateText is an update as a node writes it, made at a time in milliseconds.
func updateText(seq, time int, subject, delta string) string {
	return fmt.Sprintf(`{"id":"%s.%d","subject":%q,"authority":"a","time":%q,"hlc":"%016x","deps":[],"delta":%s}`,
		strings.Repeat("0", 26), seq, subject, millisText(time), time<<16, delta)
}

// millisText is how a time of up to 999 ms is written.
func millisText(ms int) string { return fmt.Sprintf("1970-01-01T00:00:00.%03dZ", ms) }

func batchText(cursor string, upToDate bool, updates ...string) string {
	return fmt.Sprintf(`{"updates":[%s],"cursor":%q,"up_to_date":%t,"behind":[],"converged":true}`,
		strings.Join(updates, ","), cursor, upToDate)
}

func TestWatchRollsUp(t *testing.T) {
	f := newFake(t,
		answers(200, batchText("c1.A", false,
			updateText(2, 10, "order/1", `{"x":1,"y":{"z":"é"}}`),
			updateText(3, 20, "order/2", `{"x":5}`),
			updateText(4, 30, "order/1", `{"x":2,"y":{"z":null}}`))),
		// A late one, of another chain, is folded where it belongs, under what is newer.
		answers(200, batchText("c1.B", true, strings.Replace(updateText(2, 20, "order/1", `{"x":9,"w":true}`), "0.2", "4.2", 1))))
	o := call(t, "watch", "--once", "--prefix", "order", "--endpoints", f.server.URL)
	o.want(t, exitDone, "", "")
	want := `1970-01-01T00:00:00.010Z  a  order/1  {"x":1,"y":{"z":"é"}}  =>  {"x":1,"y":{"z":"é"}}
1970-01-01T00:00:00.020Z  a  order/2  {"x":5}  =>  {"x":5}
1970-01-01T00:00:00.030Z  a  order/1  {"x":2,"y":{"z":null}}  =>  {"x":2,"y":{}}
1970-01-01T00:00:00.020Z  a  order/1  {"x":9,"w":true}  =>  {"w":true,"x":2,"y":{}}
`
	if o.out != want {
		t.Errorf("got\n%swant\n%s", o.out, want)
	}
	got := f.requests()
	if len(got) != 2 || got[0].uri != "/v1/changes?limit=1000&prefix=order&since=start" || got[1].uri != "/v1/changes?limit=1000&prefix=order&since=c1.A" {
		t.Errorf("requests: %+v", got)
	}
}

func TestWatchOneSubject(t *testing.T) {
	one := updateText(2, 10, "order/1", `{"b":1, "a":1.50}`)
	f := newFake(t, answers(200, batchText("c1.A", true, one, updateText(3, 20, "order/1/item", `{"x":5}`))))
	o := call(t, "watch", "order/1", "--once", "-o", "json", "--endpoints", f.server.URL)
	if o.want(t, exitDone, "", ""); o.out != one+"\n" {
		t.Errorf("got %q, want %q", o.out, one+"\n")
	}
	if uri := f.requests()[0].uri; !strings.Contains(uri, "prefix=order%2F1") {
		t.Errorf("asked for %s", uri)
	}
}

func TestWatchFromACursorStartsFromHistory(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, b []byte) {
		if strings.HasPrefix(r.URL.Path, "/v1/history/") {
			want := url.Values{"at_least": {"c1.A"}, "wait": {"5s"}}
			if r.URL.Query().Encode() != want.Encode() {
				t.Errorf("history asked for by %v", r.URL.Query())
			}
			answers(200, `{"subject":"s","complete":true,"updates":[`+
				updateText(2, 10, "s", `{"old":1}`)+","+updateText(3, 20, "s", `{"new":1}`)+`]}`)(w, r, b)
			return
		}
		answers(200, batchText("c1.B", true, updateText(3, 20, "s", `{"new":1}`), updateText(4, 30, "s", `{"new":2}`)))(w, r, b)
	})
	call(t, "watch", "--once", "--since", "c1.A", "--endpoints", f.server.URL).want(t, exitDone,
		`=>  {"new":1,"old":1}`+"\n"+`1970-01-01T00:00:00.030Z  a  s  {"new":2}  =>  {"new":2,"old":1}`, "")
	if n := len(f.requests()); n != 2 {
		t.Errorf("%d requests, want the batch and one history", n)
	}
}

func TestWatchMovesWithItsCursor(t *testing.T) {
	first := newFake(t,
		answers(200, batchText("c1.A", false, updateText(2, 10, "s", `{"n":1}`))),
		answers(200, batchText("c1.B", false, updateText(3, 20, "s", `{"n":2}`))),
		hangsUp)
	second := newFake(t, answers(200, batchText("c1.C", true, updateText(4, 30, "s", `{"n":3}`))))
	o := call(t, "watch", "--once", "--endpoints", first.server.URL+","+second.server.URL)
	o.want(t, exitDone, `{"n":1}  =>  {"n":1}`, "")
	if strings.Count(o.out, "\n") != 3 {
		t.Errorf("got\n%s", o.out)
	}
	if got := second.requests(); len(got) != 1 || !strings.Contains(got[0].uri, "since=c1.B") {
		t.Errorf("the second endpoint got %+v", got)
	}
}

func TestWatchGivesUp(t *testing.T) {
	call(t, "watch", "--endpoints", nobody(t)).want(t, exitUnreachable, "", "no node answered")
	// One that has answered is given the timeout to come back.
	comes := newFake(t, answers(200, batchText("c1.A", false)), hangsUp, refuses(429, "busy"), answers(200, batchText("c1.B", true)))
	call(t, "watch", "--once", "--endpoints", comes.server.URL).want(t, exitDone, "", "")
	goes := newFake(t, answers(200, batchText("c1.A", false, updateText(2, 10, "s", `{}`))), hangsUp)
	call(t, "watch", "--timeout", "300ms", "--endpoints", goes.server.URL).want(t, exitUnreachable, `=>  {}`, "no node answered")
	call(t, "watch", "--since", "c1.x", "--endpoints", newFake(t, refuses(410, "gone")).server.URL).want(t, exitGone, "", "gone")
	call(t, "watch", "--since", "c1.x", "--endpoints", newFake(t, refuses(400, "bad_cursor")).server.URL).want(t, exitFailed, "", "bad_cursor")
	call(t, "watch", "--endpoints", newFake(t, answers(200, `{"updates":[]}`)).server.URL).want(t, exitFailed, "", "without a cursor")
}

func TestWatchSaysWhatWasRetracted(t *testing.T) {
	f := newFake(t,
		answers(200, batchText("c1.A", false, updateText(2, 10, "s", `{"n":1}`), updateText(3, 20, "s", `{"n":2}`))),
		answers(200, `{"updates":[],"cursor":"c1.B","up_to_date":true,"retracted":[{"origin":"`+strings.Repeat("0", 26)+`","after":2}]}`))
	call(t, "watch", "--once", "--endpoints", f.server.URL).want(t, exitDone, "", `retracted: s is now {"n":1}`)
}

func TestWatchPostsALongCursor(t *testing.T) {
	long := "c1." + strings.Repeat("x", 4<<10)
	f := newFake(t, answers(200, batchText(long, true)))
	call(t, "watch", "--once", "--prefix", "p", "--since", long, "--endpoints", f.server.URL).want(t, exitDone, "", "")
	got := f.requests()[0]
	if got.method != http.MethodPost || got.uri != "/v1/changes" || got.body != `{"limit":1000,"prefix":"p","since":"`+long+`"}` {
		t.Errorf("got %+v", got)
	}
}

// checkedWriter calls check before each write.
type checkedWriter struct {
	bytes.Buffer
	check func() error
}

func (w *checkedWriter) Write(b []byte) (int, error) {
	if err := w.check(); err != nil {
		return 0, err
	}
	return w.Buffer.Write(b)
}

func TestWatchSavesTheCursorAfterTheLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cursor")
	watch := func(f *fake, check func() error) (int, string) {
		out := &checkedWriter{check: check}
		var stderr bytes.Buffer
		status := run(t.Context(), &process{strings.NewReader(""), out, &stderr, func(string) string { return "" }},
			[]string{"watch", "--once", "-o", "json", "--cursor-file", path, "--endpoints", f.server.URL})
		return status, out.String()
	}
	saved := func() string {
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(b)
	}
	batches := []string{
		batchText("c1.A", false, updateText(2, 10, "s", `{"n":1}`)),
		batchText("c1.B", true, updateText(3, 20, "s", `{"n":2}`)),
	}
	before := []string{"", "c1.A\n"}
	f := newFake(t, answers(200, batches[0]), answers(200, batches[1]))
	status, out := watch(f, func() error {
		if got := saved(); got != before[0] {
			t.Errorf("the cursor file holds %q while lines are written, want %q", got, before[0])
		}
		before = before[1:]
		return nil
	})
	if status != exitDone || strings.Count(out, "\n") != 2 || saved() != "c1.B\n" {
		t.Fatalf("status %d, cursor %q, out %s", status, saved(), out)
	}

	// Lines that could not be written are not passed over the next time.
	f = newFake(t, answers(200, batchText("c1.C", true, updateText(4, 30, "s", `{"n":3}`))))
	status, _ = watch(f, func() error { return errors.New("broken pipe") })
	if status != exitFailed || saved() != "c1.B\n" {
		t.Fatalf("status %d, cursor %q", status, saved())
	}
	status, out = watch(f, func() error { return nil })
	if status != exitDone || saved() != "c1.C\n" || !strings.Contains(out, `{"n":3}`) {
		t.Fatalf("status %d, cursor %q, out %s", status, saved(), out)
	}
	for _, r := range f.requests() {
		if !strings.Contains(r.uri, "since=c1.B") {
			t.Errorf("asked for %s, want it to begin at the saved cursor", r.uri)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A cursor that a node refuses is told by the file that it is from, and what to do about it.
func TestWatchNamesTheFileOfABadCursor(t *testing.T) {
	for code, status := range map[string]int{"bad_cursor": exitFailed, "gone": exitGone} {
		f := newFake(t, refuses(map[string]int{"bad_cursor": 400, "gone": 410}[code], code))
		place := writeFile(t, "place", "c1.torn\n")
		call(t, "watch", "--once", "--cursor-file", place, "--endpoints", f.server.URL).
			want(t, status, "", "--cursor-file "+place+": go on from the saved cursor: "+code+": because of "+code+"; to begin anew, remove it or name another file")
		call(t, "watch", "--once", "--since", "c1.torn", "--endpoints", f.server.URL).want(t, status, "", "tidings: "+code)
	}
}
