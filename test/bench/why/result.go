package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// Result is how one consumer fared in one scenario.
type Result struct {
	Scenario  string  `json:"scenario"`
	Consumer  string  `json:"consumer"`
	Questions int     `json:"questions"`
	Whole     float64 `json:"whole"`  // share of whole answers
	P50ms     float64 `json:"p50_ms"` // until the answer, or the error
	P99ms     float64 `json:"p99_ms"`
	Age50ms   float64 `json:"age_p50_ms"` // of the oldest part of whole answers
	Age99ms   float64 `json:"age_p99_ms"`
	Served    float64 `json:"served_per_s"` // requests that the authorities' own systems served for it
}

func (c *consumer) result(s scenario, o options, whom int) Result {
	r := Result{Scenario: s.Name, Consumer: c.name, Questions: len(c.got)}
	var took, ages []time.Duration
	for _, g := range c.got {
		took = append(took, g.took)
		if g.whole {
			ages = append(ages, g.age)
		}
	}
	r.Whole = float64(len(ages)) / float64(max(1, len(c.got)))
	r.P50ms, r.P99ms = quantile(took, 0.5), quantile(took, 0.99)
	r.Age50ms, r.Age99ms = quantile(ages, 0.5), quantile(ages, 0.99)
	for _, a := range c.w.authorities {
		r.Served += float64(a.served[whom].Load()) / o.length.Seconds()
	}
	return r
}

// quantile is in milliseconds, 0 of nothing.
func quantile(d []time.Duration, q float64) float64 {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))].Seconds() * 1e3
}

func printTable(w io.Writer, results []Result) {
	fmt.Fprintln(w, "| | | whole answers | latency p50 / p99 ms | age p50 / p99 ms | requests/s to the authorities |")
	fmt.Fprintln(w, "|---|---|--:|--:|--:|--:|")
	last := ""
	for _, r := range results {
		name := r.Scenario
		if name == last {
			name = ""
		}
		last = r.Scenario
		ages := figure(r.Age50ms) + " / " + figure(r.Age99ms)
		if r.Whole == 0 {
			ages = "none"
		}
		fmt.Fprintf(w, "| %s | %s | %.0f %% | %s / %s | %s | %s |\n",
			name, r.Consumer, 100*r.Whole, figure(r.P50ms), figure(r.P99ms), ages, figure(r.Served))
	}
}

func figure(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
