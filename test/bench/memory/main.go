// Command memory measures what a node needs to hold and to withstand: memory,
// open time and disk as its subjects grow to millions, its memory under a flood
// of publishes, and under a flood from a peer, beside it and behind it. Agents
// are processes of their own.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

type options struct {
	path, tmp string
	marks     []int64 // numbers of subjects, growing
	limit     time.Duration
	length    time.Duration
	payload   int
	only      string
	asJSON    bool
}

// Row is a figure of memory, and what goes with it.
type Row struct {
	What    string  `json:"what"`
	RSSMB   float64 `json:"rss_mb"`  // at the end
	PeakMB  float64 `json:"peak_mb"` // the most meanwhile
	PerSec  float64 `json:"per_s,omitempty"`
	Ms      float64 `json:"ms,omitempty"`
	StoreMB float64 `json:"store_mb,omitempty"`
	Notes   string  `json:"notes,omitempty"`
}

func main() {
	o := options{}
	flag.StringVar(&o.path, "agent", "bin/tidings", "binary of the node")
	subjects := flag.String("subjects", "100000,1000000,3000000,10000000", "numbers of subjects to measure at, growing")
	flag.DurationVar(&o.limit, "for", 30*time.Minute, "how long filling the store may take; what is reached by then is measured")
	flag.DurationVar(&o.length, "length", 15*time.Second, "how long each load lasts")
	flag.IntVar(&o.payload, "payload", 256, "bytes of a delta")
	flag.StringVar(&o.tmp, "tmp", "", "where stores go (default: the system's temporary folder); 10 million subjects take some 7 GB")
	flag.StringVar(&o.only, "only", "store,publishes,peer", "what to measure")
	flag.BoolVar(&o.asJSON, "json", false, "print JSON, not a table")
	flag.Parse()
	var err error
	if o.marks, err = numbers(*subjects); err == nil {
		err = measure(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "memory:", err)
		os.Exit(1)
	}
}

func numbers(list string) ([]int64, error) {
	var out []int64
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n <= 0 || len(out) > 0 && n <= out[len(out)-1] {
			return nil, fmt.Errorf("-subjects %s: want numbers that grow, separated by commas", list)
		}
		out = append(out, n)
	}
	return out, nil
}

func measure(o options) error {
	measures := map[string]func(*report, options, string) error{"store": store, "publishes": floodOfPublishes, "peer": floodFromPeer}
	r := &report{}
	for name := range strings.SplitSeq(o.only, ",") {
		m, ok := measures[name]
		if !ok {
			return fmt.Errorf("-only %s: no such measure; there are store, publishes and peer", name)
		}
		if err := inFolder(o.tmp, func(dir string) error { return m(r, o, dir) }); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return r.print(o.asJSON)
}

func inFolder(tmp string, do func(dir string) error) error {
	dir, err := os.MkdirTemp(tmp, "memory-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return do(dir)
}

// report gathers rows and shows each as it comes.
type report struct{ rows []Row }

func (r *report) add(row Row) {
	r.rows = append(r.rows, row)
	say("%s", row.line())
}

// say shows progress.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func (r Row) line() string {
	cell := func(v float64, format string) string {
		if v == 0 {
			return ""
		}
		return fmt.Sprintf(format, v)
	}
	return fmt.Sprintf("| %s | %.0f | %.0f | %s | %s | %s | %s |", r.What, r.RSSMB, r.PeakMB,
		cell(r.PerSec, "%.0f"), cell(r.Ms, "%.0f"), cell(r.StoreMB, "%.0f"), r.Notes)
}

func (r *report) print(asJSON bool) error {
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(r.rows)
	}
	fmt.Println("| what | RSS MB | peak MB | /s | ms | store MB | |")
	fmt.Println("|---|--:|--:|--:|--:|--:|---|")
	for _, row := range r.rows {
		fmt.Println(row.line())
	}
	return nil
}
