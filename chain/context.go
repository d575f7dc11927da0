package chain

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Context is a causal context on one subject: the updates of that subject that
// an update has seen, itself included. It names the newest one of each origin,
// ascending by origin, which stands for all earlier ones of that origin and
// for all that these had seen. A Context is immutable.
type Context []ID

// Covers reports whether an update of the subject has been seen.
func (c Context) Covers(id ID) bool { return id.Seq <= c.seq(id.Origin) }

// seq is the newest seq of an origin that has been seen, 0 for none.
func (c Context) seq(o Origin) Seq {
	if i, ok := c.find(o); ok {
		return c[i].Seq
	}
	return 0
}

// find is slices.BinarySearchFunc without a call for each comparison, which takes six
// times as long: every update that others depend on is looked for in a context.
func (c Context) find(o Origin) (int, bool) {
	from, to := 0, len(c)
	for from < to {
		mid := int(uint(from+to) >> 1)
		switch order := c[mid].Origin.Compare(o); {
		case order == 0:
			return mid, true
		case order < 0:
			from = mid + 1
		default:
			to = mid
		}
	}
	return from, false
}

// eachNew calls yield for each ID of c that has not been seen by old, but those of one
// origin.
func (c Context) eachNew(old Context, but Origin, yield func(ID)) {
	for _, id := range c {
		for len(old) > 0 && old[0].Origin.Compare(id.Origin) < 0 {
			old = old[1:]
		}
		if id.Origin != but && (len(old) == 0 || old[0].Origin != id.Origin || old[0].Seq < id.Seq) {
			yield(id)
		}
	}
}

// With is c with one more update.
func (c Context) With(id ID) Context {
	i, ok := c.find(id.Origin)
	switch {
	case !ok:
		out := make(Context, 0, len(c)+1)
		return append(append(append(out, c[:i]...), id), c[i:]...)
	case c[i].Seq >= id.Seq:
		return c
	}
	out := slices.Clone(c)
	out[i] = id
	return out
}

// Join is what has been seen by either. It is one of the two where that has
// seen all.
func (c Context) Join(other Context) Context {
	g := gathered{seen: c}
	g.add(other)
	return g.seen
}

// gathered is what several contexts have seen. It is copied once, where none of the first
// ones includes the others.
type gathered struct {
	seen   Context
	copied bool
}

func (g *gathered) add(other Context) {
	if !g.copied {
		switch {
		case g.seen.includes(other):
			return
		case other.includes(g.seen):
			g.seen = other
			return
		}
		g.seen, g.copied = append(make(Context, 0, max(len(g.seen), len(other))+1), g.seen...), true
	}
	i, fresh := 0, 0 // origins of other alone
	for _, id := range other {
		for i < len(g.seen) && g.seen[i].Origin != id.Origin && g.seen[i].Origin.Compare(id.Origin) < 0 {
			i++
		}
		if i < len(g.seen) && g.seen[i].Origin == id.Origin {
			g.seen[i].Seq = max(g.seen[i].Seq, id.Seq)
		} else {
			fresh++
		}
	}
	if fresh > 0 {
		g.insert(other, fresh)
	}
}

// insert adds the IDs of other whose origins are not there yet, of which there are so many,
// from the end on.
func (g *gathered) insert(other Context, fresh int) {
	from := len(g.seen) - 1
	g.seen = append(g.seen, other[:fresh]...) // room for so many
	for to, i := len(g.seen)-1, len(other)-1; i >= 0; to-- {
		switch {
		case from >= 0 && g.seen[from].Origin.Compare(other[i].Origin) > 0:
			g.seen[to] = g.seen[from]
			from--
		case from >= 0 && g.seen[from].Origin == other[i].Origin:
			g.seen[to] = g.seen[from]
			from--
			i--
		default:
			g.seen[to] = other[i]
			i--
		}
	}
}

// with is all of it and one more update. It takes no more then.
func (g *gathered) with(id ID) Context {
	if !g.copied {
		return g.seen.With(id)
	}
	g.add(Context{id})
	return g.seen
}

// includes reports whether c has seen all that other has.
func (c Context) includes(other Context) bool {
	if len(other) > len(c) {
		return false
	}
	for _, id := range other {
		for len(c) > 0 && c[0].Origin.Compare(id.Origin) < 0 {
			c = c[1:]
		}
		if len(c) == 0 || c[0].Origin != id.Origin || c[0].Seq < id.Seq {
			return false
		}
	}
	return true
}

// A context as the index of a subject keeps it; FORMAT.md has its bytes.

// contextHops is the most that has to be read after a stored context, one
// entry for each.
const contextHops = 15

// contextEntry is a stored context.
type contextEntry struct {
	hops  int
	prev  Stamp   // the own previous update, if hops > 0
	other Context // without the update itself
}

// contextEntryOf is how the context of u is stored, whose own previous update
// on the subject is own, nil for none. It is whole where that is no longer,
// and every 16th time.
func contextEntryOf(u *Update, ctx Context, own *stateTip) (e contextEntry) {
	news, hops := contextNews(u, ctx, own)
	if hops > 0 {
		e.hops, e.prev = hops, Stamp{own.hlc, own.id}
	}
	if news == 0 {
		return e
	}
	e.other = make(Context, 0, news)
	var old Context
	if hops > 0 {
		old = own.context
	}
	ctx.eachNew(old, u.ID.Origin, func(id ID) { e.other = append(e.other, id) })
	return e
}

// contextNews is how many IDs are stored of the context of u, which names u itself, and
// after how many hops it is whole, 0 where it is stored whole.
func contextNews(u *Update, ctx Context, own *stateTip) (news, hops int) {
	others := len(ctx) - 1 // the update itself is in it
	if own == nil || own.hops >= contextHops {
		return others, 0
	}
	ctx.eachNew(own.context, u.ID.Origin, func(ID) { news++ })
	if news >= others {
		return others, 0
	}
	return news, own.hops + 1
}

func (e *contextEntry) append(dst []byte, at Stamp) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.hops))
	if e.hops > 0 {
		dst = binary.AppendUvarint(dst, uint64(at.ID.Seq-e.prev.ID.Seq))
		dst = binary.AppendUvarint(dst, uint64(at.HLC-e.prev.HLC))
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.other)))
	for _, id := range e.other {
		dst = append(dst, id.Origin[:]...)
		dst = binary.AppendUvarint(dst, uint64(id.Seq))
	}
	return dst
}

func decodeContextEntry(at Stamp, b []byte) (contextEntry, error) {
	r := stateReader{b: b}
	var e contextEntry
	e.hops = int(r.most(contextHops))
	if e.hops > 0 {
		seq, hlc := r.uvarint(), r.uvarint()
		if seq == 0 || seq >= uint64(at.ID.Seq) || hlc == 0 || hlc >= uint64(at.HLC) {
			r.fail("own previous update is out of order")
		}
		e.prev = Stamp{at.HLC - HLC(hlc), ID{at.ID.Origin, at.ID.Seq - Seq(seq)}}
	}
	n := r.count(len(Origin{}) + 1)
	if n > 0 {
		e.other = make(Context, 0, n)
	}
	for i := range n {
		id := ID{r.origin(), Seq(r.uvarint())}
		if id.Seq == 0 || id.Origin == at.ID.Origin || (i > 0 && e.other[i-1].Origin.Compare(id.Origin) >= 0) {
			r.fail("origins out of order")
		}
		if r.err != nil {
			break
		}
		e.other = append(e.other, id)
	}
	if err := r.end(); err != nil {
		return contextEntry{}, fmt.Errorf("context of %s: %w", at.ID, err)
	}
	return e, nil
}

// ResolveContext reads the context of the update at a stamp from what the
// index of its subject keeps, at most 16 entries of it, which get returns. Its
// own errors wrap ErrCorrupt. Before an entry is removed, those that lean on it
// have to be made whole.
func ResolveContext(at Stamp, get func(Stamp) ([]byte, error)) (Context, error) {
	ctx := Context{at.ID}
	for hops := contextHops + 1; ; {
		b, err := get(at)
		if err != nil {
			return nil, err
		}
		e, err := decodeContextEntry(at, b)
		if err != nil {
			return nil, err
		}
		// Each entry leads to one with exactly one hop less, so this ends.
		if hops <= contextHops && e.hops != hops-1 {
			return nil, fmt.Errorf("context of %s: %d hops where %d are left: %w", at.ID, e.hops, hops-1, ErrCorrupt)
		}
		ctx = ctx.Join(e.other)
		if e.hops == 0 {
			return ctx, nil
		}
		hops, at = e.hops, e.prev
	}
}
