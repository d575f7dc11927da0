package gossip_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateFlag = flag.Bool("update", false, "write what the scripts in testdata print into them")

// TestScripts runs the scripts in testdata. A script is blocks of commands, a
// line "----", and what they print, up to an empty line. Lines that begin with
// # are remarks. The commands are the methods of scriptWorld.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".script"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(text))
			if *updateFlag {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal([]byte(got), text) {
				t.Errorf("%s prints something else (-update writes it):\n%s", file, firstDifference(string(text), got))
			}
		})
	}
}

// runScript returns the script with what its commands print now.
func runScript(t *testing.T, text string) string {
	w := newScriptWorld()
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		out.WriteString(line + "\n")
		switch {
		case line == "----":
			for i+1 < len(lines) && lines[i+1] != "" {
				i++ // what it printed before
			}
			out.WriteString(w.flush())
		case line != "" && !strings.HasPrefix(line, "#"):
			if err := w.do(strings.Fields(line)); err != nil {
				t.Fatalf("line %d: %s: %v", i+1, line, err)
			}
		}
	}
	return out.String()
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range g {
		if i >= len(w) || w[i] != g[i] {
			was := ""
			if i < len(w) {
				was = w[i]
			}
			return fmt.Sprintf("line %d: %q\nwas:    %q", i+1, g[i], was)
		}
	}
	return "it prints less"
}
