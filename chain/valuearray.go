package chain

import (
	"cmp"
	"slices"
)

// An array is kept as canonical text. What is here works on such texts in one
// pass, whatever their depth.

// valueSpan is a member of an object in text that is being written.
type valueSpan struct {
	key      string
	from, to int // without the comma after it
}

// canonical appends the value at pos, which has been found sound, as canonical
// JSON, and steps over it.
func (p *valueParser) canonical(dst []byte) []byte {
	start := p.pos
	switch p.src[start] {
	case '{':
		return p.canonicalObject(dst)
	case '[':
		dst = append(dst, '[')
		for p.stepInto(']') {
			dst = append(p.canonical(dst), ',')
		}
		return valueClose(dst, ']')
	case '"':
		inner, escaped, _ := p.str()
		if escaped {
			return AppendJSONString(dst, string(jsonUnescape(inner)))
		}
	case 't', 'n':
		p.pos += len("true")
	case 'f':
		p.pos += len("false")
	default:
		_ = p.number()
	}
	return append(dst, p.src[start:p.pos]...)
}

// stepInto moves from the bracket that opens a container, or from the end of a
// member, to the next member, or past the container's end.
func (p *valueParser) stepInto(end byte) bool {
	_ = p.space()
	if !p.at(end) {
		p.pos++ // the bracket or a comma
		_ = p.space()
	}
	if p.at(end) {
		p.pos++
		return false
	}
	return true
}

// valueClose ends a container, each of whose members is followed by a comma.
func valueClose(dst []byte, end byte) []byte {
	if last := len(dst) - 1; dst[last] == ',' {
		dst[last] = end
		return dst
	}
	return append(dst, end)
}

func (p *valueParser) canonicalObject(dst []byte) []byte {
	dst = append(dst, '{')
	start, base, sorted := len(dst), len(p.spans), true
	for p.stepInto('}') {
		inner, escaped, _ := p.str()
		if escaped {
			inner = jsonUnescape(inner)
		}
		span := valueSpan{key: string(inner), from: len(dst)}
		dst = append(AppendJSONString(dst, span.key), ':')
		_ = p.expect(':', "")
		dst = p.canonical(dst)
		span.to = len(dst)
		dst = append(dst, ',')
		sorted = sorted && (len(p.spans) == base || p.spans[len(p.spans)-1].key < span.key)
		p.spans = append(p.spans, span)
	}
	if !sorted {
		slices.SortFunc(p.spans[base:], func(a, b valueSpan) int { return cmp.Compare(a.key, b.key) })
		members := slices.Clone(dst[start:])
		dst = dst[:start]
		for _, span := range p.spans[base:] {
			dst = append(append(dst, members[span.from-start:span.to-start]...), ',')
		}
	}
	p.spans = p.spans[:base]
	return valueClose(dst, '}')
}

// valueArraysEqual compares two arrays in one pass over their texts. As both
// are canonical, equal ones differ in the literals of numbers at most.
func valueArraysEqual(a, b string) bool {
	for a != "" && b != "" {
		m, n := 1, 1
		switch c, d := a[0], b[0]; {
		case (c == '-' || c-'0' <= 9) && (d == '-' || d-'0' <= 9):
			m, n = numberLength(a), numberLength(b)
			if !numberEqual(a[:m], b[:n]) {
				return false
			}
		case c != d:
			return false
		case c == '"':
			m = valueStringLength(a)
			if n = m; len(b) < n || a[:m] != b[:n] {
				return false
			}
		}
		a, b = a[m:], b[n:]
	}
	return a == b
}

// valueStringLength is the length of the string literal that sound JSON text
// begins with.
func valueStringLength(text string) int {
	n := 1
	for ; text[n] != '"'; n++ {
		if text[n] == '\\' {
			n++
		}
	}
	return n + 1
}
