package chain

import (
	"cmp"
	"slices"
	"sync"
)

// Value is a JSON value: an immutable tree that is safe to share and to use
// concurrently. Strings are unescaped, the keys of objects are sorted by their
// UTF-8 bytes, and numbers keep the text that they were written with. The zero
// value is null.
type Value struct {
	kind    valueKind
	text    string        // a string's content, a number's literal, an array's canonical JSON
	members []valueMember // an object's, ascending by key
}

type valueMember struct {
	key   string
	value Value
}

type valueKind uint8

// An array is kept as text: to a merge patch it is a leaf, and as a tree it
// would take many times its length.
const (
	valueNull valueKind = iota
	valueFalse
	valueTrue
	valueNumber
	valueString
	valueArray
	valueObject
)

var valueEmpty = Value{kind: valueObject}

// valueShared is the length, in bytes, up to which all strings of a parsed
// value are parts of one copy of its source. Above it each has its own, so
// that one short string of a status cannot keep a long delta in memory.
const valueShared = 512

// ParseValue reads one JSON value by the rules of a delta, but for its top
// level, which may be of any kind. Its errors are those of CompactDelta. The
// value shares nothing with src.
func ParseValue(src []byte) (Value, error) {
	return valueParse(src, false)
}

// valueParse reads one value. A strict one must be written as Append would.
func valueParse(src []byte, strict bool) (Value, error) {
	p := valueParserPool.Get().(*valueParser)
	defer p.put()
	p.src, p.compact, p.strict = src, strict, strict
	if len(src) <= valueShared {
		p.source = string(src)
	}
	if err := p.space(); err != nil {
		return Value{}, err
	}
	v, err := p.parse(0)
	if err != nil {
		return Value{}, err
	}
	if err := p.end(); err != nil {
		return Value{}, err
	}
	return v, nil
}

// valueParserPool holds parsers for their room.
var valueParserPool = sync.Pool{New: func() any { return &valueParser{stack: make([]valueMember, 0, 16)} }}

// put gives the parser back, with its room and nothing else.
func (p *valueParser) put() {
	if cap(p.stack) > jsonKeysKept || cap(p.keys) > jsonKeysKept || cap(p.spans) > jsonKeysKept {
		return
	}
	clear(p.stack[:cap(p.stack)])
	clear(p.keys[:cap(p.keys)])
	clear(p.spans[:cap(p.spans)])
	*p = valueParser{jsonScanner: jsonScanner{keys: p.keys[:0]}, stack: p.stack[:0], spans: p.spans[:0]}
	valueParserPool.Put(p)
}

type valueParser struct {
	jsonScanner
	strict bool
	source string        // src, where parts of one copy may be kept
	stack  []valueMember // of the objects that are open, innermost last
	spans  []valueSpan   // the same within an array
}

func (p *valueParser) parse(depth int) (Value, *DeltaError) {
	start := p.pos
	if start == len(p.src) {
		return Value{}, p.unexpected("expected a value")
	}
	switch p.src[start] {
	case '{':
		return p.parseObject(depth + 1)
	case '[':
		return p.parseArray(depth + 1)
	case '"':
		text, err := p.parseString()
		return Value{kind: valueString, text: text}, err
	case 't':
		return Value{kind: valueTrue}, p.word("true")
	case 'f':
		return Value{kind: valueFalse}, p.word("false")
	case 'n':
		return Value{}, p.word("null")
	}
	if err := p.value(depth); err != nil {
		return Value{}, err
	}
	return Value{kind: valueNumber, text: p.piece(start, p.pos)}, nil
}

func (p *valueParser) piece(from, to int) string {
	if p.source != "" {
		return p.source[from:to]
	}
	return string(p.src[from:to])
}

func (p *valueParser) parseString() (string, *DeltaError) {
	start := p.pos
	inner, escaped, err := p.str()
	if err != nil {
		return "", err
	}
	if !escaped {
		return p.piece(start+1, p.pos-1), nil
	}
	text := string(jsonUnescape(inner))
	if p.strict && string(AppendJSONString(nil, text)) != string(p.src[start:p.pos]) {
		return "", p.fault(start, DeltaSyntax, "needless escape")
	}
	return text, nil
}

func (p *valueParser) parseObject(depth int) (Value, *DeltaError) {
	if depth > MaxDepth {
		return Value{}, p.tooDeep()
	}
	start := p.pos
	p.objects++
	p.pos++
	if err := p.space(); err != nil {
		return Value{}, err
	}
	if p.at('}') {
		p.pos++
		return valueEmpty, nil
	}
	base, sorted := len(p.stack), true
	for more := true; more; {
		if !p.at('"') {
			return Value{}, p.unexpected("expected a key")
		}
		key, err := p.parseString()
		if err != nil {
			return Value{}, err
		}
		if err = p.expect(':', "expected a colon"); err != nil {
			return Value{}, err
		}
		v, err := p.parse(depth)
		if err != nil {
			return Value{}, err.under(key)
		}
		sorted = sorted && (len(p.stack) == base || p.stack[len(p.stack)-1].key < key)
		p.stack = append(p.stack, valueMember{key, v})
		if more, err = p.more('}'); err != nil {
			return Value{}, err
		}
	}
	members := slices.Clone(p.stack[base:])
	p.stack = p.stack[:base]
	if !sorted {
		if p.strict {
			return Value{}, p.fault(start, DeltaSyntax, "keys out of order")
		}
		slices.SortFunc(members, func(a, b valueMember) int { return cmp.Compare(a.key, b.key) })
		for i := 1; i < len(members); i++ {
			if members[i-1].key == members[i].key {
				return Value{}, p.fault(start, DeltaDuplicate, "duplicate key").under(members[i].key)
			}
		}
	}
	return Value{kind: valueObject, members: members}, nil
}

// parseArray keeps an array's source where that is canonical already, as it is
// without whitespace, escapes and objects.
func (p *valueParser) parseArray(depth int) (Value, *DeltaError) {
	start, odd := p.pos, p.spaces+p.escapes+p.objects
	if err := p.array(depth); err != nil {
		return Value{}, err
	}
	end := p.pos
	if p.spaces+p.escapes+p.objects == odd {
		return Value{kind: valueArray, text: p.piece(start, end)}, nil
	}
	p.pos = start
	text := string(p.canonical(make([]byte, 0, end-start)))
	if p.strict && text != string(p.src[start:end]) {
		return Value{}, p.fault(start, DeltaSyntax, "array is not canonical")
	}
	return Value{kind: valueArray, text: text}, nil
}

// IsObject reports whether v is an object.
func (v Value) IsObject() bool { return v.kind == valueObject }

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v.kind == valueNull }

// IsEmpty reports whether v is an object without members.
func (v Value) IsEmpty() bool { return v.kind == valueObject && len(v.members) == 0 }

// Get returns the member of an object.
func (v Value) Get(key string) (Value, bool) {
	i, ok := v.find(key)
	if !ok {
		return Value{}, false
	}
	return v.members[i].value, true
}

func (v Value) find(key string) (int, bool) {
	return slices.BinarySearchFunc(v.members, key, func(m valueMember, key string) int { return cmp.Compare(m.key, key) })
}

// Append writes v as canonical JSON: no whitespace, keys sorted by their UTF-8
// bytes, minimal escapes, numbers as they were written.
func (v Value) Append(dst []byte) []byte {
	switch v.kind {
	case valueFalse:
		return append(dst, "false"...)
	case valueTrue:
		return append(dst, "true"...)
	case valueNumber, valueArray:
		return append(dst, v.text...)
	case valueString:
		return AppendJSONString(dst, v.text)
	case valueObject:
		dst = append(dst, '{')
		for i := range v.members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSONString(dst, v.members[i].key)
			dst = append(dst, ':')
			dst = v.members[i].value.Append(dst)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

// appendExact writes v as canonical JSON in which a number has one text,
// however it was written: values are equal exactly if these texts are.
func (v Value) appendExact(dst []byte) []byte {
	for text := v.String(); text != ""; {
		n := 1
		switch c := text[0]; {
		case c == '-' || c-'0' <= 9:
			n = numberLength(text)
			dst = numberParse(text[:n]).append(dst)
		case c == '"':
			n = valueStringLength(text)
			dst = append(dst, text[:n]...)
		default:
			dst = append(dst, c)
		}
		text = text[n:]
	}
	return dst
}

// String is v as canonical JSON.
func (v Value) String() string { return string(v.Append(nil)) }

// MarshalJSON writes v as canonical JSON.
func (v Value) MarshalJSON() ([]byte, error) { return v.Append(nil), nil }

// Equal compares numbers by their exact decimal value (1.0, 1 and 10e-1 are
// equal, and so are 0 and -0), strings by code points, arrays by their items
// in order and objects by their members.
func (v Value) Equal(w Value) bool {
	if v.kind != w.kind {
		return false
	}
	switch v.kind {
	case valueString:
		return v.text == w.text
	case valueNumber:
		return numberEqual(v.text, w.text)
	case valueArray:
		return v.text == w.text || valueArraysEqual(v.text, w.text)
	case valueObject:
		if v.same(w) {
			return true
		}
		return slices.EqualFunc(v.members, w.members, func(a, b valueMember) bool {
			return a.key == b.key && a.value.Equal(b.value)
		})
	}
	return true
}

// same reports whether v and w are one value in one text, without looking into
// objects: it may say no for two objects of the same content.
func (v Value) same(w Value) bool {
	return v.kind == w.kind && v.text == w.text && len(v.members) == len(w.members) &&
		(len(v.members) == 0 || &v.members[0] == &w.members[0])
}
