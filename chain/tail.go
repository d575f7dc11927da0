package chain

import (
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/tidings-mesh/tidings/chain/wire"
)

// Tail is the end of a chain: what is needed to link the next update to it.
// Headers hold times and deps relative to it, so a chain is read, and
// written, through its tail from front to back. The zero value, with Origin
// set, is the end of a chain that has not begun. It is not safe for concurrent
// use.
type Tail struct {
	Head
	HLC HLC
	// Genesis is nil before seq 1.
	Genesis *Genesis

	// table holds the foreign origins that the chain has named, in the order
	// in which it introduced them, each with the seq that it named last.
	table []tableEntry
	index map[Origin]int
	// changed are the places in table that changed since they were kept last,
	// each once.
	changed []int
}

type tableEntry struct {
	origin  Origin
	last    Seq
	changed bool // it stands in Tail.changed
}

// A header's form is its kind and what the header holds besides.
const (
	formDeps     = 1 << 0
	formReaction = 1 << 1
	formKey      = 1 << 2
	formFlags    = formDeps | formReaction | formKey
	formKind     = 3 // shift of the kind

	maxHeader = 8 << 10 // bytes
)

// Next decodes the entry that follows the tail and moves the tail to it. On an
// error the tail stays where it was. The update's slices point into the entry.
// The entry's links and content are checked but its seal, which is the run's.
func (t *Tail) Next(e *Entry) (*Update, error) {
	u := &Update{ID: ID{t.Origin, t.Seq + 1}, Prev: t.Hash, Hash: e.Hash}
	d := newDecoder(e.Header)
	items := d.Array()
	form := d.Uint()
	if form>>formKind > 255 {
		d.Fail("kind %d", form>>formKind)
	}
	u.Kind = Kind(form >> formKind)
	u.HLC = d.hlc(t.HLC)
	var deps []tableEntry
	switch {
	case d.Err() != nil:
	case (u.Kind == KindGenesis) != (u.ID.Seq == 1):
		d.Fail("%s at seq %d", u.Kind, u.ID.Seq)
	case u.Kind == KindGenesis:
		if form != uint64(KindGenesis)<<formKind || items != 3 {
			d.Fail("genesis of form %d with %d items", form, items)
		}
	case u.Kind == KindStatus:
		deps = t.status(&d, u, items, form)
	default:
		d.Rest()
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("header of %s: %w", u.ID, err)
	}
	u.Delta = e.Body
	switch u.Kind {
	case KindGenesis:
		g, err := DecodeGenesis(u.Delta)
		if err != nil {
			return nil, fmt.Errorf("genesis of %s: %w", u.ID.Origin, err)
		}
		if OriginOf(g.Key) != t.Origin {
			return nil, fmt.Errorf("genesis of %s: %w", t.Origin, ErrKey)
		}
		t.Genesis = g
	case KindStatus:
		if err := CheckSubject(u.Subject); err != nil {
			return nil, fmt.Errorf("%s: %w", u.ID, err)
		}
		if e.checked {
			break
		}
		if err := CheckDelta(u.Delta); err != nil {
			return nil, fmt.Errorf("%s: %w", u.ID, err)
		}
	}
	t.move(u, deps)
	return u, nil
}

// hlc reads a time relative to the one before it.
func (d *decoder) hlc(prev HLC) HLC {
	ms, counter := d.Uint(), d.Uint()
	if ms > uint64(MaxMillis-prev.Millis()) || counter > 0xffff {
		d.Fail("time %d ms after %d, counter %d", ms, prev.Millis(), counter)
	}
	if d.Err() != nil {
		return 0
	}
	h := HLCOf(prev.Millis()+int64(ms)) | HLC(counter)
	if h <= prev {
		d.Fail("time %s is not above %s", h, prev)
	}
	return h
}

// status reads the rest of a status change's header, and returns the table's
// entries for its deps.
func (t *Tail) status(d *decoder, u *Update, items int, form uint64) []tableEntry {
	want := 4
	for _, flag := range []struct{ bit, items int }{{formDeps, 1}, {formReaction, 4}, {formKey, 1}} {
		if form&uint64(flag.bit) != 0 {
			want += flag.items
		}
	}
	if items != want {
		d.Fail("status of form %d with %d items, want %d", form, items, want)
	}
	d.statusFields(u, form)
	if form&formReaction != 0 && d.Err() == nil && (u.Depth == 0 || u.Depth > MaxReactions || CheckHook(u.Hook) != nil) {
		d.Fail("reaction %q at depth %d", u.Hook, u.Depth)
	}
	if form&formKey != 0 && d.Err() == nil && u.Key.IsZero() {
		d.Fail("empty key")
	}
	var deps []tableEntry
	if form&formDeps != 0 {
		deps = t.deps(d, u)
	}
	if form&formReaction != 0 {
		at, own := d.Uint(), d.Uint()
		switch {
		case d.Err() != nil:
		case at < uint64(len(u.Deps)) && own == 0:
			u.Cause = u.Deps[at]
		case at == uint64(len(u.Deps)) && own > 0 && own < uint64(u.ID.Seq):
			u.Cause = ID{t.Origin, Seq(own)}
		default:
			d.Fail("cause %d, %d of %d deps", at, own, len(u.Deps))
		}
	}
	return deps
}

// statusFields reads the part of a status change's header that does not need
// its chain.
func (d *decoder) statusFields(u *Update, form uint64) {
	u.Subject = string(d.Bin(MaxSubject))
	if form&formKey != 0 {
		tag := d.BinLen(len(u.Key.Key) + len(u.Key.Content))
		copy(u.Key.Content[:], tag[min(len(tag), copy(u.Key.Key[:], tag)):])
	}
	if form&formReaction != 0 {
		u.Hook = string(d.Bin(MaxHook))
		depth := d.Uint()
		if depth > MaxReactions {
			d.Fail("reaction at depth %d", depth)
		}
		u.Depth = uint8(depth)
	}
}

// CheckHook says what is wrong with the name of a reaction.
func CheckHook(name string) error {
	if len(name) > MaxHook {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrName, len(name), MaxHook)
	}
	return CheckName(name)
}

// deps reads dependencies: for each the origin's place in the table and how
// far its seq is from the one that was named last; the place after the last
// introduces an origin, with its seq.
func (t *Tail) deps(d *decoder, u *Update) []tableEntry {
	items := d.Array()
	if d.Err() == nil && (items < 2 || items > 3*MaxDeps) {
		d.Fail("deps of %d items", items)
	}
	var entries []tableEntry
	next, before := len(t.table), -1 // places: of the next new origin, of the dep before
	for d.Err() == nil && items > 0 {
		place := int(min(d.Uint(), 1<<31))
		var e tableEntry
		switch {
		case d.Err() != nil:
			return nil
		case place == before:
			e = entries[len(entries)-1]
			e.last += d.zigzag()
			items -= 2
		case place < len(t.table):
			e = t.table[place]
			e.last += d.zigzag()
			items -= 2
		case place == next:
			copy(e.origin[:], d.BinLen(len(e.origin)))
			e.last = Seq(d.Uint())
			// Deps ascend, so one that this header introduced is the dep before.
			_, known := t.index[e.origin]
			if known || (len(entries) > 0 && entries[len(entries)-1].origin == e.origin) {
				d.Fail("origin %s introduced twice", e.origin)
			}
			next++
			items -= 3
		default:
			d.Fail("origin %d of %d", place, len(t.table))
		}
		id := ID{e.origin, e.last}
		if d.Err() == nil && (e.last == 0 || e.last > maxSeq || e.origin == t.Origin || len(u.Deps) == MaxDeps ||
			len(u.Deps) > 0 && u.Deps[len(u.Deps)-1].Compare(id) >= 0) {
			d.Fail("dep %s of %s: out of order, of range, or too many", id, u.ID)
		}
		u.Deps = append(u.Deps, id)
		entries = append(entries, e)
		before = place
	}
	if items != 0 {
		d.Fail("deps end within one")
	}
	return entries
}

func (d *decoder) zigzag() Seq {
	diff := d.Uint()
	return Seq(diff>>1 ^ -(diff & 1))
}

// move takes an update that was checked.
func (t *Tail) move(u *Update, deps []tableEntry) {
	for _, e := range deps {
		place, known := t.index[e.origin]
		if !known {
			place = len(t.table)
			t.table = append(t.table, tableEntry{origin: e.origin})
			if t.index == nil {
				t.index = map[Origin]int{}
			}
			t.index[e.origin] = place
		}
		at := &t.table[place]
		at.last = e.last
		if !at.changed {
			at.changed = true
			t.changed = append(t.changed, place)
		}
	}
	t.Seq, t.Hash, t.HLC = u.ID.Seq, u.Hash, u.HLC
}

// Extend encodes u as the entry that follows the tail, moves the tail to it,
// and completes u's ID, Prev and Hash. The caller has checked u: an update that
// Next would refuse must not be given.
func (t *Tail) Extend(u *Update) Entry {
	u.ID, u.Prev = ID{t.Origin, t.Seq + 1}, t.Hash
	h := make([]byte, 0, 32+len(u.Subject))
	form, items := int(u.Kind)<<formKind, 3
	if u.Kind == KindStatus {
		items++
		if len(u.Deps) > 0 {
			form, items = form|formDeps, items+1
		}
		if !u.Cause.IsZero() {
			form, items = form|formReaction, items+4
		}
		if !u.Key.IsZero() {
			form, items = form|formKey, items+1
		}
	}
	h = wire.AppendArray(h, items)
	h = wire.AppendUint(h, uint64(form))
	h = wire.AppendUint(h, uint64(u.HLC.Millis()-t.HLC.Millis()))
	h = wire.AppendUint(h, uint64(u.HLC.Counter()))
	var deps []tableEntry
	if u.Kind == KindStatus {
		h = wire.AppendBin(h, []byte(u.Subject))
		if !u.Key.IsZero() {
			h = wire.AppendBin(h, append(u.Key.Key[:], u.Key.Content[:]...))
		}
		if !u.Cause.IsZero() {
			h = wire.AppendBin(h, []byte(u.Hook))
			h = wire.AppendUint(h, uint64(u.Depth))
		}
		h, deps = t.appendDeps(h, u.Deps)
		h = t.appendCause(h, u)
	}
	if u.Kind == KindGenesis {
		// The body was made by AppendBody, so it reads back.
		t.Genesis, _ = DecodeGenesis(u.Delta)
	}
	u.Hash = HashUpdate(u.Prev, h, u.Delta)
	t.move(u, deps)
	return Entry{Header: h, Body: u.Delta, Hash: u.Hash}
}

func (t *Tail) appendDeps(h []byte, ids []ID) ([]byte, []tableEntry) {
	if len(ids) == 0 {
		return h, nil
	}
	var items int
	var body []byte
	entries := make([]tableEntry, 0, len(ids))
	next, before := len(t.table), -1
	for i, id := range ids {
		place, known := t.index[id.Origin]
		var last Seq
		switch {
		case i > 0 && ids[i-1].Origin == id.Origin:
			place, last, known = before, ids[i-1].Seq, true
		case known:
			last = t.table[place].last
		default:
			place = next
			next++
		}
		body = wire.AppendUint(body, uint64(place))
		if known {
			diff := int64(id.Seq - last)
			body = wire.AppendUint(body, uint64(diff<<1^diff>>63))
			items += 2
		} else {
			body = wire.AppendBin(body, id.Origin[:])
			body = wire.AppendUint(body, uint64(id.Seq))
			items += 3
		}
		entries = append(entries, tableEntry{origin: id.Origin, last: id.Seq})
		before = place
	}
	return append(wire.AppendArray(h, items), body...), entries
}

// appendCause appends the cause as its place among the deps or, at the place
// after the last, as a seq of the own chain.
func (t *Tail) appendCause(h []byte, u *Update) []byte {
	if u.Cause.IsZero() {
		return h
	}
	at, own := len(u.Deps), uint64(u.Cause.Seq)
	if i := slices.Index(u.Deps, u.Cause); i >= 0 {
		at, own = i, 0
	}
	return wire.AppendUint(wire.AppendUint(h, uint64(at)), own)
}

// kept returns the places in the table that changed since it was called last,
// ascending. They are valid until the tail moves.
func (t *Tail) kept() []int {
	places := t.changed
	slices.Sort(places)
	for _, place := range places {
		t.table[place].changed = false
	}
	t.changed = t.changed[:0]
	return places
}

// Key is the chain's public key, nil before the genesis.
func (t *Tail) Key() ed25519.PublicKey {
	if t.Genesis == nil {
		return nil
	}
	return t.Genesis.Key
}

// Clone returns a tail that moves by itself.
func (t *Tail) Clone() *Tail {
	c := *t
	c.table, c.changed = slices.Clone(t.table), slices.Clone(t.changed)
	c.index = make(map[Origin]int, len(t.index))
	for i, e := range c.table {
		c.index[e.origin] = i
	}
	return &c
}
