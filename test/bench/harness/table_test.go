package harness

import (
	"math"
	"strings"
	"testing"
)

func TestRatioIsOfTheSameRun(t *testing.T) {
	at := func(peer string, run, window int, perSec float64) Result {
		return Result{Peer: peer, Phase: PhaseThroughput, N: 3, Run: run, Window: window, PerSec: perSec, Published: 1}
	}
	// The machine was twice as fast in run 1. The reference's better window counts.
	all := rows([]Result{
		at("ours", 0, 256, 300), at("theirs", 0, 256, 100), at("theirs", 0, 16, 50),
		at("ours", 1, 256, 600), at("theirs", 1, 256, 200), at("theirs", 1, 16, 20),
	})
	if len(all) != 3 || all[0].peer != "ours" {
		t.Fatalf("rows: %+v", all)
	}
	if got := all[0].ratio(all, "theirs", perSec, math.Max); got != 3 {
		t.Fatalf("ratio %v, want 3", got)
	}
	if got := all[0].median(perSec); got != 450 {
		t.Fatalf("median %v, want 450", got)
	}
	if got := all[0].ratio(all, "nobody", perSec, math.Max); got != 0 {
		t.Fatalf("ratio against nobody: %v", got)
	}
}

func TestPrintTablesShowsFailures(t *testing.T) {
	var out strings.Builder
	PrintTables(&out, []Result{{Peer: "ours", Phase: PhaseLatency, N: 3, Rate: 100, Failure: "no mesh"}}, "theirs")
	if !strings.Contains(out.String(), "| ours | 3 | 0 | 100 | failed: no mesh |") {
		t.Fatal(out.String())
	}
}
