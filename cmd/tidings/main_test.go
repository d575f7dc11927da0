package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"tidings": func() { os.Exit(tidings()) },
	})
}

// leakChecked fails the tests if any of them leaves a goroutine behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	status := l.m.Run()
	if status != 0 {
		return status
	}
	if err := goleak.Find(); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return 0
}

// outcome is what a command left behind.
type outcome struct {
	status   int
	out, err string
}

// call runs a command in this process.
func call(t *testing.T, args ...string) outcome {
	t.Helper()
	return callWith(t, "", nil, args...)
}

func callWith(t *testing.T, in string, env map[string]string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, err bytes.Buffer
	status := run(ctx, &process{
		in: strings.NewReader(in), out: &out, err: &err,
		getenv: func(name string) string { return env[name] },
	}, args)
	return outcome{status, out.String(), err.String()}
}

// want fails the test unless the status is as told and both streams hold what
// is told.
func (o outcome) want(t *testing.T, status int, out, err string) {
	t.Helper()
	if o.status != status || !strings.Contains(o.out, out) || !strings.Contains(o.err, err) {
		t.Errorf("status %d, want %d\nstandard output, want %q in it:\n%s\nstandard error, want %q in it:\n%s",
			o.status, status, out, o.out, err, o.err)
	}
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
