package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// table writes aligned columns. Cells come from nodes, so what a terminal
// would act on is shown instead.
type table struct{ w *tabwriter.Writer }

func newTable(out io.Writer, titles ...string) *table {
	t := &table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	if len(titles) > 0 {
		t.row(titles...)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		if i > 0 {
			io.WriteString(t.w, "\t")
		}
		if cell = plain(cell); cell == "" {
			cell = "-"
		}
		io.WriteString(t.w, cell)
	}
	io.WriteString(t.w, "\n")
}

// flush writes the table, with the first error of all its rows.
func (t *table) flush() error { return t.w.Flush() }

// plain shows every rune of s that does not print as an escape, so that no
// text from outside moves a cursor or reverses a line.
func plain(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b bytes.Buffer
	for _, r := range s {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// age writes milliseconds as people read them, to about two digits.
func age(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d < 10*time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}
