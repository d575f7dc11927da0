package svg

import (
	"fmt"
	"strings"
	"unicode"
)

// A cell is the width of one character of the picture's monospaced font; text is
// measured and clipped by it. cellWidth is in tenths of a pixel, at 12 pixels.
const cellWidth = 73

func pixels(cells int) int { return (cells*cellWidth + 9) / 10 }

// maxMarks is how many combining marks may follow a character; more of them
// would cover the lines around.
const maxMarks = 3

// clip makes s printable and cuts it to so many cells, with "…" for what is
// missing. What does not print, and what would turn the direction of the text, is
// shown as an escape, as is a mark too many.
func clip(s string, most int) string {
	var b strings.Builder
	used, marks, cut := 0, 0, 0 // cut is where the "…" would go
	for _, r := range s {
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		piece, wide := string(r), width(r)
		if !unicode.IsPrint(r) || marks > maxMarks {
			piece = escape(r)
			wide = len(piece)
		}
		if used+wide > most {
			return b.String()[:cut] + "…"
		}
		b.WriteString(piece)
		if used += wide; used < most {
			cut = b.Len()
		}
	}
	return b.String()
}

func escape(r rune) string {
	if r > 0xffff {
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// cells is how many cells a clipped text takes.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += width(r)
	}
	return n
}

// width is how many cells a character takes at most. A mark may have one to
// itself, where the font does not know it.
func width(r rune) int {
	if (r >= 0x1100 && r < 0x1160) || r >= 0x2e80 { // Hangul; CJK and what is beyond
		return 2
	}
	return 1
}

// appendText writes a printable text into the XML.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		switch s[i] {
		case '&':
			dst = append(dst, "&amp;"...)
		case '<':
			dst = append(dst, "&lt;"...)
		case '>':
			dst = append(dst, "&gt;"...)
		default:
			dst = append(dst, s[i])
		}
	}
	return dst
}
