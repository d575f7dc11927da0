package chain

import (
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonPlain marks the bytes that stand for themselves in a string.
var jsonPlain = func() (plain [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

// jsonPlainLength is how many bytes that stand for themselves b begins with. It
// looks at eight at once.
func jsonPlainLength[T []byte | string](b T) int {
	const (
		each = 0x0101010101010101
		high = 0x80 * each
	)
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := b[i : i+8]
		x := uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24 |
			uint64(w[4])<<32 | uint64(w[5])<<40 | uint64(w[6])<<48 | uint64(w[7])<<56
		// A subtraction borrows from the byte above only where it has found
		// one, so the lowest byte that is marked is right, and that is enough.
		odd := (x | (x - ' '*each) | ((x ^ '"'*each) - each) | ((x ^ '\\'*each) - each)) & high
		if odd != 0 {
			return i + bits.TrailingZeros64(odd)/8
		}
	}
	for i < len(b) && jsonPlain[b[i]] {
		i++
	}
	return i
}

// str steps over a string and returns what is between its quotes, as written.
func (s *jsonScanner) str() (inner []byte, escaped bool, err *DeltaError) {
	i := s.pos + 1
	for {
		i += jsonPlainLength(s.src[i:])
		if i == len(s.src) {
			return nil, false, s.fault(i, DeltaSyntax, "ends early: in a string")
		}
		switch c := s.src[i]; {
		case c == '"':
			inner = s.src[s.pos+1 : i]
			s.pos = i + 1
			return inner, escaped, nil
		case c == '\\':
			_, n := jsonEscape(s.src[i:])
			if n == 0 {
				return nil, false, s.fault(i, DeltaSyntax, "invalid escape or lone surrogate")
			}
			escaped = true
			s.escapes++
			i += n
		case c < ' ':
			return nil, false, s.fault(i, DeltaSyntax, "control character in a string")
		default:
			r, n := utf8.DecodeRune(s.src[i:])
			if r == utf8.RuneError && n == 1 {
				return nil, false, s.fault(i, DeltaSyntax, "not UTF-8")
			}
			i += n
		}
	}
}

// jsonEscape reads the escape that b begins with and returns its length, 0 if
// it is none. A pair of surrogates is one escape.
func jsonEscape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch c := b[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r = jsonHex4(b)
	switch {
	case r < 0:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, 6
	}
	if len(b) < 12 {
		return 0, 0
	}
	if r = utf16.DecodeRune(r, jsonHex4(b[6:])); r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// jsonHex4 reads the \uXXXX that b begins with; it is -1 if there is none.
func jsonHex4(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c-'0' <= 9:
			r = r<<4 | rune(c-'0')
		case (c|0x20)-'a' <= 5:
			r = r<<4 | rune((c|0x20)-'a'+10)
		default:
			return -1
		}
	}
	return r
}

// jsonUnescape returns what a string stands for that str has found sound.
func jsonUnescape(inner []byte) []byte {
	out := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); {
		if inner[i] != '\\' {
			out = append(out, inner[i])
			i++
			continue
		}
		r, n := jsonEscape(inner[i:])
		out = utf8.AppendRune(out, r)
		i += n
	}
	return out
}

// AppendJSONString writes s as a JSON string with only the escapes that it
// needs: of the quote, the backslash and control characters, \b \f \n \r \t in
// short and the others as \u00xx in lower case. Bytes that are not UTF-8
// become U+FFFD.
func AppendJSONString(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		i += jsonPlainLength(s[i:])
		if i == len(s) {
			break
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), string(utf8.RuneError)...)
				from = i + 1
			}
			i += n
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
