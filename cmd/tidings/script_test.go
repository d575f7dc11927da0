package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the program itself, as its own process, by the scripts in
// testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Deadline:            time.Now().Add(2 * time.Minute),
		Setup: func(e *testscript.Env) error {
			// Built with the race detector, each program would sleep a second at its end.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "endpoint": endpointOf, "retry": retry, "saves": saves, "await": await,
		},
	})
}

// exits N PROGRAM ARGS... runs a program and wants exactly that status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("status %d, want %d", got, want)
	}
}

// endpoint VARIABLE FILE waits for an agent's address file and sets variables
// from it: VARIABLE to its URL, VARIABLE_bind and VARIABLE_origin.
func endpointOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: endpoint VARIABLE FILE")
	}
	path := ts.MkAbs(args[1])
	deadline := time.Now().Add(20 * time.Second)
	for {
		text, err := os.ReadFile(path)
		if err == nil {
			var a struct{ Bind, HTTP, Origin string }
			ts.Check(json.Unmarshal(text, &a))
			ts.Setenv(args[0], "http://"+a.HTTP)
			ts.Setenv(args[0]+"_http", a.HTTP)
			ts.Setenv(args[0]+"_bind", a.Bind)
			ts.Setenv(args[0]+"_origin", a.Origin)
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no %s after 20 s: %v", args[1], err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// retry N PROGRAM ARGS... runs a program until it exits with that status, for
// at most 20 s.
func retry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: retry N PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		got := 0
		var exit *exec.ExitError
		if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
			got = exit.ExitCode()
		} else {
			ts.Check(err)
		}
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("still status %d after 20 s, want %d", got, want)
		}
	}
}

// await FILE PATTERN waits until a line of a file matches, for at most 20 s.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE PATTERN")
	}
	pattern := regexp.MustCompile("(?m)" + args[1])
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && pattern.Match(text) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no line of %s matches after 20 s (%v):\n%s", args[0], err, text)
		}
	}
}

// saves VARIABLE sets a variable to the standard output of the last program,
// without the line break at its end.
func saves(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: saves VARIABLE")
	}
	ts.Setenv(args[0], strings.TrimSuffix(ts.ReadFile("stdout"), "\n"))
}
