package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// row is one line of a table: the runs of a peer under one load.
type row struct {
	peer, phase string
	n, load     int
	synced      bool
	runs        []Result
	failures    []string
}

// rows groups results, in the order in which the loads first came.
func rows(results []Result) []*row {
	var out []*row
	for _, r := range results {
		load := r.Rate
		if r.Phase == PhaseThroughput {
			load = r.Window
		}
		i := slices.IndexFunc(out, func(o *row) bool {
			return o.peer == r.Peer && o.phase == r.Phase && o.n == r.N && o.load == load
		})
		if i < 0 {
			i = len(out)
			out = append(out, &row{peer: r.Peer, phase: r.Phase, n: r.N, load: load, synced: r.Synced})
		}
		if r.failed() {
			out[i].failures = append(out[i].failures, r.Failure)
		} else {
			out[i].runs = append(out[i].runs, r)
		}
	}
	return out
}

// median of a figure over the runs.
func (o *row) median(figure func(Result) float64) float64 {
	var v []float64
	for _, r := range o.runs {
		v = append(v, figure(r))
	}
	return median(v)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	if mid := len(v) / 2; len(v)%2 == 1 {
		return v[mid]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}

// ratio compares the figure with the reference's in the same run, and returns
// the median of that, 0 if there is nothing to compare with. Of a reference
// with several loads the best one counts.
func (o *row) ratio(all []*row, reference string, figure func(Result) float64, best func(a, b float64) float64) float64 {
	their := map[int]float64{}
	for _, other := range all {
		if other.peer != reference || other.phase != o.phase || other.n != o.n {
			continue
		}
		for _, r := range other.runs {
			v := figure(r)
			if had, ok := their[r.Run]; ok {
				v = best(had, v)
			}
			their[r.Run] = v
		}
	}
	var v []float64
	for _, r := range o.runs {
		if t := their[r.Run]; t > 0 {
			v = append(v, figure(r)/t)
		}
	}
	return median(v)
}

func p50(r Result) float64    { return r.P50ms }
func perSec(r Result) float64 { return r.PerSec }

// PrintTables writes the two tables in Markdown: medians over the runs, and
// ratios against the reference as medians of the ratios within a run.
func PrintTables(w io.Writer, results []Result, reference string) {
	all := rows(results)
	fmt.Fprintf(w, "Latency, from the call of Publish to delivery on all N nodes; × is against %s's p50\n\n", reference)
	fmt.Fprintln(w, "| peer | N | runs | offered/s | p50 ms | p99 ms | max ms | × | on all nodes | Publish p50 ms | CPU cores | wire B | start ms |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, o := range all {
		if o.phase != PhaseLatency || o.printFailure(w, 8) {
			continue
		}
		fmt.Fprintf(w, "| %s | %d | %d | %d | %s | %s | %s | %s | %s | %s | %.2f | %.0f | %.0f |\n", o.peer, o.n, len(o.runs), o.load,
			ms(o.median(p50)), ms(o.median(func(r Result) float64 { return r.P99ms })), ms(o.median(func(r Result) float64 { return r.MaxMs })),
			times(o.ratio(all, reference, p50, func(a, b float64) float64 { return min(a, b) })),
			pct(o.median(func(r Result) float64 { return r.Complete })), ms(o.median(func(r Result) float64 { return r.AckP50 })),
			o.median(func(r Result) float64 { return r.CPUCores }), o.median(func(r Result) float64 { return r.WireB }),
			o.median(func(r Result) float64 { return r.StartMs }))
	}
	fmt.Fprintf(w, "\nThroughput, all nodes publishing, updates on their way bounded by the window; × is against %s's best window\n\n", reference)
	fmt.Fprintln(w, "| peer | N | runs | window/node | updates/s on all nodes | × | on all nodes | p50 ms | p99 ms | CPU s/1k | CPU cores | peak RSS MB | peak heap MB | wire B |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, o := range all {
		if o.phase != PhaseThroughput || o.printFailure(w, 9) {
			continue
		}
		fmt.Fprintf(w, "| %s | %d | %d | %d | %.0f | %s | %s | %s | %s | %.3f | %.2f | %.0f | %.0f | %.0f |\n", o.peer, o.n, len(o.runs), o.load,
			o.median(perSec), times(o.ratio(all, reference, perSec, func(a, b float64) float64 { return max(a, b) })),
			pct(o.median(func(r Result) float64 { return r.Complete })), ms(o.median(p50)), ms(o.median(func(r Result) float64 { return r.P99ms })),
			o.median(func(r Result) float64 { return r.CPUPer1k }), o.median(func(r Result) float64 { return r.CPUCores }),
			o.median(func(r Result) float64 { return r.RSSMB }), o.median(func(r Result) float64 { return r.HeapMB }),
			o.median(func(r Result) float64 { return r.WireB }))
	}
}

// printFailure writes a row of which no run has anything to show; cells is how
// many stay empty.
func (o *row) printFailure(w io.Writer, cells int) bool {
	if len(o.runs) > 0 {
		return false
	}
	fmt.Fprintf(w, "| %s | %d | 0 | %d | failed: %s |%s\n", o.peer, o.n, o.load, o.failures[0], bytes.Repeat([]byte(" |"), cells))
	return true
}

// brief is one run in a line.
func brief(r Result) string {
	load := fmt.Sprintf("rate=%d", r.Rate)
	if r.Phase == PhaseThroughput {
		load = fmt.Sprintf("window=%d", r.Window)
	}
	if r.failed() {
		return fmt.Sprintf("%s N=%d %s %s: FAILED: %s %s", r.Peer, r.N, r.Phase, load, r.Failure, r.FirstErr)
	}
	return fmt.Sprintf("%s N=%d %s %s run=%d: p50=%.2fms p99=%.2fms max=%.2fms %.0f/s complete=%.4f pairs=%.4f cpu/1k=%.3fs cores=%.2f rss=%.0fMB wire=%.0fB start=%.0fms load=%.1f errs=%d %s%s",
		r.Peer, r.N, r.Phase, load, r.Run, r.P50ms, r.P99ms, r.MaxMs, r.PerSec, r.Complete, r.Delivered, r.CPUPer1k, r.CPUCores, r.RSSMB, r.WireB,
		r.StartMs, r.Load, r.Errors, r.FirstErr, notes(r.Notes))
}

func notes(m map[string]float64) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "\n    %s: %.4g", k, m[k])
	}
	return b.String()
}

// load reads saved results.
func load(path string) ([]Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []Result
	for line := range bytes.Lines(data) {
		var r Result
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(out)+1, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func ms(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func times(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", v)
}

func pct(v float64) string {
	if v == 1 {
		return "100 %"
	}
	return fmt.Sprintf("%.2f %%", v*100)
}
