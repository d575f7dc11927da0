package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

const goodReplayLine = `{"time":"2026-01-02T03:04:05Z","authority":"fleet","subject":"order/1","delta":{"a": 1.0, "b":null}}`

func TestReplayLineIsRead(t *testing.T) {
	l, err := parseReplayLine(7, []byte(goodReplayLine))
	require.NoError(t, err)
	require.Equal(t, 7, l.number)
	require.Equal(t, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), l.time)
	require.Equal(t, "fleet", l.authority)
	require.Equal(t, "order/1", l.subject)
	require.Equal(t, `{"a":1.0,"b":null}`, string(l.delta))

	// A delta as deep as a node takes it is not too deep for standing in a line.
	deep := strings.Repeat(`{"a":`, chain.MaxDepth-1) + `{}` + strings.Repeat(`}`, chain.MaxDepth-1)
	_, err = parseReplayLine(1, []byte(`{"time":"2026-01-02T03:04:05Z","authority":"f","subject":"s","delta":`+deep+`}`))
	require.NoError(t, err)
}

func TestReplayKeyIsNumberAndContent(t *testing.T) {
	other := strings.Replace(goodReplayLine, "fleet", "f", 1)
	require.Equal(t, replayKey(1, []byte(goodReplayLine)), replayKey(1, []byte(goodReplayLine)))
	require.NotEqual(t, replayKey(1, []byte(goodReplayLine)), replayKey(2, []byte(goodReplayLine)))
	require.NotEqual(t, replayKey(1, []byte(goodReplayLine)), replayKey(1, []byte(other)))
	require.LessOrEqual(t, len(replayKey(1<<62, []byte(goodReplayLine))), chain.MaxKey)
}

func TestBadReplayLinesAreRefused(t *testing.T) {
	with := func(old, new string) string {
		s := strings.Replace(goodReplayLine, old, new, 1)
		if s == goodReplayLine {
			t.Fatalf("%q is not in the line", old)
		}
		return s
	}
	for _, c := range []struct{ line, want string }{
		{``, "not a JSON object"},
		{`null`, "not a JSON object"},
		{`[` + goodReplayLine + `]`, "not a JSON object"},
		{goodReplayLine + `{}`, "more after the object"},
		{goodReplayLine[:len(goodReplayLine)-1], "not JSON"},
		{with(`"time"`, `"Time"`), `unknown field "Time"`},
		{with(`"time":"2026-01-02T03:04:05Z",`, ``), "time: missing"},
		{with(`2026-01-02`, `2026-13-02`), "time: "},
		{with(`"2026-01-02T03:04:05Z"`, `5`), "time: want a string"},
		{with(`"fleet"`, `""`), "authority: "},
		{with(`"fleet"`, `null`), "authority: want a string"},
		{with(`"fleet"`, `"\ud800"`), "authority: not a string of Unicode"},
		{with(`fleet`, "fl\xffeet"), "not UTF-8"},
		{with(`"authority":"fleet",`, ``), "authority: missing"},
		{with(`"fleet"`, `"fleet","authority":"fleet"`), "authority: given more than once"},
		{with(`order/1`, `order//1`), "subject: "},
		{with(`"order/1"`, `""`), "subject: "},
		{with(`{"a": 1.0, "b":null}`, `[1]`), "delta: "},
		{with(`{"a": 1.0, "b":null}`, `null`), "delta: "},
		{with(`"b":null`, `"a":null`), "delta: "},
		{with(`,"delta":{"a": 1.0, "b":null}`, ``), "delta: missing"},
		{with(`1.0`, `"`+strings.Repeat("x", chain.MaxDelta)+`"`), "delta: "},
	} {
		_, err := parseReplayLine(1, []byte(c.line))
		require.ErrorContains(t, err, c.want, "%.200s", c.line)
	}
}

func FuzzReplayLine(f *testing.F) {
	f.Add([]byte(goodReplayLine))
	f.Add([]byte(`{"delta":{"a":[{}]},"subject":"é","authority":"x","time":"2026-01-02T03:04:05.123+02:00"}`))
	f.Add([]byte(`{"time":`))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := parseReplayLine(1, text)
		if err != nil {
			return
		}
		// Whatever is let through is what a node takes.
		if _, err := chain.Prepare(chain.Draft{Subject: l.subject, Delta: l.delta, Key: l.key}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if err := chain.CheckName(l.authority); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// readAll reads a replay from standard input: a text for each line.
func readAll(t *testing.T, in io.Reader) (lines []string, err error) {
	t.Helper()
	s, err := openReplay("-", in)
	require.NoError(t, err)
	err = s.each(t.Context(), func(l *replayLine, bad *badLine) error {
		if bad != nil {
			lines = append(lines, fmt.Sprintf("bad %d", bad.number))
		} else {
			lines = append(lines, fmt.Sprintf("%s %d", l.subject, l.number))
		}
		return nil
	})
	return lines, errors.Join(err, s.close())
}

func TestReplaySource(t *testing.T) {
	line := func(n int) string { return strings.Replace(goodReplayLine, "order/1", fmt.Sprintf("order/%d", n), 1) }
	text := "\n" + line(1) + "\n  \n{\n" + line(2) + "\r\n" + strings.Repeat("x", maxLine+1) + "\n" + line(3)
	want := []string{"order/1 2", "bad 4", "order/2 5", "bad 6", "order/3 7"}

	got, err := readAll(t, strings.NewReader(text))
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = readAll(t, bytes.NewReader(packed(t, text)))
	require.NoError(t, err)
	require.Equal(t, want, got)
	// Members of gzip one after the other are one file.
	got, err = readAll(t, bytes.NewReader(append(packed(t, line(1)+"\n"), packed(t, line(2)+"\n")...)))
	require.NoError(t, err)
	require.Equal(t, []string{"order/1 1", "order/2 2"}, got)

	// What breaks off is told, after what came before.
	whole := packed(t, strings.Repeat(line(1)+"\n", 100))
	_, err = readAll(t, bytes.NewReader(whole[:len(whole)-4]))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	got, err = readAll(t, io.MultiReader(strings.NewReader(line(1)+"\n"), brokenReader{}))
	require.ErrorContains(t, err, "line 2: read: the disk is gone")
	require.Equal(t, []string{"order/1 1"}, got)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

func TestReplayOutline(t *testing.T) {
	path := writeFile(t, "f.ndjson", goodReplayLine+"\nbad\n"+strings.Replace(goodReplayLine, "fleet", "warehouse", 1)+"\n"+goodReplayLine+"\n")
	o, err := outlineReplay(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, &replayOutline{lines: 4, authorities: []string{"fleet", "warehouse"}}, o)
	o, err = outlineReplay(t.Context(), "-")
	require.NoError(t, err)
	require.Nil(t, o)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = outlineReplay(ended, path)
	require.ErrorIs(t, err, context.Canceled)
}

func TestParseSpeed(t *testing.T) {
	for text, want := range map[string]float64{"max": 0, "1": 1, "0.5": 0.5, "1e3": 1000, "10x": 10} {
		got, err := parseSpeed(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "0", "-1", "NaN", "Inf", "fast", "x"} {
		_, err := parseSpeed(text)
		require.Error(t, err, text)
		require.Equal(t, exitUsage, exitStatus(err), text)
	}
}

func TestReplayEndpoints(t *testing.T) {
	got, err := parseReplayEndpoints([]string{"fleet=127.0.0.1:1", "a=b=https://x.example/p/"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"fleet": "http://127.0.0.1:1", "a=b": "https://x.example/p"}, got)
	for _, list := range [][]string{{"x"}, {"=http://a"}, {"x="}, {"x=ftp://a"}, {"x=http://a", "x=http://b"}} {
		_, err := parseReplayEndpoints(list)
		require.Equal(t, exitUsage, exitStatus(err), "%v", list)
	}
}

func TestFleetNames(t *testing.T) {
	for authority, want := range map[string]string{
		"warehouse": "warehouse", "org-line_a.2": "org-line_a.2", "A": "%41", ".": "%2e", "..": "%2e.",
		"a/b": "a%2fb", `a\b`: "a%5cb", "é": "%c3%a9", "50%": "50%25",
	} {
		require.Equal(t, want, fleetDir(authority))
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if a == "" || b == "" {
			return
		}
		for _, name := range []func(string) string{fleetDir, fleetName} {
			if (name(a) == name(b)) != (a == b) {
				t.Fatalf("%q and %q are %q and %q", a, b, name(a), name(b))
			}
		}
		if d := fleetDir(a); len(d) > 120 || strings.ContainsAny(d, `/\:*?"<>|`) || strings.HasPrefix(d, ".") {
			t.Fatalf("%q is %q", a, d)
		}
	})
	long := strings.Repeat("a", chain.MaxName)
	require.NoError(t, chain.CheckName(fleetName(long)))
	require.NotEqual(t, fleetName(long), fleetName(long[1:]+"b"))
	require.NotEqual(t, fleetDir(long), fleetDir(long[1:]+"b"))
}
