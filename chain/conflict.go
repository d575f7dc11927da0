package chain

import (
	"cmp"
	"slices"
	"strings"
)

// Conflict is a set of writes that had not seen each other and cannot all
// hold: to one path with different values, or to a path with a value that is
// no object and to paths below it. It is listed once, under the topmost of
// these paths.
type Conflict struct {
	Path   string          // JSON pointer
	Writes []ConflictWrite // in reverse stitched order, so the one that the status shows is first
}

// ConflictWrite is what one update wrote. Where it wrote below the conflict's
// path, Value is the merge patch that it is to that path: an object, in which
// null removes.
type ConflictWrite struct {
	Value     Value
	Deleted   bool // the path itself was removed, Value is null
	ID        ID
	HLC       HLC
	Authority string
}

// livePath holds the writes to one path that are live: no other write at, above
// or below it had seen them. There is at most one of each origin.
type livePath struct {
	path   string      // JSON pointer
	writes []liveWrite // ascending by ID
}

// liveWrite is a leaf of a delta: a scalar, an array, {}, or null to remove.
type liveWrite struct {
	id    ID
	hlc   HLC
	value Value
}

// write takes the leaves of an update: what of the writes at, above and below
// them it had seen is live no longer. As updates come in causal order, none
// that is here has seen this one. An empty delta is no write.
func (s *State) write(u *Update, delta Value, ctx Context) {
	var added []livePath
	emptied := false
	drop := func(i int) {
		p := &s.live[i]
		p.writes = slices.DeleteFunc(p.writes, func(w liveWrite) bool { return ctx.Covers(w.id) })
		emptied = emptied || len(p.writes) == 0
	}
	delta.leaves(func(path []byte, leaf Value) {
		w := liveWrite{u.ID, u.HLC, leaf}
		name := s.pathOf(path)
		s.eachAbove(name, drop)
		at, end := s.below(name)
		for i := at; i < end; i++ {
			drop(i)
		}
		if i, ok := s.livePath(name); ok {
			drop(i)
			p := &s.live[i]
			place, _ := slices.BinarySearchFunc(p.writes, w.id, func(w liveWrite, id ID) int { return w.id.Compare(id) })
			p.writes = slices.Insert(p.writes, place, w)
			return
		}
		added = append(added, livePath{name, []liveWrite{w}})
	})
	if emptied {
		s.live = slices.DeleteFunc(s.live, func(p livePath) bool { return len(p.writes) == 0 })
	}
	if len(added) == 1 {
		i, _ := s.livePath(added[0].path)
		s.live = slices.Insert(s.live, i, added[0])
	} else if len(added) > 1 {
		s.live = append(s.live, added...)
		slices.SortFunc(s.live, func(a, b livePath) int { return cmp.Compare(a.path, b.path) })
	}
}

// pathOf is the path as a string: that of a live path where there is one.
func (s *State) pathOf(path []byte) string {
	from, to := 0, len(s.live)
	for from < to {
		mid := int(uint(from+to) >> 1)
		switch p := s.live[mid].path; {
		case p == string(path):
			return p
		case p < string(path):
			from = mid + 1
		default:
			to = mid
		}
	}
	return string(path)
}

func (s *State) livePath(path string) (int, bool) {
	return slices.BinarySearchFunc(s.live, path, func(p livePath, path string) int { return cmp.Compare(p.path, path) })
}

// below is the range of live paths that are below a path. In byte order they
// are side by side, though others may come between the path and them.
func (s *State) below(path string) (from, to int) {
	at := func(end byte) int {
		i, _ := slices.BinarySearchFunc(s.live, path, func(p livePath, path string) int {
			n := min(len(p.path), len(path))
			if c := cmp.Compare(p.path[:n], path[:n]); c != 0 {
				return c
			}
			if len(p.path) <= n || p.path[n] < end {
				return -1
			}
			return 1
		})
		return i
	}
	if from = at('/'); from == len(s.live) || !pointerAbove(path, s.live[from].path) {
		return from, from // as nearly always
	}
	return from, at('/' + 1)
}

// eachAbove calls yield for the live paths above a path, the topmost first.
func (s *State) eachAbove(path string, yield func(i int)) {
	for end := 1; ; end++ {
		next := strings.IndexByte(path[end:], '/')
		if next < 0 {
			return
		}
		end += next
		if i, ok := s.livePath(path[:end]); ok {
			yield(i)
		}
	}
}

// Conflicts are the open conflicts, ascending by path.
func (s *State) Conflicts() []Conflict {
	var out []Conflict
	s.eachConflict(func(i, from, to int) {
		out = append(out, s.conflict(i, from, to))
	})
	return out
}

// eachConflict calls yield with the topmost live path of each conflict and the
// range of the live paths below it.
//
// A write that is no object conflicts with each write below it, and writes to
// one path differ only if one of them is no object. So all that is below the
// topmost such path belongs to one conflict, and nothing else does.
func (s *State) eachConflict(yield func(i, from, to int)) {
	if !s.contested() {
		return
	}
	for i := range s.live {
		writes := s.live[i].writes
		if !slices.ContainsFunc(writes, isBlunt) {
			continue
		}
		inside := false
		s.eachAbove(s.live[i].path, func(j int) {
			inside = inside || slices.ContainsFunc(s.live[j].writes, isBlunt)
		})
		if inside {
			continue
		}
		from, to := s.below(s.live[i].path)
		differ := slices.ContainsFunc(writes[1:], func(w liveWrite) bool { return !w.value.Equal(writes[0].value) })
		if differ || from < to {
			yield(i, from, to)
		}
	}
}

// isBlunt reports whether a write leaves no place for what is below its path.
func isBlunt(w liveWrite) bool { return !w.value.IsObject() }

// contested reports whether live writes are of more than one origin. Writes of
// one have seen each other.
func (s *State) contested() bool {
	for i := range s.live {
		for _, w := range s.live[i].writes {
			if w.id.Origin != s.live[0].writes[0].id.Origin {
				return true
			}
		}
	}
	return false
}

// conflict lists the writes to a live path and to the range below it.
func (s *State) conflict(i, from, to int) Conflict {
	c := Conflict{Path: s.live[i].path}
	for _, w := range s.live[i].writes {
		c.Writes = append(c.Writes, s.conflictWrite(w, w.value))
	}
	places := map[ID]int{} // in c.Writes, of those below
	for j := from; j < to; j++ {
		for _, w := range s.live[j].writes {
			patch := pointerWrap(s.live[j].path[len(c.Path):], w.value)
			if place, ok := places[w.id]; ok {
				c.Writes[place].Value = mergeUnion(c.Writes[place].Value, patch)
				continue
			}
			places[w.id] = len(c.Writes)
			c.Writes = append(c.Writes, s.conflictWrite(w, patch))
		}
	}
	slices.SortFunc(c.Writes, func(a, b ConflictWrite) int {
		return Stamp{b.HLC, b.ID}.Compare(Stamp{a.HLC, a.ID})
	})
	return c
}

func (s *State) conflictWrite(w liveWrite, patch Value) ConflictWrite {
	c := ConflictWrite{Value: patch, Deleted: patch.IsNull(), ID: w.id, HLC: w.hlc}
	if i, ok := s.tip(w.id.Origin); ok {
		c.Authority = s.tips[i].authority
	}
	return c
}

// touchesConflict reports whether a delta writes at, above or below a path of
// an open conflict.
func (s *State) touchesConflict(delta Value) bool {
	touches := false
	s.eachConflict(func(i, from, to int) {
		if touches {
			return
		}
		paths := append([]livePath{s.live[i]}, s.live[from:to]...)
		delta.leaves(func(path []byte, _ Value) {
			name := string(path)
			touches = touches || slices.ContainsFunc(paths, func(p livePath) bool {
				return name == p.path || pointerAbove(name, p.path) || pointerAbove(p.path, name)
			})
		})
	})
	return touches
}
