package main

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// colours reports whether text on standard output is to have colour: as --color
// says, and by itself on a terminal that knows some, unless NO_COLOR is set
// (no-color.org).
func (p *process) colours(want string) bool {
	switch want {
	case "always":
		return true
	case "never":
		return false
	}
	return p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb" && isTerminal(p.out)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// paint is how a cell is shown where there is colour: the numbers of an SGR
// sequence, "" for as it is.
type paint string

const (
	unpainted paint = ""
	bold      paint = "1"
	dim       paint = "2"
	red       paint = "31"
	green     paint = "32"
	yellow    paint = "33"
	cyan      paint = "36"
)

// on paints a text that holds no sequences of its own.
func (p paint) on(text string) string {
	if p == unpainted || text == "" {
		return text
	}
	return "\x1b[" + string(p) + "m" + text + "\x1b[0m"
}

// painted is a text that may be painted, or is left as it is.
func (s *session) painted(p paint, text string) string {
	if !s.color {
		return text
	}
	return p.on(text)
}

// statusPaint is the colour of a word by what it means to whoever looks for
// trouble.
func statusPaint(word string) paint {
	switch {
	case word == "alive" || strings.HasPrefix(word, "ok"):
		return green
	case word == "leaving" || word == "left":
		return yellow
	case word == "-" || word == "":
		return unpainted
	}
	return red
}

// numberPaint warns of a number that should be 0.
func numberPaint(n uint64) paint {
	if n == 0 {
		return unpainted
	}
	return yellow
}
