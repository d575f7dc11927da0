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

func (c Context) find(o Origin) (int, bool) {
	return slices.BinarySearchFunc(c, o, func(id ID, o Origin) int { return id.Origin.Compare(o) })
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
	switch {
	case c.includes(other):
		return c
	case other.includes(c):
		return other
	}
	out := make(Context, 0, len(c)+len(other))
	for len(c) > 0 && len(other) > 0 {
		switch o := c[0].Origin.Compare(other[0].Origin); {
		case o < 0:
			out, c = append(out, c[0]), c[1:]
		case o > 0:
			out, other = append(out, other[0]), other[1:]
		default:
			out = append(out, ID{c[0].Origin, max(c[0].Seq, other[0].Seq)})
			c, other = c[1:], other[1:]
		}
	}
	return append(append(out, c...), other...)
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
	if news > 0 {
		e.other = make(Context, 0, news)
	}
	for _, id := range ctx {
		if id.Origin != u.ID.Origin && (hops == 0 || !own.context.Covers(id)) {
			e.other = append(e.other, id)
		}
	}
	return e
}

// contextNews is how many IDs are stored of the context of u, and after how many
// hops it is whole, 0 where it is stored whole.
func contextNews(u *Update, ctx Context, own *stateTip) (news, hops int) {
	others := 0
	for _, id := range ctx {
		if id.Origin == u.ID.Origin {
			continue
		}
		others++
		if own != nil && !own.context.Covers(id) {
			news++
		}
	}
	if own == nil || own.hops >= contextHops || news >= len(ctx)-1 {
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
