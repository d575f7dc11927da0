package chain

import "strings"

var (
	pointerEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

// pointerEscape makes a key a token of a JSON pointer (RFC 6901).
func pointerEscape(key string) string {
	if !strings.ContainsAny(key, "~/") {
		return key
	}
	return pointerEscaper.Replace(key)
}

func pointerUnescape(token string) string {
	if strings.IndexByte(token, '~') < 0 {
		return token
	}
	return pointerUnescaper.Replace(token)
}

// at returns what is at a JSON pointer that leads through objects alone.
func (v Value) at(pointer string) (Value, bool) {
	for pointer != "" {
		token := pointer[1:]
		end := strings.IndexByte(token, '/')
		if end < 0 {
			end = len(token)
		}
		pointer = token[end:]
		next, ok := v.Get(pointerUnescape(token[:end]))
		if !ok {
			return Value{}, false
		}
		v = next
	}
	return v, true
}

// pointerAbove reports whether p is a proper ancestor of q.
func pointerAbove(p, q string) bool {
	return len(q) > len(p) && q[len(p)] == '/' && q[:len(p)] == p
}

// pointerWrap is the patch that writes v at a pointer.
func pointerWrap(pointer string, v Value) Value {
	for pointer != "" {
		i := strings.LastIndexByte(pointer, '/')
		v = Value{kind: valueObject, members: []valueMember{{pointerUnescape(pointer[i+1:]), v}}}
		pointer = pointer[:i]
	}
	return v
}
