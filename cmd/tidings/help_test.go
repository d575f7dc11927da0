package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// commands are all that can be run, by their words.
func commands(t *testing.T) map[string]*kong.Node {
	t.Helper()
	k, err := kong.New(&cli{}, kong.Bind(&process{}))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*kong.Node{}
	for _, leaf := range k.Model.Leaves(true) {
		all[leaf.Path()] = leaf
	}
	return all
}

// TestExamples: every command has examples, and each is one that it takes.
func TestExamples(t *testing.T) {
	all := commands(t)
	for name := range all {
		if examples[name] == "" {
			t.Errorf("%s has no example", name)
		}
	}
	for name, text := range examples {
		if all[name] == nil && name != "tidings" && name != "members" {
			t.Errorf("there are examples of %q, which is no command", name)
		}
		lines := 0
		for line := range strings.Lines(strings.TrimSpace(text)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "source <("), ")")
			line, _, _ = strings.Cut(line, " > ")
			words := strings.Fields(line)
			for i := range words {
				words[i] = strings.Trim(words[i], "'")
			}
			if words[0] != "tidings" || name != "tidings" && !strings.HasPrefix(strings.Join(words[1:], " "), name) {
				t.Errorf("an example of %s is %q", name, line)
			}
			var out bytes.Buffer
			parsed, err := parse(&cli{}, &process{out: &out, err: &out, getenv: func(string) string { return "" }}, words[1:])
			if err != nil || parsed == nil {
				t.Errorf("%q: %v", line, err)
			}
			lines++
		}
		if lines == 0 {
			t.Errorf("%s has no example", name)
		}
	}
}

func TestHelpIsACommand(t *testing.T) {
	flag, command := call(t, "members", "forget", "--help"), call(t, "help", "members", "forget")
	if flag.out != command.out || command.status != exitDone {
		t.Errorf("help: %d\n%s\n--help:\n%s", command.status, command.out, flag.out)
	}
	command.want(t, exitDone, "Usage: tidings members forget <name>", "")
	command.want(t, exitDone, "\nExamples:\n  tidings members forget wh-2\n", "")
	call(t, "help").want(t, exitDone, "Usage: tidings <command>", "")
	call(t, "help", "nope").want(t, exitUsage, "", "unexpected argument nope")
}
