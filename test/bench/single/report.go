package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Row is one figure.
type Row struct {
	What   string  `json:"what"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	P50ms  float64 `json:"p50_ms,omitempty"`
	P99ms  float64 `json:"p99_ms,omitempty"`
	Beside string  `json:"beside,omitempty"` // what the ratio is against
	Ratio  float64 `json:"ratio,omitempty"`
	RSSMB  float64 `json:"rss_mb,omitempty"` // of the node's process, right after
	CPUus  float64 `json:"cpu_us,omitempty"` // of the node's process, for one of what is counted
}

// report gathers rows and shows each as it comes.
type report struct {
	rows []Row
	live io.Writer
}

func (r *report) add(row Row) {
	r.rows = append(r.rows, row)
	fmt.Fprintf(r.live, "%s  %s\n", time.Now().Format(time.TimeOnly), row.line())
}

func (r Row) line() string {
	s := fmt.Sprintf("| %s | %s %s |", r.What, figure(r.Value), r.Unit)
	if r.P99ms > 0 {
		s += fmt.Sprintf(" %.2f / %.2f |", r.P50ms, r.P99ms)
	} else {
		s += " |"
	}
	if r.Beside != "" {
		s += fmt.Sprintf(" %.2f × %s |", r.Ratio, r.Beside)
	} else {
		s += " |"
	}
	for _, f := range []struct {
		value  float64
		format string
	}{{r.CPUus, " %.1f |"}, {r.RSSMB, " %.0f |"}} {
		if f.value > 0 {
			s += fmt.Sprintf(f.format, f.value)
		} else {
			s += " |"
		}
	}
	return s
}

func figure(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (r *report) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r.rows)
	}
	fmt.Fprintln(w, "| what | figure | p50 / p99 ms of a call | ratio | node's CPU µs for each | node's RSS MB |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|")
	for _, row := range r.rows {
		fmt.Fprintln(w, row.line())
	}
	return nil
}
