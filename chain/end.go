package chain

import "slices"

// EndDelta is the delta by which an authority ends its part of a subject. It
// removes each field of the status that is by this authority, and with the last
// field of an object the object. What another authority has written over stays,
// for that is the other's by now. Once every authority has ended its part the
// status is {}, and the subject counts as ended. Where nothing is left to remove
// the delta is {}, which publishes nothing.
//
// The state must not be stale. Concurrent writes that it has not seen stay.
func EndDelta(s *State, authority string) []byte {
	patch, _ := s.ending(authority, "", s.status)
	return patch.Append(nil)
}

// ending is the patch that takes what is by an authority out of an object of the
// status, and whether that is all of the object.
func (s *State) ending(authority, path string, object Value) (patch Value, all bool) {
	patch, all = valueEmpty, true
	for _, m := range object.members {
		at := path + "/" + pointerEscape(m.key)
		var removal Value // null
		gone := false
		if m.value.IsObject() && !m.value.IsEmpty() {
			if removal, gone = s.ending(authority, at, m.value); gone {
				removal = Value{}
			}
		} else {
			gone = s.isBy(authority, at, m.value)
		}
		all = all && gone
		if gone || (removal.IsObject() && !removal.IsEmpty()) {
			patch.members = append(patch.members, valueMember{m.key, removal})
		}
	}
	return patch, all
}

// isBy reports whether a leaf of the status is by an authority: whether that made
// the last of the live writes there, and so the leaf. A leaf that has none, for
// what is live there was a removal or {} above it, is by those whose own status
// has it.
func (s *State) isBy(authority, path string, leaf Value) bool {
	if i, ok := s.livePath(path); ok {
		last := slices.MaxFunc(s.live[i].writes, func(a, b liveWrite) int {
			return Stamp{a.hlc, a.id}.Compare(Stamp{b.hlc, b.id})
		})
		if t, ok := s.tip(last.id.Origin); ok && last.value.Equal(leaf) {
			return s.tips[t].authority == authority
		}
	}
	i, ok := s.authority(authority)
	if !ok {
		return false
	}
	own, ok := s.authorities[i].status.at(path)
	return ok && (own.Equal(leaf) || own.IsObject() && leaf.IsObject())
}
