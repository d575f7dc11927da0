package main

import (
	"os"
	"strings"
	"testing"
)

func TestColour(t *testing.T) {
	f := newFake(t, answers(200, `{"node":"n","members":[{"name":"a\u001b[31m","status":"alive","behind":0},{"name":"b","status":"failed","behind":3}]}`))
	plain := call(t, "members", "--endpoints", f.server.URL)
	if strings.Contains(plain.out, "\x1b") {
		t.Errorf("colour where there is no terminal: %q", plain.out)
	}
	painted := call(t, "members", "--color", "always", "--endpoints", f.server.URL)
	for _, want := range []string{"\x1b[1mNAME\x1b[0m ", "\x1b[32malive\x1b[0m ", "\x1b[31mfailed\x1b[0m ", "\x1b[33m3\x1b[0m", `a\u001b[31m`} {
		painted.want(t, exitDone, want, "")
	}
	// But for the colour it is the same.
	text := painted.out
	for _, p := range []paint{bold, dim, red, green, yellow, cyan} {
		text = strings.ReplaceAll(text, "\x1b["+string(p)+"m", "")
	}
	if text = strings.ReplaceAll(text, "\x1b[0m", ""); text != plain.out {
		t.Errorf("got\n%swant\n%s", text, plain.out)
	}
	callWith(t, "", map[string]string{"NO_COLOR": "1"}, "members", "--color", "always", "--endpoints", f.server.URL).want(t, exitDone, "\x1b[", "")
	call(t, "members", "--color", "green").want(t, exitUsage, "", "--color must be one of")
}

// TestColourOnATerminal tells a terminal from a pipe, and hears of NO_COLOR.
func TestColourOnATerminal(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal here: %v", err)
	}
	defer terminal.Close()
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, true},
		{map[string]string{"NO_COLOR": "1"}, false},
		{map[string]string{"NO_COLOR": ""}, true},
		{map[string]string{"TERM": "dumb"}, false},
		{map[string]string{"TERM": "xterm"}, true},
	} {
		p := &process{out: terminal, getenv: func(name string) string { return c.env[name] }}
		if got := p.colours("auto"); got != c.want {
			t.Errorf("%v: %t, want %t", c.env, got, c.want)
		}
		if p.colours("never") || !p.colours("always") {
			t.Errorf("%v: never or always is not heard", c.env)
		}
	}
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if (&process{out: file, getenv: func(string) string { return "" }}).colours("auto") {
		t.Error("colour in a file")
	}
}
