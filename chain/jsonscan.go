package chain

import (
	"bytes"
	"slices"
	"strconv"
	"sync"
)

// jsonScanner checks JSON in one pass. It recurses at most MaxDepth deep and
// allocates only for keys with escapes and objects with many keys.
type jsonScanner struct {
	src     []byte
	pos     int
	compact bool // whitespace between tokens is a fault

	keep bool   // dst receives src without whitespace
	dst  []byte // as far as from
	from int

	keys []jsonKey // of the objects that are open, innermost last

	// What made the text so far differ, or perhaps differ, from canonical form.
	spaces, escapes, objects int
}

type jsonKey struct {
	text []byte // unescaped
	at   int
}

// jsonKeys is room for the keys of one scan after the other.
type jsonKeys struct{ keys []jsonKey }

var jsonKeysPool = sync.Pool{New: func() any { return &jsonKeys{make([]jsonKey, 0, 16)} }}

// jsonKeysKept is the most keys that room is kept for.
const jsonKeysKept = 256

func (k *jsonKeys) put() {
	if cap(k.keys) > jsonKeysKept {
		return
	}
	clear(k.keys[:cap(k.keys)]) // they point into the source
	k.keys = k.keys[:0]
	jsonKeysPool.Put(k)
}

func (s *jsonScanner) fault(at int, fault DeltaFault, detail string) *DeltaError {
	return &DeltaError{Fault: fault, Offset: at, Detail: detail}
}

// delta checks all of src.
func (s *jsonScanner) delta() *DeltaError {
	if err := s.space(); err != nil {
		return err
	}
	start := s.pos
	object := s.at('{')
	if err := s.value(0); err != nil {
		return err
	}
	if err := s.end(); err != nil {
		return err
	}
	if !object {
		return s.fault(start, DeltaNotObject, "not an object")
	}
	return nil
}

// end checks that nothing follows.
func (s *jsonScanner) end() *DeltaError {
	if err := s.space(); err != nil {
		return err
	}
	if s.pos < len(s.src) {
		return s.fault(s.pos, DeltaSyntax, "bytes after the value")
	}
	return nil
}

func (s *jsonScanner) at(c byte) bool { return s.pos < len(s.src) && s.src[s.pos] == c }

func (s *jsonScanner) space() *DeltaError {
	if s.pos < len(s.src) && s.src[s.pos] <= ' ' {
		return s.skip()
	}
	return nil
}

func (s *jsonScanner) skip() *DeltaError {
	start := s.pos
	for s.at(' ') || s.at('\n') || s.at('\r') || s.at('\t') {
		s.pos++
	}
	if s.pos == start {
		return nil // a control character: whoever comes next refuses it
	}
	if s.compact {
		return s.fault(start, DeltaSyntax, "whitespace between tokens")
	}
	s.spaces++
	if s.keep {
		s.dst = append(s.dst, s.src[s.from:start]...)
		s.from = s.pos
	}
	return nil
}

// expect steps over c, with whitespace on both sides.
func (s *jsonScanner) expect(c byte, detail string) *DeltaError {
	if err := s.space(); err != nil {
		return err
	}
	if !s.at(c) {
		return s.unexpected(detail)
	}
	s.pos++
	return s.space()
}

func (s *jsonScanner) unexpected(detail string) *DeltaError {
	if s.pos == len(s.src) {
		return s.fault(s.pos, DeltaSyntax, "ends early: "+detail)
	}
	return s.fault(s.pos, DeltaSyntax, detail)
}

// value steps over one value inside depth open containers.
func (s *jsonScanner) value(depth int) *DeltaError {
	if s.pos == len(s.src) {
		return s.unexpected("expected a value")
	}
	switch c := s.src[s.pos]; c {
	case '{':
		return s.object(depth + 1)
	case '[':
		return s.array(depth + 1)
	case '"':
		_, _, err := s.str()
		return err
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		if c == '-' || c-'0' <= 9 {
			return s.number()
		}
		return s.unexpected("expected a value")
	}
}

func (s *jsonScanner) object(depth int) *DeltaError {
	if depth > MaxDepth {
		return s.tooDeep()
	}
	s.objects++
	s.pos++
	if err := s.space(); err != nil {
		return err
	}
	if s.at('}') {
		s.pos++
		return nil
	}
	base := len(s.keys)
	for {
		at := s.pos
		if !s.at('"') {
			return s.unexpected("expected a key")
		}
		key, escaped, err := s.str()
		if err != nil {
			return err
		}
		if escaped {
			key = jsonUnescape(key)
		}
		s.keys = append(s.keys, jsonKey{key, at})
		if err := s.expect(':', "expected a colon"); err != nil {
			return err
		}
		if err := s.value(depth); err != nil {
			return err.under(string(key))
		}
		more, err := s.more('}')
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	if at := jsonDuplicate(s.keys[base:]); at >= 0 {
		return s.fault(at, DeltaDuplicate, "duplicate key")
	}
	s.keys = s.keys[:base]
	return nil
}

func (s *jsonScanner) array(depth int) *DeltaError {
	if depth > MaxDepth {
		return s.tooDeep()
	}
	s.pos++
	if err := s.space(); err != nil {
		return err
	}
	if s.at(']') {
		s.pos++
		return nil
	}
	for i := 0; ; i++ {
		if err := s.value(depth); err != nil {
			return err.under(strconv.Itoa(i))
		}
		more, err := s.more(']')
		if err != nil || !more {
			return err
		}
	}
}

// more steps over what follows a member: a comma, or the container's end.
func (s *jsonScanner) more(end byte) (bool, *DeltaError) {
	if err := s.space(); err != nil {
		return false, err
	}
	switch {
	case s.at(','):
		s.pos++
		return true, s.space()
	case s.at(end):
		s.pos++
		return false, nil
	}
	return false, s.unexpected("expected a comma or the end of the object or array")
}

func (s *jsonScanner) tooDeep() *DeltaError {
	return s.fault(s.pos, DeltaTooDeep, "deeper than "+strconv.Itoa(MaxDepth)+" levels")
}

func (s *jsonScanner) word(w string) *DeltaError {
	if !bytes.HasPrefix(s.src[s.pos:], []byte(w)) {
		return s.unexpected("expected a value")
	}
	s.pos += len(w)
	return nil
}

// number steps over a number of any size.
func (s *jsonScanner) number() *DeltaError {
	if s.at('-') {
		s.pos++
	}
	if s.at('0') {
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.at('.') {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.at('e') || s.at('E') {
		s.pos++
		if s.at('+') || s.at('-') {
			s.pos++
		}
		return s.digits()
	}
	return nil
}

func (s *jsonScanner) digits() *DeltaError {
	start := s.pos
	for s.pos < len(s.src) && s.src[s.pos]-'0' <= 9 {
		s.pos++
	}
	if s.pos == start {
		return s.unexpected("expected a digit")
	}
	return nil
}

// jsonDuplicate returns where the first repeated key stands, or -1. It may
// reorder the keys.
func jsonDuplicate(keys []jsonKey) int {
	const few = 12 // below this, comparing all pairs is faster than sorting
	if len(keys) <= few {
		for i := 1; i < len(keys); i++ {
			for j := range i {
				if bytes.Equal(keys[i].text, keys[j].text) {
					return keys[i].at
				}
			}
		}
		return -1
	}
	slices.SortFunc(keys, func(a, b jsonKey) int {
		if c := bytes.Compare(a.text, b.text); c != 0 {
			return c
		}
		return a.at - b.at
	})
	first := -1
	for i := 1; i < len(keys); i++ {
		if bytes.Equal(keys[i-1].text, keys[i].text) && (first < 0 || keys[i].at < first) {
			first = keys[i].at
		}
	}
	return first
}
