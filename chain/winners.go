package chain

import (
	"cmp"
	"fmt"
	"slices"
)

// Winner is a leaf of a status and the update that it is from.
type Winner struct {
	Path      string // JSON pointer
	Value     Value
	ID        ID
	HLC       HLC
	Authority string
}

// Winners tells for each leaf of a subject's status which of its updates, in
// stitched order, won it: the last that wrote it. A {} is from the update that
// made it, or that took away its last member. They are ascending by path. Its
// errors are those of updates, or wrap ErrDelta.
func Winners(updates Stitched) ([]Winner, error) {
	root := &winnerNode{members: map[string]*winnerNode{}}
	var failed error
	last := Stamp{}
	updates(func(u *Update, authority string, err error) bool {
		if failed = err; failed != nil {
			return false
		}
		if u.Stamp().Compare(last) <= 0 {
			failed = fmt.Errorf("%s after %s: %w", u.ID, last.ID, errStateOrder)
			return false
		}
		last = u.Stamp()
		var delta Value
		if delta, failed = stateDelta(u); failed == nil {
			root.merge(delta, &Winner{ID: u.ID, HLC: u.HLC, Authority: authority})
		}
		return failed == nil
	})
	if failed != nil {
		return nil, failed
	}
	var out []Winner
	for key, m := range root.members {
		out = m.leaves(out, "/"+pointerEscape(key))
	}
	slices.SortFunc(out, func(a, b Winner) int { return cmp.Compare(a.Path, b.Path) })
	return out, nil
}

// winnerNode is a value of the status with whom it is from.
type winnerNode struct {
	members map[string]*winnerNode // nil for a leaf
	value   Value                  // of a leaf
	by      *Winner
}

// merge applies a patch that is an object.
func (n *winnerNode) merge(patch Value, by *Winner) {
	for _, m := range patch.members {
		if m.value.IsNull() {
			if _, ok := n.members[m.key]; ok {
				delete(n.members, m.key)
				n.by = by
			}
			continue
		}
		member := n.members[m.key]
		switch {
		case !m.value.IsObject():
			n.members[m.key] = &winnerNode{value: m.value, by: by}
			continue
		case member == nil || member.members == nil:
			member = &winnerNode{members: map[string]*winnerNode{}, by: by}
			n.members[m.key] = member
		case m.value.IsEmpty():
			member.by = by
		}
		member.merge(m.value, by)
	}
}

// leaves appends the leaves at and below a path.
func (n *winnerNode) leaves(out []Winner, path string) []Winner {
	if len(n.members) == 0 {
		w := *n.by
		w.Path, w.Value = path, n.value
		if n.members != nil {
			w.Value = valueEmpty
		}
		return append(out, w)
	}
	for key, m := range n.members {
		out = m.leaves(out, path+"/"+pointerEscape(key))
	}
	return out
}
