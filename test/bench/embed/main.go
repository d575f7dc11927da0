// Command embed measures what a node costs the service that embeds it: bytes of
// the binary, memory and processor time while nothing and while 1,000 updates a
// second happen, goroutines, what is left of them after Close, and what states cost
// that have not changed.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Row is one figure.
type Row struct {
	What   string `json:"what"`
	Figure string `json:"figure"`
}

type report struct{ rows []Row }

func (r *report) add(what, format string, args ...any) {
	r.rows = append(r.rows, Row{what, fmt.Sprintf(format, args...)})
	fmt.Fprintf(os.Stderr, "%s  %s: %s\n", time.Now().Format(time.TimeOnly), what, r.rows[len(r.rows)-1].Figure)
}

func (r *report) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r.rows)
	}
	fmt.Fprintln(w, "| | |\n|---|--:|")
	for _, row := range r.rows {
		fmt.Fprintf(w, "| %s | %s |\n", row.What, row.Figure)
	}
	return nil
}

func main() {
	length := flag.Duration("length", 20*time.Second, "how long each load is measured")
	noops := flag.Int("noops", 1_000_000, "states to set that have not changed")
	asJSON := flag.Bool("json", false, "print JSON, not a table")
	flag.Parse()
	r := &report{}
	if err := run(r, *length, *noops); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
	if err := r.print(os.Stdout, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

func run(r *report, length time.Duration, noops int) error {
	dir, err := os.MkdirTemp("", "embed-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := binaries(r, dir); err != nil {
		return err
	}
	if err := loads(r, dir, length); err != nil {
		return err
	}
	if err := unchanged(r, filepath.Join(dir, "unchanged"), noops); err != nil {
		return err
	}
	return closes(r, filepath.Join(dir, "closes"))
}
