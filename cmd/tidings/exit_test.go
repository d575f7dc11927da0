package main

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const (
	someID     = "v2gg106mm4skd0a9segtlu8mp8.2"
	someUpdate = `{"id":"` + someID + `","subject":"s","authority":"a","time":"2026-01-02T03:04:05.001Z","hlc":"019b7ca98c890000","deps":[],"delta":{"x":1}}`
	someView   = `{"subject":"s","status":{"x":1},"authorities":{},"conflicts":[],"heads":["` + someID + `"],"updates":1,"time":"2026-01-02T03:04:05.001Z"}`
)

// answersAll gives each call what a node with little in it would.
func answersAll(w http.ResponseWriter, r *http.Request, _ []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Tidings-Node", "n")
	w.Header().Set("Tidings-Converged", "true")
	switch path := r.URL.Path; {
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case path == "/v1/updates":
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":"`+someID+`","subject":"s","time":"2026-01-02T03:04:05.001Z","hlc":"019b7ca98c890000","deps":[],"acks":1}`)
	case path == "/v1/subjects":
		_, _ = io.WriteString(w, `{"subjects":[`+someView+`],"next_page":null,"cursor":"c1.x"}`)
	case strings.HasPrefix(path, "/v1/subjects/"):
		_, _ = io.WriteString(w, someView)
	case strings.HasPrefix(path, "/v1/history/"):
		_, _ = io.WriteString(w, `{"subject":"s","updates":[`+someUpdate+`],"complete":true}`)
	case path == "/v1/changes":
		_, _ = io.WriteString(w, `{"updates":[`+someUpdate+`],"cursor":"c1.x","up_to_date":true,"behind":[],"converged":true}`)
	case path == "/readyz":
		_, _ = io.WriteString(w, `{"ready":true,"progress":{"have":0,"want":0}}`)
	default:
		_, _ = io.WriteString(w, meshAnswer)
	}
}

// clientCommands are all that ask a node.
var clientCommands = [][]string{
	{"publish", "s", `{"x":1}`},
	{"get", "s"},
	{"ls"},
	{"history", "s"},
	{"why", "s"},
	{"watch", "--once"},
	{"members"},
	{"members", "forget", "x"},
	{"lag"},
	{"check"},
	{"verify"},
}

// TestExitStatuses: every client command tells by its status what came of it.
func TestExitStatuses(t *testing.T) {
	good, nobody := newFake(t, answersAll).server.URL, nobody(t)
	refused := newFake(t, refuses(400, "bad_request")).server.URL
	missing, gone := newFake(t, refuses(404, "not_found")).server.URL, newFake(t, refuses(410, "gone")).server.URL
	for _, args := range clientCommands {
		for _, c := range []struct {
			endpoint string
			flags    []string
			status   int
		}{
			{good, nil, exitDone},
			{refused, nil, exitFailed},
			{good, []string{"--nope"}, exitUsage},
			{good, []string{"--timeout", "-1s"}, exitUsage},
			{missing, nil, exitNotFound},
			{gone, nil, exitGone},
			{nobody, nil, exitUnreachable},
		} {
			args := append(slices.Clone(args), append(c.flags, "--timeout=300ms", "--endpoints", c.endpoint)...)
			if slices.Contains(c.flags, "--timeout") {
				args = slices.DeleteFunc(args, func(a string) bool { return a == "--timeout=300ms" })
			}
			want := c.status
			if args[0] == "check" && (want == exitNotFound || want == exitGone) {
				want = exitFailed // whatever it is that answers, it is not ready
			}
			o := call(t, args...)
			if o.status != want {
				t.Errorf("%q: status %d, want %d: %s", args, o.status, want, o.err)
			}
			if (want == exitDone) != (o.err == "") {
				t.Errorf("%q: status %d, and standard error has %q", args, o.status, o.err)
			}
		}
	}
}

// TestJSONEverywhere: with -o json every command that has results prints
// documents and nothing else.
func TestJSONEverywhere(t *testing.T) {
	good := newFake(t, answersAll).server.URL
	all := [][]string{{"version"}, {"key", "new"}, {"completion", "bash"}}
	for _, args := range clientCommands {
		all = append(all, append(slices.Clone(args), "--endpoints", good))
	}
	for _, args := range all {
		o := call(t, append(args, "-o", "json")...)
		o.want(t, exitDone, "", "")
		documents := 0
		for line := range strings.Lines(o.out) {
			if !json.Valid([]byte(line)) || line[0] != '{' {
				t.Errorf("%q prints %q", args, line)
			}
			documents++
		}
		if documents != 1 {
			t.Errorf("%q prints %d documents", args, documents)
		}
	}
	// Those that need more than this have tests of their own.
	tested := map[string]bool{"agent": true, "demo": true, "replay": true, "backup": true, "bench": true, "help": true, "complete": true, "members list": true}
	for _, args := range all {
		tested[args[0]] = true
		tested[strings.Join(args[:min(2, len(args))], " ")] = true
	}
	for name := range commands(t) {
		if !tested[name] {
			t.Errorf("%s is not among them", name)
		}
	}
}
