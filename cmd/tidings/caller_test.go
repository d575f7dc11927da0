package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

const meshAnswer = `{"node":"n","authority":"a","converged":true,"members":[],"chains":[],"held":[]}`

func TestReadsFailOver(t *testing.T) {
	good := newFake(t, answers(200, meshAnswer))
	for name, first := range map[string]string{
		"nothing listens": nobody(t),
		"hangs up":        newFake(t, hangsUp).server.URL,
		"hangs":           newFake(t, hangs).server.URL,
		"closing":         newFake(t, refuses(503, "closing")).server.URL,
		"bad gateway":     newFake(t, answers(502, "<html>")).server.URL,
	} {
		t.Run(name, func(t *testing.T) {
			call(t, "lag", "--timeout", "300ms", "--endpoints", first+","+good.server.URL).want(t, exitDone, "ORIGIN", "")
		})
	}
}

func TestARefusalIsNotFailedOver(t *testing.T) {
	second := newFake(t, answers(200, meshAnswer))
	for code, status := range map[string]int{"bad_request": 400, "unauthorized": 401, "not_found": 404, "gone": 410} {
		first := newFake(t, refuses(status, code))
		want := map[string]int{"not_found": exitNotFound, "gone": exitGone}[code]
		if want == 0 {
			want = exitFailed
		}
		call(t, "lag", "--endpoints", first.server.URL, "--endpoints", second.server.URL).want(t, want, "", code+": because of "+code)
	}
	if n := len(second.requests()); n != 0 {
		t.Errorf("the second endpoint got %d requests", n)
	}
}

func TestNoNodeAnswers(t *testing.T) {
	call(t, "lag", "--endpoints", nobody(t)+","+nobody(t)).want(t, exitUnreachable, "", "no node answered")
	// A node that answers no is a node.
	closing := newFake(t, refuses(503, "closing"))
	call(t, "lag", "--endpoints", nobody(t)+","+closing.server.URL).want(t, exitFailed, "", "closing")
	call(t, "check", "--endpoints", nobody(t)).want(t, exitUnreachable, "", "no node answered")
}

func TestNotANode(t *testing.T) {
	call(t, "lag", "--endpoints", newFake(t, answers(404, "<html>")).server.URL).want(t, exitFailed, "", "status 404")
	typo := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(404)
		_, _ = io.WriteString(w, `{"status":404,"code":"not_found","detail":"a node has no call at this path","field":"path"}`)
	}).server.URL + "/typo"
	call(t, "get", "order/1", "--endpoints", typo).want(t, exitFailed, "", "no node's interface is at "+typo+": look at its path")
	call(t, "lag", "--endpoints", newFake(t, answers(200, "<html>")).server.URL).want(t, exitFailed, "", "not what a node gives")
}

func TestARedirectIsNotFollowed(t *testing.T) {
	other := newFake(t, answers(200, meshAnswer))
	first := newFake(t, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		http.Redirect(w, r, other.server.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	call(t, "lag", "--endpoints", first.server.URL).want(t, exitFailed, "", "status 307")
	if n := len(other.requests()); n != 0 {
		t.Errorf("the other server got %d requests", n)
	}
}

func TestTokenIsSent(t *testing.T) {
	f := newFake(t, answers(200, meshAnswer))
	call(t, "lag", "--endpoints", f.server.URL, "--token-file", writeFile(t, "token", "s3cret\n")).want(t, exitDone, "", "")
	call(t, "lag", "--endpoints", f.server.URL).want(t, exitDone, "", "")
	requests := f.requests()
	if got := requests[0].header.Get("Authorization"); got != "Bearer s3cret" {
		t.Errorf("Authorization: %q", got)
	}
	if got := requests[1].header.Get("Authorization"); got != "" {
		t.Errorf("Authorization without a token: %q", got)
	}
}

func TestEndpointForms(t *testing.T) {
	f := newFake(t, answers(200, meshAnswer))
	host := strings.TrimPrefix(f.server.URL, "http://")
	for given, uri := range map[string]string{
		f.server.URL:               "/v1/mesh",
		f.server.URL + "/":         "/v1/mesh",
		f.server.URL + "/status/":  "/status/v1/mesh",
		host:                       "/v1/mesh",
		" " + f.server.URL + " , ": "/v1/mesh",
	} {
		before := len(f.requests())
		call(t, "lag", "--endpoints", given).want(t, exitDone, "", "")
		if got := f.requests()[before:]; len(got) != 1 || got[0].uri != uri {
			t.Errorf("%q: got %+v, want %s", given, got, uri)
		}
	}
}

func TestSubjectsAreOneSegment(t *testing.T) {
	f := newFake(t, answers(200, `{"subject":"x","status":{}}`))
	for subject, uri := range map[string]string{
		"order/42":   "/v1/subjects/order%2F42",
		"a b?c#d%":   "/v1/subjects/a%20b%3Fc%23d%25",
		"ordre/é":    "/v1/subjects/ordre%2F%C3%A9",
		"a/../b":     "/v1/subjects/a%2F..%2Fb",
		"-o":         "/v1/subjects/-o",
		`quo"te/<b>`: "/v1/subjects/quo%22te%2F%3Cb%3E",
	} {
		before := len(f.requests())
		call(t, "get", "--endpoints", f.server.URL, "--", subject).want(t, exitDone, "", "")
		if got := f.requests()[before].uri; got != uri {
			t.Errorf("%q: asked for %s, want %s", subject, got, uri)
		}
	}
}

func TestCheck(t *testing.T) {
	state := func(status int, converged, body string) string {
		return newFake(t, func(w http.ResponseWriter, r *http.Request, b []byte) {
			w.Header().Set("Tidings-Node", "wh-1")
			w.Header().Set("Tidings-Converged", converged)
			answers(status, body)(w, r, b)
		}).server.URL
	}
	converged, apart := state(200, "true", `{}`), state(200, "false", `{}`)
	catching := state(503, "false", `{"status":503,"code":"not_ready","reason":"catching up","progress":{"have":3,"want":10}}`)
	call(t, "check", "--endpoints", converged).want(t, exitDone, "wh-1: ready, converged", "")
	call(t, "check", "--converged", "--endpoints", converged).want(t, exitDone, "", "")
	call(t, "check", "--endpoints", apart).want(t, exitDone, "wh-1: ready, not converged", "")
	call(t, "check", "--converged", "--endpoints", apart).want(t, exitFailed, "not converged", "")
	call(t, "check", "--endpoints", catching).want(t, exitFailed, "not ready: catching up (3 of 10 updates)", "")
	call(t, "check", "-o", "json", "--endpoints", catching).want(t, exitFailed, `"ready":false,"converged":false,"reason":"catching up"`, "")
	// A node that is not ready has answered: the next one is not asked.
	call(t, "check", "--endpoints", catching+","+converged).want(t, exitFailed, "not ready", "")
	call(t, "check", "--endpoints", nobody(t)+","+converged).want(t, exitDone, "ready", "")
}

// TestCheckForMonitors is the line that a monitor shows, byte for byte.
func TestCheckForMonitors(t *testing.T) {
	node := newFake(t, func(w http.ResponseWriter, r *http.Request, b []byte) {
		w.Header().Set("Tidings-Node", "wh|1")
		body := `{"ready":true}`
		if r.URL.Path == "/v1/mesh" {
			body = `{"converged":false,"chains":[{"applied":3,"head":5,"known":9,"held":2},{"applied":7,"head":7,"known":6}]}`
		}
		answers(200, body)(w, r, b)
	}).server.URL
	for _, c := range []struct {
		args   []string
		status int
		line   string
	}{
		{nil, exitDone, "OK - wh/1: ready, not converged\n"},
		{[]string{"--converged"}, exitFailed, "FAILED - wh/1: ready, not converged\n"},
		{[]string{"--max-lag", "6"}, exitDone, "OK - wh/1: ready, not converged, lag 6 of at most 6 | lag=6;;6;0 held=2;;;0\n"},
		{[]string{"--max-lag", "5"}, exitFailed, "FAILED - wh/1: ready, not converged, lag 6 of at most 5 | lag=6;;5;0 held=2;;;0\n"},
		{[]string{"--max-lag", "9", "--converged"}, exitFailed, "FAILED - wh/1: ready, not converged, lag 6 of at most 9 | lag=6;;9;0 held=2;;;0\n"},
		{[]string{"--max-lag", "5", "-o", "json"}, exitFailed, `{"ok":false,"endpoint":"` + node + `","node":"wh|1","ready":true,"converged":false,"lag":6,"held":2}` + "\n"},
	} {
		if o := call(t, append([]string{"check", "--endpoints", node}, c.args...)...); o.status != c.status || o.out != c.line {
			t.Errorf("%q: status %d\n%swant %d\n%s", c.args, o.status, o.out, c.status, c.line)
		}
	}
	call(t, "check", "--max-lag=-1", "--endpoints", node).want(t, exitUsage, "", "--max-lag: want 0 or more")
	call(t, "check", "--endpoints", newFake(t, refuses(404, "not_found")).server.URL).want(t, exitFailed, "", "does not tell how it is")
}

// A script that has started a node need not poll for it.
func TestWaitForANode(t *testing.T) {
	starts := []func(http.ResponseWriter, *http.Request, []byte){hangsUp, refuses(503, "not_ready"), answers(502, "<html>"), answers(200, `{"updates":[],"cursor":"c1.A"}`), answers(200, meshAnswer)}
	f := newFake(t, starts...)
	call(t, "lag", "--wait", "20s", "--endpoints", f.server.URL).want(t, exitDone, "ORIGIN", "")
	if got := f.requests(); len(got) != len(starts) || got[0].uri != "/v1/changes?since=now" {
		t.Errorf("requests: %+v", got)
	}
	call(t, "lag", "--endpoints", newFake(t, starts...).server.URL).want(t, exitUnreachable, "", "no node answered")
	call(t, "lag", "--wait", "150ms", "--endpoints", nobody(t)).want(t, exitUnreachable, "", "no node answered")
	// A refusal is an answer.
	call(t, "lag", "--wait", "20s", "--endpoints", newFake(t, refuses(401, "unauthorized")).server.URL).want(t, exitFailed, "", "unauthorized")
	// Wrong usage is told before anything is waited for.
	call(t, "verify", "x", "--wait", "20s", "--endpoints", nobody(t)).want(t, exitUsage, "", "origin")
	call(t, "lag", "--wait=-1s").want(t, exitUsage, "", "--wait: want 0 or more")

	apart := refuses(503, "not_ready")
	f = newFake(t, hangsUp, apart, answers(502, "<html>"), answers(200, "{}"))
	call(t, "check", "--wait", "20s", "--endpoints", f.server.URL).want(t, exitDone, "OK", "")
	o := call(t, "check", "--wait", "150ms", "--endpoints", newFake(t, apart).server.URL)
	if o.want(t, exitFailed, "FAILED", ""); strings.Count(o.out, "\n") != 1 {
		t.Errorf("got\n%s", o.out)
	}
}
