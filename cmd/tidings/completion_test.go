package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	for _, c := range []struct {
		typed string // words, "|" for an empty last one
		want  string // in the order of the grammar
	}{
		{"wa", "watch"},
		{"watch --cur", "--cursor-file"},
		{"watch --once --int", "--interval"},
		{"check --max", "--max-lag"},
		{"-o |", "text json svg"},
		{"get -o j", "json"},
		{"get --output=j", "--output=json"},
		{"get --output = j", "json"},
		{"get --output = ", "text json svg"},
		{"--color n", "never"},
		{"members f", "forget"},
		{"members --endpoints x f", "forget"},
		{"members --endpoints=x f", "forget"},
		{"completion |", "bash zsh fish"},
		{"completion bash |", ""},
		{"help ver", "verify version"},
		{"help watch |", ""},
		{"agent --data-dir |", ":files"},
		{"publish --ndjson x", ":files"},
		{"replay x", ":files"},
		{"get |", ""},
		{"watch --since |", ""},
		{"nothing --of --the kind=", ""},
		{"compl", "completion"},
	} {
		words := strings.Fields(strings.TrimSuffix(c.typed, "|"))
		if strings.HasSuffix(c.typed, "|") || strings.HasSuffix(c.typed, " ") {
			words = append(words, "")
		}
		o := call(t, append([]string{"complete", "--"}, words...)...)
		o.want(t, exitDone, "", "")
		var got []string
		for line := range strings.Lines(o.out) {
			text, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, text)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: got %q, want %q", c.typed, got, c.want)
		}
	}
	call(t, "complete").want(t, exitDone, "watch\tFollow updates", "")
}

// completed asks a shell what it would offer.
func completed(t *testing.T, shell, script string) string {
	t.Helper()
	path, err := exec.LookPath(shell)
	if err != nil {
		t.Skipf("%s is not installed", shell)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "script"), []byte(call(t, "completion", shell).out), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, "-n", filepath.Join(dir, "script")).CombinedOutput(); err != nil {
		t.Fatalf("%s -n: %v: %s", shell, err, out)
	}
	// The program itself, as the scripts find it: TestMain runs it by that name.
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(own, filepath.Join(dir, "tidings")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", script)
	cmd.Dir = dir
	// A program with the race detector takes a second to end, unless it is told not to.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", shell, err, out)
	}
	return string(out)
}

func TestBashCompletes(t *testing.T) {
	got := completed(t, "bash", `
		source ./script
		complete -p tidings
		typed() { COMP_WORDS=(tidings "$@"); COMP_CWORD=$#; _tidings tidings; echo "[${COMPREPLY[*]}]"; }
		typed wat
		typed watch --cur
		typed get -o ""
		typed get --output = j
		typed agent --data-dir scri
		typed get ""`)
	want := "complete -F _tidings tidings\n[watch]\n[--cursor-file]\n[text json svg]\n[json]\n[script]\n[]\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestFishCompletes(t *testing.T) {
	got := completed(t, "fish", `
		source ./script
		complete -C "tidings wat"
		complete -C "tidings watch --cur"
		complete -C "tidings completion z"
		complete -C "tidings agent --data-dir scri"`)
	want := "watch\tFollow updates, rolling up as they come.\n" +
		"--cursor-file\tKeep the place in a file, and begin at the place that it holds.\nzsh\nscript\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestZshCompletes(t *testing.T) {
	// Without a terminal zsh completes nothing: what it would be told is looked at.
	got := completed(t, "zsh", `
		compdef() { echo "compdef $*" }
		_files() { echo "files" }
		_describe() { print -rl -- "${(@P)2}" }
		source ./script
		typed() { words=(tidings "$@"); CURRENT=$#words; _tidings; true }
		typed wat
		typed watch --cur
		typed completion z
		typed agent --data-dir x
		typed get ''`)
	want := "compdef _tidings tidings\nwatch:Follow updates, rolling up as they come.\n" +
		"--cursor-file:Keep the place in a file, and begin at the place that it holds.\nzsh\nfiles\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
