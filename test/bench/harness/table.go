package harness

import (
	"fmt"
	"io"
)

func brief(r Result) string {
	if r.Failure != "" && r.Published == 0 {
		return fmt.Sprintf("%s N=%d %s: FAILED: %s", r.Peer, r.N, r.Phase, r.Failure)
	}
	load := fmt.Sprintf("rate=%d", r.Rate)
	if r.Phase == "throughput" {
		load = fmt.Sprintf("window=%d", r.Window)
	}
	return fmt.Sprintf("%s N=%d %s %s: p50=%.2fms p99=%.2fms max=%.2fms %.0f/s complete=%.4f pairs=%.4f cpu/1k=%.3fs rss=%.0fMB wire=%.0fB errs=%d %s %s",
		r.Peer, r.N, r.Phase, load, r.P50ms, r.P99ms, r.MaxMs, r.PerSec, r.Complete, r.Delivered, r.CPUPer1k, r.RSSMB, r.WireB, r.Errors, r.FirstErr, r.Failure)
}

// PrintTable writes the two Markdown tables.
func PrintTable(w io.Writer, rs []Result) {
	fmt.Fprintln(w, "Latency, Publish call to delivery on all N nodes")
	fmt.Fprintln(w)
	fmt.Fprintln(w, "| peer | N | offered/s | p50 ms | p99 ms | max ms | on all nodes | Publish p50 ms | CPU cores | wire B/recv |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range rs {
		if r.Phase != "latency" {
			continue
		}
		if r.Published == 0 {
			fmt.Fprintf(w, "| %s | %d | %d | failed: %s | | | | | | |\n", r.Peer, r.N, r.Rate, r.Failure)
			continue
		}
		fmt.Fprintf(w, "| %s | %d | %d | %s | %s | %s | %s | %s | %.2f | %.0f |\n", r.Peer, r.N, r.Rate,
			ms(r.P50ms), ms(r.P99ms), ms(r.MaxMs), pct(r.Complete), ms(r.AckP50), r.CPUCores, r.WireB)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "Throughput, all nodes publishing, bounded outstanding window")
	fmt.Fprintln(w)
	fmt.Fprintln(w, "| peer | N | window/node | updates/s on all nodes | on all nodes | (update,node) pairs | p50 ms | p99 ms | CPU s/1k | CPU cores | peak RSS MB | peak heap MB | wire B/recv |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range rs {
		if r.Phase != "throughput" {
			continue
		}
		if r.Published == 0 {
			fmt.Fprintf(w, "| %s | %d | %d | failed: %s | | | | | | | | | |\n", r.Peer, r.N, r.Window, r.Failure)
			continue
		}
		fmt.Fprintf(w, "| %s | %d | %d | %.0f | %s | %s | %s | %s | %.3f | %.2f | %.0f | %.0f | %.0f |\n", r.Peer, r.N, r.Window, r.PerSec,
			pct(r.Complete), pct(r.Delivered), ms(r.P50ms), ms(r.P99ms), r.CPUPer1k, r.CPUCores, r.RSSMB, r.HeapMB, r.WireB)
	}
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

func pct(v float64) string {
	if v == 1 {
		return "100%"
	}
	return fmt.Sprintf("%.2f%%", v*100)
}
