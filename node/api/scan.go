package api

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// errJSON is wrapped by every failure to read JSON text.
var errJSON = errors.New("not JSON")

// scanner walks JSON text (RFC 8259) and hands out values as the bytes that
// were sent, which encoding/json does not do without copying and reflection.
// It checks the whole grammar, needs memory of one byte a level of nesting and
// has no limit of depth: what is too deep is for the caller to say.
type scanner struct {
	b     []byte
	i     int
	stack []byte // the open '{' and '['
}

func (s *scanner) fail(want string) error {
	if s.i >= len(s.b) {
		return fmt.Errorf("%w: it ends where %s should be", errJSON, want)
	}
	return fmt.Errorf("%w: %q at byte %d where %s should be", errJSON, s.b[s.i], s.i, want)
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return
		}
	}
}

// peek is the next byte after white space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) take(c byte, want string) error {
	if s.peek() != c {
		return s.fail(want)
	}
	s.i++
	return nil
}

// end fails unless nothing but white space is left.
func (s *scanner) end() error {
	if s.space(); s.i < len(s.b) {
		return s.fail("the end")
	}
	return nil
}

// value returns the bytes of the next value.
func (s *scanner) value() ([]byte, error) {
	s.space()
	start := s.i
	s.stack = s.stack[:0]
	for {
		opened, err := s.begin()
		if err != nil {
			return nil, err
		}
		if opened {
			continue
		}
		more, err := s.finish()
		if err != nil {
			return nil, err
		}
		if !more {
			return s.b[start:s.i:s.i], nil
		}
	}
}

// begin reads a scalar or an empty object or array whole, or opens one and
// reports that its first value comes next.
func (s *scanner) begin() (opened bool, err error) {
	switch c := s.peek(); {
	case c == '{' || c == '[':
		s.i++
		s.stack = append(s.stack, c)
		if s.peek() == c+2 { // '}' and ']' are two above in ASCII
			s.i++
			s.stack = s.stack[:len(s.stack)-1]
			return false, nil
		}
		if c == '{' {
			_, err = s.key()
		}
		return true, err
	case c == '"':
		_, err = s.text()
		return false, err
	case c == '-' || c >= '0' && c <= '9':
		return false, s.number()
	case c == 't':
		return false, s.literal("true")
	case c == 'f':
		return false, s.literal("false")
	case c == 'n':
		return false, s.literal("null")
	}
	return false, s.fail("a value")
}

// finish goes on after a value: it closes what ends here, and reports whether
// another value comes.
func (s *scanner) finish() (more bool, err error) {
	for len(s.stack) > 0 {
		open := s.stack[len(s.stack)-1]
		switch s.peek() {
		case ',':
			s.i++
			if open == '{' {
				_, err = s.key()
			}
			return true, err
		case open + 2:
			s.i++
			s.stack = s.stack[:len(s.stack)-1]
		default:
			return false, s.fail("a comma or an end")
		}
	}
	return false, nil
}

// key reads a key and its colon, and returns the key as sent, with quotes.
func (s *scanner) key() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.fail("a key")
	}
	raw, err := s.text()
	if err != nil {
		return nil, err
	}
	return raw, s.take(':', "a colon")
}

// text reads a string and returns it as sent, with quotes.
func (s *scanner) text() ([]byte, error) {
	start := s.i
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[start:s.i:s.i], nil
		case c < 0x20:
			return nil, s.fail("no control character")
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		}
	}
	return nil, s.fail("the end of a string")
}

// escape reads an escape but for its last byte.
func (s *scanner) escape() error {
	s.i++
	if s.i >= len(s.b) {
		return s.fail("an escape")
	}
	switch s.b[s.i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.i++
			if s.i >= len(s.b) || !isHex(s.b[s.i]) {
				return s.fail("a hex digit")
			}
		}
		return nil
	}
	return s.fail("an escape")
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func (s *scanner) literal(word string) error {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		return s.fail("a value")
	}
	s.i += len(word)
	return nil
}

func (s *scanner) number() error {
	if s.b[s.i] == '-' {
		s.i++
	}
	if s.i < len(s.b) && s.b[s.i] == '0' {
		s.i++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.i < len(s.b) && (s.b[s.i] == 'e' || s.b[s.i] == 'E') {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		return s.digits()
	}
	return nil
}

func (s *scanner) digits() error {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	if s.i == start {
		return s.fail("a digit")
	}
	return nil
}

// list calls item with each item of the array that comes next.
func (s *scanner) list(item func(raw []byte) error) error {
	if err := s.take('[', "an array"); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		raw, err := s.value()
		if err != nil {
			return err
		}
		if err := item(raw); err != nil {
			return err
		}
		if s.peek() == ']' {
			s.i++
			return nil
		}
		if err := s.take(',', "a comma or an end"); err != nil {
			return err
		}
	}
}

// fields calls field with each name and value of the object that comes next.
func (s *scanner) fields(field func(name string, raw []byte) error) error {
	if err := s.take('{', "an object"); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		key, err := s.key()
		if err != nil {
			return err
		}
		name, err := unquote(key)
		if err != nil {
			return err
		}
		raw, err := s.value()
		if err != nil {
			return err
		}
		if err := field(name, raw); err != nil {
			return err
		}
		if s.peek() == '}' {
			s.i++
			return nil
		}
		if err := s.take(',', "a comma or an end"); err != nil {
			return err
		}
	}
}

// unquote returns what a string that the scanner has checked stands for. Half
// of a surrogate pair stands for nothing, and is an error.
func unquote(raw []byte) (string, error) {
	raw = raw[1 : len(raw)-1]
	plain := true
	for _, c := range raw {
		plain = plain && c != '\\'
	}
	if plain {
		return string(raw), nil
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		switch c := raw[i]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hexRune(raw[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				var low rune
				if i+6 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
					low = hexRune(raw[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					return "", fmt.Errorf("%w: half of a surrogate pair", errJSON)
				}
				i += 6
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
	}
	return string(out), nil
}

// hexRune reads the four hex digits that b begins with.
func hexRune(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 32)
	return rune(n)
}
