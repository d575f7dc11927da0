package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The examples of RFC 7396, appendix A, that have an object for a patch: that
// is what a delta is.
func TestFoldIsMergePatch(t *testing.T) {
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"a":[1]}`, `{"a":{"b":null,"c":[null]}}`, `{"a":{"c":[null]}}`},
	} {
		f := newFolder()
		target, err := decodeNumbers([]byte(c.target))
		require.NoError(t, err)
		f.statuses["s"] = target.(map[string]any)
		f.add(&replayLine{subject: "s", delta: json.RawMessage(c.patch)})
		require.True(t, sameStatus([]byte(c.want), f.statuses["s"]), "%s + %s = %v", c.target, c.patch, f.statuses["s"])
	}
}

func TestStatusesAreComparedByValue(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1.0}`, `{"a":10e-1}`, true},
		{`{"a":-0}`, `{"a":0.00}`, true},
		{`{"a":1e400}`, `{"a":10E399}`, true},
		{`{"a":1e99999999999999999999}`, `{"a":1e99999999999999999999}`, true},
		{`{"a":1e99999999999999999999}`, `{"a":1e99999999999999999998}`, false},
		{`{"a":100}`, `{"a":1e+2}`, true},
		{`{"a":-1}`, `{"a":1}`, false},
		{`{"a":1}`, `{"a":10}`, false},
		{`{"a":1}`, `{"a":"1"}`, false},
		{`{"a":[1,{"b":2}]}`, `{"a":[1.0,{"b":2.0}]}`, true},
		{`{"a":[1,2]}`, `{"a":[2,1]}`, false},
		{`{"a":[1]}`, `{"a":[1,1]}`, false},
		{`{"a":{}}`, `{"a":{"b":1}}`, false},
		{`{"a":{"b":1}}`, `{"a":{"c":1}}`, false},
		{`{"a":true}`, `{"a":false}`, false},
		{`{"a":"\u00e9"}`, `{"a":"é"}`, true},
	} {
		b, err := decodeNumbers([]byte(c.b))
		require.NoError(t, err)
		require.Equal(t, c.same, sameStatus([]byte(c.a), b.(map[string]any)), "%s and %s", c.a, c.b)
	}
	require.True(t, sameStatus(nil, map[string]any{}))
	require.False(t, sameStatus(nil, map[string]any{"a": true}))
	require.False(t, sameStatus([]byte(`{`), map[string]any{}))
}

// A node that shows something else is found.
func TestCheckFindsWhatDiffers(t *testing.T) {
	m := newFakeMesh(t)
	f := newFolder()
	for i := range 100 {
		subject := fmt.Sprint(i)
		f.add(&replayLine{subject: subject, delta: json.RawMessage(`{"a":1}`)})
		m.statuses[subject] = `{"a":1}`
	}
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	c, err := f.check(t.Context(), []outlet{m.of("x"), m.of("y")}, note)
	require.NoError(t, err)
	require.Equal(t, replayCheck{views: 200}, c)
	require.Empty(t, notes)

	m.statuses["7"] = `{"a":2}`
	delete(m.statuses, "8")
	c, err = f.check(t.Context(), []outlet{m.of("x")}, note)
	require.NoError(t, err)
	require.Equal(t, replayCheck{views: 100, wrong: 2}, c)
	require.Len(t, notes, 2)
	require.Contains(t, strings.Join(notes, "\n"), `x: 7 is {"a":2}, and the file says {"a":1}`)
}

func TestProgressBar(t *testing.T) {
	require.Empty(t, progressBar(1, 0))
	require.Equal(t, "["+strings.Repeat(".", 30)+"]   0%", progressBar(0, 10))
	require.Equal(t, "["+strings.Repeat("#", 15)+strings.Repeat(".", 15)+"]  50%", progressBar(5, 10))
	require.Equal(t, "["+strings.Repeat("#", 30)+"] 100%", progressBar(11, 10))
	require.Equal(t, "5 of 10 lines, 1/s", progressText(5, 10, 5*time.Second))
	require.Equal(t, "5 lines, 1/s", progressText(5, 0, 5*time.Second))
}

func TestProgressIsLinesWhereThereIsNoTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := startProgress(&out, 10, func() (string, int64) { return "here", 5 })
		time.Sleep(lineEvery + time.Second) // virtual
		p.note("line %d: bad", 3)
		p.end()
		p.end()
		p.note("after")
		require.Equal(t, "tidings: here\ntidings: line 3: bad\ntidings: after\n", out.String())
	})
}

// On a terminal the bar gives way to notes, and leaves nothing.
func TestProgressBarGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &progress{
			out: &out, width: func() int { return 20 }, text: func() (string, int64) { return strings.Repeat("x", 50), 0 },
			stop: make(chan struct{}), done: make(chan struct{}),
		}
		go p.run(time.Hour)
		synctest.Wait()
		p.note("first")
		p.note("second")
		p.end()
		bar := "\r\x1b[K" + strings.Repeat("x", 19)
		require.Equal(t, "tidings: first\n"+bar+"\r\x1b[Ktidings: second\n"+bar+"\r\x1b[K", out.String())
	})
}
