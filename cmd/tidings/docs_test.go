package main

import (
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestDocumented: every command and every flag, with its environment variable and
// what it may be, is in docs/cli.md.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := string(text)
	for name, command := range commands(t) {
		if command.Hidden {
			continue
		}
		if !strings.Contains(docs, "`tidings "+strings.TrimSuffix(name, " list")) {
			t.Errorf("tidings %s is not in docs/cli.md", name)
		}
		for _, flags := range command.AllFlags(true) {
			for _, f := range flags {
				documented(t, docs, name, f)
			}
		}
	}
}

func documented(t *testing.T, docs, command string, f *kong.Flag) {
	t.Helper()
	for _, want := range []string{"--" + f.Name + "`", environmentName(f.Name)} {
		if f.Name != "help" && !strings.Contains(docs, want) {
			t.Errorf("tidings %s --%s: %s is not in docs/cli.md", command, f.Name, want)
		}
	}
	for _, value := range f.EnumSlice() {
		if !strings.Contains(docs, "`"+value+"`") {
			t.Errorf("tidings %s --%s: the value %s is not in docs/cli.md", command, f.Name, value)
		}
	}
}
