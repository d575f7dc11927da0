package harness

import (
	"slices"
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	ours := Spec{Name: "ours", Windows: []int{16, 256}}
	theirs := Spec{Name: "theirs", Windows: []int{16}}
	o := options{nodes: []int{3}, phases: "latency,throughput", rate: 100, runs: 2, payload: 256}
	var got []string
	planned := plan([]Spec{theirs, ours}, []Spec{ours}, o)
	for _, j := range planned {
		got = append(got, j.Peer+" "+j.Phase)
	}
	want := []string{
		"theirs latency", "ours latency", "theirs throughput", "ours throughput", "ours throughput",
		"ours latency", "ours throughput", "ours throughput",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("planned %q, want %q", got, want)
	}
	// What was saved is not run again, unless it failed.
	results := []Result{
		{Peer: "theirs", Phase: PhaseLatency, N: 3, Rate: 100, Payload: 256, Published: 1},
		{Peer: "ours", Phase: PhaseLatency, N: 3, Rate: 100, Payload: 256, Failure: "no mesh"},
		{Peer: "ours", Phase: PhaseThroughput, N: 3, Window: 16, Payload: 256, Published: 1},
	}
	left := missing(planned, results)
	if len(left) != len(want)-2 || left[0].Peer != "ours" || left[2].Window != 256 {
		t.Fatalf("left: %+v", left)
	}
}

func TestNoRunBeginsAfterTheLimit(t *testing.T) {
	if (progress{began: time.Now().Add(-time.Hour)}).over() {
		t.Error("over without a limit")
	}
	if !(progress{began: time.Now().Add(-time.Hour), limit: time.Minute}).over() {
		t.Error("not over after the limit")
	}
}
