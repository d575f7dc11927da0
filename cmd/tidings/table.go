package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// table writes aligned columns. Cells come from nodes, so what a terminal
// would act on is shown instead.
type table struct {
	out   io.Writer
	color bool
	rows  [][]cell
}

// cell is a text that prints, and its colour.
type cell struct {
	text  string
	paint paint
}

// gap is the least space between two columns.
const gap = 2

func newTable(out io.Writer, color bool, titles ...string) *table {
	t := &table{out: out, color: color}
	if len(titles) > 0 {
		t.row(titles...)
		for i := range t.rows[0] {
			t.rows[0][i].paint = bold
		}
	}
	return t
}

// newTable is a table of a command's results.
func (s *session) newTable(titles ...string) *table { return newTable(s.out, s.color, titles...) }

func (t *table) row(cells ...string) {
	row := make([]cell, len(cells))
	for i, text := range cells {
		if row[i].text = plain(text); text == "" {
			row[i].text = "-"
		}
	}
	t.rows = append(t.rows, row)
}

// paint colours a column of the last row.
func (t *table) paint(column int, p paint) { t.rows[len(t.rows)-1][column].paint = p }

// flush writes the table.
func (t *table) flush() error {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		for i, c := range row {
			text := c.text
			if t.color {
				text = c.paint.on(text)
			}
			b.WriteString(text)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+gap))
			}
		}
		b.WriteByte('\n')
	}
	t.rows = nil
	_, err := io.WriteString(t.out, b.String())
	return err
}

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
