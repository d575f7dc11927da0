package chain

// Diff is the smallest JSON Merge Patch (RFC 7396) that turns one object into
// another: Merge(from, Diff(from, to)) equals to, and every leaf of the patch
// is needed for that. It is {} where they are equal already, whatever text
// their numbers have. A merge patch cannot store null, so a member of to that
// is null counts as absent, at any depth; nulls in arrays are kept, as arrays
// are replaced whole. An object that is gone is removed as one.
//
// Where from or to is no object, the patch is to itself.
func Diff(from, to Value) Value {
	if from.kind != valueObject || to.kind != valueObject {
		return mergeStrip(to)
	}
	return Value{kind: valueObject, members: diffMembers(from.members, to.members)}
}

// diffMembers is the patch's members, nil where there is nothing to change.
func diffMembers(from, to []valueMember) (out []valueMember) {
	for len(from) > 0 || len(to) > 0 {
		switch {
		case len(to) == 0 || len(from) > 0 && from[0].key < to[0].key:
			out = append(out, valueMember{key: from[0].key}) // null, which removes it
			from = from[1:]
		case len(from) == 0 || to[0].key < from[0].key:
			if to[0].value.kind != valueNull {
				out = append(out, valueMember{to[0].key, mergeStrip(to[0].value)})
			}
			to = to[1:]
		default:
			if v, changed := diffMember(from[0].value, to[0].value); changed {
				out = append(out, valueMember{to[0].key, v})
			}
			from, to = from[1:], to[1:]
		}
	}
	return out
}

func diffMember(from, to Value) (patch Value, changed bool) {
	switch {
	case from.kind == valueObject && to.kind == valueObject:
		members := diffMembers(from.members, to.members)
		return Value{kind: valueObject, members: members}, len(members) > 0
	case to.kind != valueNull && from.Equal(to):
		return Value{}, false
	}
	return mergeStrip(to), true
}
