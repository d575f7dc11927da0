package svg

import (
	"strconv"
	"strings"

	"github.com/tidings-mesh/tidings/chain"
)

// Bounds of what is said of an update, in cells and in numbers.
const (
	maxAuthority = 18
	maxLine      = 92
	maxDelta     = 3            // lines
	deltaLine    = maxLine - 14 // of a delta; what follows its last line has the rest
	maxNames     = 3            // in a list of updates
	maxClashes   = 3            // lines
	maxHook      = 24
	maxPath      = 48
	maxTitle     = 400 // of the tooltip's delta
)

// line is a line of text in parts, each with the class of its style.
type line []part

type part struct{ class, text string }

func (l line) cells() int {
	n := 0
	for _, p := range l {
		n += cells(p.text)
	}
	return n
}

// with is the line with more parts.
func (l line) with(parts ...part) line { return append(l, parts...) }

// as is the line in one style.
func (l line) as(class string) line {
	for i := range l {
		l[i].class = class
	}
	return l
}

// clipped is the line within maxLine.
func (l line) clipped() line {
	room := maxLine
	for i := range l {
		n := cells(l[i].text)
		if n > room {
			l[i].text = clip(l[i].text, room)
			return l[:i+1]
		}
		room -= n
	}
	return l
}

// describe says what an update changed, what it answers and depends on beside
// what arrows show, and what it contradicts.
func (p *picture) describe(r *row) []line {
	lines := deltaLines(r.Delta)
	if p.heads[r.ID] {
		lines[0] = append(lines[0], part{"mu", "  ◂ head"})
	}
	if r.Hook != "" {
		lines = append(lines, line{{"hk", "↳ " + clip(r.Hook, maxHook)}, {"mu", " answers "}}.with(p.name(r.Cause)...).clipped())
	}
	var earlier, elsewhere []chain.ID
	for _, id := range r.Deps {
		if p.byID[id] != nil {
			continue
		}
		if _, ok := p.contexts[id]; ok {
			earlier = append(earlier, id)
		} else {
			elsewhere = append(elsewhere, id)
		}
	}
	if len(earlier) > 0 {
		lines = append(lines, line{{"", "after "}}.with(p.names(earlier)...).with(part{"", ", not drawn"}).as("mu").clipped())
	}
	if len(elsewhere) > 0 {
		lines = append(lines, line{{"", "after "}}.with(p.names(elsewhere)...).with(part{"", ", of another subject"}).as("mu").clipped())
	}
	return append(lines, p.clashLines(r)...)
}

// deltaLines are the leaves of a delta, as many as there is room for.
func deltaLines(delta []byte) []line {
	v, err := chain.ParseValue(delta)
	if err != nil || v.IsEmpty() {
		return []line{{{"mu", "nothing"}}}
	}
	lines, used, left := []line{nil}, 0, 0
	for path, leaf := range v.Leaves() {
		if left > 0 {
			left++
			continue
		}
		parts := leafParts(path, leaf)
		n := parts.cells()
		if used > 0 && used+2+n > deltaLine {
			if len(lines) == maxDelta {
				left++
				continue
			}
			lines, used = append(lines, nil), 0
		}
		if used > 0 {
			parts = append(line{{"", "  "}}, parts...)
			n += 2
		}
		last := &lines[len(lines)-1]
		*last = append(*last, parts...)
		used += n
	}
	if left > 0 {
		last := &lines[len(lines)-1]
		*last = append(*last, part{"mu", "  + " + strconv.Itoa(left) + " more"})
	}
	return lines
}

func leafParts(path string, leaf chain.Value) line {
	l := line{{"pa", clip(pathText(path), maxPath) + " "}}
	room := deltaLine - l.cells()
	if leaf.IsNull() {
		return append(l, part{"mu", "removed"})
	}
	return append(l, part{"", clip(leaf.String(), room)})
}

// pathText is a JSON pointer for people: the keys, with "/" between them.
func pathText(pointer string) string {
	if pointer == "" {
		return "(whole)"
	}
	return strings.TrimPrefix(pointer, "/")
}

// clashLines say which conflicts an update has come into, and which it settles.
func (p *picture) clashLines(r *row) []line {
	var lines []line
	joined := p.clashes.joined[r.ID]
	for i, j := range joined {
		if i == maxClashes {
			lines = append(lines, line{{"se", "and " + count(uint64(len(joined)-i), "conflict") + " more"}})
			break
		}
		path := part{"", clip(pathText(j.path), maxPath)}
		var l line
		class := "se"
		switch whole := j.whole(); {
		case !whole.settled.IsZero():
			l = line{{"", "conflict on "}, path, {"", ", settled by "}}.with(p.name(whole.settled)...).with(part{"", ", with "})
		case whole.members[r.ID]:
			class = "op"
			l = line{{"", "open conflict on "}, path, {"", " with "}}
		default:
			l = line{{"", "conflict on "}, path, {"", ", written over since, with "}}
		}
		lines = append(lines, l.with(p.names(j.with)...).as(class).clipped())
	}
	if paths := p.clashes.settles[r.ID]; len(paths) > 0 {
		l := line{{"", "settles the conflict on "}, {"", clip(pathText(paths[0]), maxPath)}}
		if more := len(paths) - 1; more > 0 {
			l = l.with(part{"", " and " + strconv.Itoa(more) + " more"})
		}
		lines = append(lines, l.as("ok").clipped())
	}
	return lines
}

// names are updates in a line, the first few of them.
func (p *picture) names(ids []chain.ID) (parts []part) {
	for i, id := range ids {
		if i == maxNames {
			return append(parts, part{"", " and " + strconv.Itoa(len(ids)-i) + " more"})
		}
		if i > 0 {
			parts = append(parts, part{"", ", "})
		}
		parts = append(parts, p.name(id)...)
	}
	return parts
}

// name is a short name of an update: with its authority, where its chain is drawn.
func (p *picture) name(id chain.ID) []part {
	if col := p.byOrigin[id.Origin]; col != nil {
		return []part{{"", clip(col.authority, maxAuthority)}, {"", " " + p.short(id)}}
	}
	return []part{{"", p.short(id)}}
}

// short is an update's ID with the beginning of its origin.
func (p *picture) short(id chain.ID) string {
	return id.Origin.String()[:p.prefix] + "…." + id.Seq.String()
}
