package chain

import (
	"iter"
	"slices"
	"sync"
)

// Merge applies a JSON Merge Patch (RFC 7396) to target and returns the
// result, which shares with target all that the patch leaves as it is: where
// it changes nothing, the result is target itself. Arrays are replaced whole
// and kept as they are, nulls in them included.
func Merge(target, patch Value) Value {
	switch {
	case patch.kind != valueObject:
		return patch
	case target.kind != valueObject:
		return mergeStrip(patch)
	}
	var out []valueMember
	changed := false
	from, i := 0, 0 // members before i have been passed, those before from are in out
	for n, m := range patch.members {
		rest := Value{members: target.members[i:]}
		skip, found := rest.find(m.key)
		i += skip
		var next Value
		switch {
		case m.value.kind == valueNull && !found:
			continue
		case m.value.kind == valueNull:
		case found:
			next = Merge(target.members[i].value, m.value)
			if next.same(target.members[i].value) {
				continue
			}
		default:
			next = mergeStrip(m.value)
		}
		if !changed {
			changed = true
			// As many as there will be at most: of the patch's, those to come may all be new.
			more := len(patch.members) - n
			if found {
				more--
			}
			out = make([]valueMember, 0, len(target.members)+more)
		}
		out = append(out, target.members[from:i]...)
		if m.value.kind != valueNull {
			out = append(out, valueMember{m.key, next})
		}
		if found {
			i++
		}
		from = i
	}
	if !changed {
		return target
	}
	return Value{kind: valueObject, members: append(out, target.members[from:]...)}
}

// mergeStrip is the patch applied to nothing: itself without its nulls.
func mergeStrip(patch Value) Value {
	if patch.kind != valueObject {
		return patch
	}
	for i, m := range patch.members {
		v := mergeStrip(m.value)
		if v.same(m.value) && v.kind != valueNull {
			continue
		}
		out := slices.Clone(patch.members[:i])
		for _, m := range patch.members[i:] {
			if v := mergeStrip(m.value); v.kind != valueNull {
				out = append(out, valueMember{m.key, v})
			}
		}
		return Value{kind: valueObject, members: out}
	}
	return patch
}

// mergeUnion joins two patches that write no common path, nulls included.
func mergeUnion(a, b Value) Value {
	if a.kind != valueObject || b.kind != valueObject {
		return b
	}
	out := slices.Clone(a.members)
	for _, m := range b.members {
		i, found := Value{members: out}.find(m.key)
		if found {
			out[i].value = mergeUnion(out[i].value, m.value)
		} else {
			out = slices.Insert(out, i, m)
		}
	}
	return Value{kind: valueObject, members: out}
}

// Leaves yields the JSON pointer and value of each leaf that a delta writes:
// scalars, arrays, {}, and null where it removes, in the order of the sorted
// keys.
func (v Value) Leaves() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		more := true
		v.leaves(func(path []byte, leaf Value) {
			more = more && yield(string(path), leaf)
		})
	}
}

// leaves calls yield with the JSON pointer and value of each leaf that a patch
// writes: scalars, arrays, nulls and {}, in the order of the sorted keys. An
// empty patch writes nothing. The path is valid during the call.
func (v Value) leaves(yield func(path []byte, leaf Value)) {
	room := pathPool.Get().(*[pathRoom]byte)
	defer pathPool.Put(room)
	v.leavesBelow(room[:0], yield)
}

// pathPool holds room for paths that are no longer, in bytes.
var pathPool = sync.Pool{New: func() any { return new([pathRoom]byte) }}

const pathRoom = 128

func (v Value) leavesBelow(path []byte, yield func(path []byte, leaf Value)) {
	for _, m := range v.members {
		below := append(append(path, '/'), pointerEscape(m.key)...)
		if m.value.kind == valueObject && len(m.value.members) > 0 {
			m.value.leavesBelow(below, yield)
		} else {
			yield(below, m.value)
		}
	}
}
