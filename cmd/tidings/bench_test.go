package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLatencyOf(t *testing.T) {
	var times []time.Duration
	for i := 200; i > 0; i-- {
		times = append(times, time.Duration(i)*time.Millisecond)
	}
	if got, want := latencyOf(times), (benchLatency{100, 198, 200}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := latencyOf([]time.Duration{1500 * time.Microsecond}), (benchLatency{1.5, 1.5, 1.5}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := latencyOf(nil); got != (benchLatency{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

// TestSightings: an update counts as seen once the last of the others has it,
// whether its answer has come by then or not.
func TestSightings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := newSightings(), time.Now()
		early, late, failed, lost, unknown := sighting{"s", 1}, sighting{"s", 2}, sighting{"s", 3}, sighting{"s", 4}, sighting{"s", 5}
		for _, u := range []sighting{early, late, failed, lost} {
			s.sent(u, start, 2)
		}
		time.Sleep(time.Millisecond)
		s.seen(early, time.Now())
		s.seen(unknown, time.Now())
		time.Sleep(time.Millisecond)
		s.seen(early, time.Now()) // after 2 ms
		time.Sleep(time.Millisecond)
		s.answered(early, start, nil) // after 3 ms
		s.answered(late, start, nil)
		s.answered(failed, start, errors.New("planted"))
		s.seen(late, time.Now())
		go func() {
			time.Sleep(time.Millisecond)
			s.seen(late, time.Now()) // after 4 ms
			s.forget(lost)
		}()
		s.wait(t.Context(), time.Minute)
		if took := time.Since(start); took != 4*time.Millisecond {
			t.Errorf("waited until %s", took)
		}
		r := s.result(&benchResult{Seconds: 2}, true)
		if r.Published != 2 || r.Failed != 1 || r.Unseen != 0 || r.Rate != 1 || r.Publish != (benchLatency{3, 3, 3}) || *r.Visible != (benchLatency{2, 4, 4}) {
			t.Errorf("result %+v, visible %+v", r, r.Visible)
		}
		s.sent(unknown, start, 2)
		s.answered(unknown, start, nil)
		began := time.Now()
		s.wait(t.Context(), 10*time.Second)
		if r := s.result(&benchResult{}, true); r.Unseen != 1 || time.Since(began) != 10*time.Second {
			t.Errorf("unseen %d after %s", r.Unseen, time.Since(began))
		}
	})
}

func TestBenchUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--nodes", "0"}, {"--nodes", "17"}, {"--callers", "0"}, {"--size", "40000"}, {"--rate=-1"}, {"--duration", "0"}, {"--duration", "11m"},
	} {
		call(t, append([]string{"bench"}, args...)...).want(t, exitUsage, "", strings.TrimSuffix(args[0], "=-1")+": want ")
	}
	n := newFake(t, func(w http.ResponseWriter, r *http.Request, b []byte) {
		w.Header().Set("Tidings-Node", "wh-1")
		answers(200, `{"updates":[],"cursor":"c1.x","up_to_date":true,"behind":[],"converged":true}`)(w, r, b)
	})
	call(t, "bench", "--endpoints", n.server.URL+","+n.server.URL+"/").want(t, exitUsage, "", "are one node, wh-1")
	call(t, "bench", "--endpoints", nobody(t)).want(t, exitUnreachable, "", "no node answered")
}

// TestBench runs a mesh of its own for a moment.
func TestBench(t *testing.T) {
	o := call(t, "bench", "--nodes", "2", "--duration", "500ms", "--callers", "4", "--rate", "100", "-o", "json")
	o.want(t, exitDone, "", "")
	var r benchResult
	if err := json.Unmarshal([]byte(o.out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Endpoints) != 2 || r.Published == 0 || r.Published > 50 || r.Failed != 0 || r.Unseen != 0 || r.Ended == 0 || r.Ended > 4 ||
		r.Visible == nil || r.Visible.P50 <= 0 || r.Publish.Max < r.Publish.P50 {
		t.Errorf("%+v, visible %+v", r, r.Visible)
	}
}
