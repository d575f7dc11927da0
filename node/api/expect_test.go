package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// expecting makes a node expect the warehouse and the fleet, who has until
// deadline, and an authority without any.
func expecting(f *fake, deadline time.Time) {
	f.attend = func(s *chain.State) (Attendance, error) {
		a := Attendance{Expected: []string{"audit", "fleet", "warehouse"}}
		for _, name := range a.Expected {
			if !slices.Contains(s.Authorities(), name) {
				a.Missing = append(a.Missing, name)
			}
		}
		if slices.Contains(a.Missing, "fleet") {
			if a.Next = max(0, time.Until(deadline)); a.Next == 0 {
				a.Late = []string{"fleet"}
			}
		}
		return a, nil
	}
}

func TestViewExpect(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	f.put(ownOrigin, "s", `{"a":1}`)
	plain := call(h, "GET", "/v1/subjects/s", "")
	for _, target := range []string{"/v1/subjects/s?expect=false", "/v1/subjects/s?wait=1s&expect=false"} {
		a := call(h, "GET", target, "")
		wantBody(t, a, 200, plain.body)
		if a.header.Get("ETag") != plain.header.Get("ETag") {
			t.Errorf("%s: ETag %s", target, a.header.Get("ETag"))
		}
	}
	tags := map[string]string{plain.header.Get("ETag"): "the view alone"}
	want := func(members string) {
		t.Helper()
		a := call(h, "GET", "/v1/subjects/s?expect=true", "")
		body := call(h, "GET", "/v1/subjects/s", "").body
		wantBody(t, a, 200, strings.TrimSuffix(body, "}")+","+members+"}")
		tag := a.header.Get("ETag")
		if tags[tag] != "" || len(tag) != 34 || a.header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s has the ETag %s of %s", members, tag, tags[tag])
		}
		tags[tag] = members
		wantStatus(t, call(h, "GET", "/v1/subjects/s?expect=true", "", "If-None-Match: "+tag), 304)
		wantStatus(t, call(h, "GET", "/v1/subjects/s", "", "If-None-Match: "+tag), 200)
	}
	want(`"expected":[],"missing":[],"late":[]`)
	expecting(f, time.Now().Add(time.Hour))
	want(`"expected":["audit","fleet","warehouse"],"missing":["audit","fleet"],"late":[]`)
	expecting(f, time.Now().Add(-time.Hour))
	want(`"expected":["audit","fleet","warehouse"],"missing":["audit","fleet"],"late":["fleet"]`)
	f.put(fleet, "s", `{"b":1}`)
	want(`"expected":["audit","fleet","warehouse"],"missing":["audit"],"late":[]`)
	f.put(fleet, "s", `{"b":2}`)
	want(`"expected":["audit","fleet","warehouse"],"missing":["audit"],"late":[]`)
}

func TestViewExpectFails(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	f.put(ownOrigin, "s", `{"a":1}`)
	f.attend = func(*chain.State) (Attendance, error) { return Attendance{}, errPlanted }
	a := call(h, "GET", "/v1/subjects/s?expect=true", "")
	if p := a.problem(t); p.Status != 500 || p.Code != CodeInternal || strings.Contains(a.body, "secret") {
		t.Errorf("%s", a.body)
	}
	f.attend = func(*chain.State) (Attendance, error) { return Attendance{}, fmt.Errorf("taken back: %w", ErrNotFound) }
	if p := call(h, "GET", "/v1/subjects/s?expect=true", "").problem(t); p.Code != CodeNotFound {
		t.Errorf("%+v", p)
	}
}

// A deadline that comes ends a wait as a change of the subject does, and nothing
// else that passes does.
func TestViewExpectWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f})
		defer h.Close()
		timed := func(target, tag string) (answer, time.Duration) {
			began := time.Now()
			a := call(h, "GET", target, "", "If-None-Match: "+tag)
			return a, time.Since(began)
		}
		const target = "/v1/subjects/s?expect=true&wait=30s"
		expecting(f, time.Now().Add(47*time.Second))
		if a, took := timed(target, ""); a.problem(t).Code != CodeNotFound || took != 30*time.Second {
			t.Errorf("absent: %d after %s", a.status, took)
		}
		f.put(ownOrigin, "s", `{"a":1}`)
		a, took := timed(target, "")
		if a.status != 200 || took != 0 || !strings.Contains(a.body, `"late":[]`) {
			t.Errorf("there: %d after %s: %s", a.status, took, a.body)
		}
		tag := a.header.Get("ETag")
		time.AfterFunc(3*time.Second, func() { f.put(ownOrigin, "other", `{"a":1}`) })
		if a, took = timed(target, tag); a.status != 200 || took != 17*time.Second || !strings.Contains(a.body, `"late":["fleet"]`) {
			t.Errorf("the deadline: %d after %s: %s", a.status, took, a.body)
		}
		tag = a.header.Get("ETag")
		if a, took = timed(target, tag); a.status != 304 || took != 30*time.Second {
			t.Errorf("after the deadline: %d after %s", a.status, took)
		}
		time.AfterFunc(5*time.Second, func() { f.put(fleet, "s", `{"b":1}`) })
		if a, took = timed(target, tag); a.status != 200 || took != 5*time.Second || !strings.Contains(a.body, `"late":[]`) {
			t.Errorf("spoke at last: %d after %s: %s", a.status, took, a.body)
		}
		tag = call(h, "GET", "/v1/subjects/s", "").header.Get("ETag")
		f.attend = func(*chain.State) (Attendance, error) {
			t.Error("a wait without expect asks who is expected")
			return Attendance{}, errPlanted
		}
		if a, took = timed("/v1/subjects/s?wait=30s", tag); a.status != 304 || took != 30*time.Second {
			t.Errorf("without expect: %d after %s", a.status, took)
		}
	})
}

// A waiter leaves no timer behind, and a clock that stands still right before a
// deadline does not make it spin.
func TestViewExpectWaitsForAClockThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f})
		defer h.Close()
		f.put(ownOrigin, "s", `{"a":1}`)
		looks := 0
		f.attend = func(*chain.State) (Attendance, error) {
			a := Attendance{Expected: []string{"fleet"}, Missing: []string{"fleet"}, Next: 1}
			if looks++; looks > 1000 {
				a.Next = 0 // the test has failed, and is to end
			}
			return a, nil
		}
		tag := call(h, "GET", "/v1/subjects/s?expect=true", "").header.Get("ETag")
		a := call(h, "GET", "/v1/subjects/s?expect=true&wait=1s", "", "If-None-Match: "+tag)
		if a.status != 304 || looks > 105 {
			t.Errorf("status %d after %d looks in 1s, want at most 100 or so", a.status, looks)
		}
	})
}
