package chain

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// State is what is kept of a subject beside its updates: its status, the
// status by each authority, the newest update of each origin, and the writes
// that no other has seen. It takes updates in any causal order; with equal sets
// of updates, everything that it tells is equal. It grows with the number of
// origins and of paths ever written, not with that of updates. A State is not
// safe for concurrent use.
type State struct {
	subject     string
	updates     uint64
	stale       bool  // status and authorities miss updates
	late        Stamp // of a stale state: the first that they miss
	status      Value
	authorities []stateAuthority // ascending by name; each has a tip
	tips        []stateTip       // ascending by origin
	live        []livePath       // ascending by path
	points      []foldPoint      // ascending, to fold anew from; not kept in the store
}

type stateAuthority struct {
	name   string
	status Value
}

// stateTip is the newest update of one origin on the subject.
type stateTip struct {
	tip
	hash      Hash
	authority string
	hops      int  // of the context as the index keeps it
	before    *tip // the one that it took the place of, if that is known; not kept in the store
}

// tip is what has to be known of an update that others depend on.
type tip struct {
	id      ID
	hlc     HLC
	context Context
}

func (t *tip) stamp() Stamp { return Stamp{t.hlc, t.id} }

// NewState is the state of a subject without updates.
func NewState(subject string) *State { return &State{subject: subject, status: valueEmpty} }

// Subject is what the state is about.
func (s *State) Subject() string { return s.subject }

// Updates is the number of updates.
func (s *State) Updates() uint64 { return s.updates }

// Status is the fold of all deltas in stitched order.
func (s *State) Status() Value { return s.status }

// StatusOf is the fold of an authority's own deltas in stitched order; {} and
// false if it never wrote the subject. A stale state has none that counts.
func (s *State) StatusOf(authority string) (Value, bool) {
	if i, ok := s.authority(authority); ok {
		return s.authorities[i].status, true
	}
	return valueEmpty, false
}

// part is the same without asking whether it ever wrote.
func (s *State) part(authority string) Value {
	v, _ := s.StatusOf(authority)
	return v
}

// Empty reports whether the status is {}: nothing is said of the subject any
// more.
func (s *State) Empty() bool { return s.status.IsEmpty() }

// Stale reports whether an update came that does not belong last, and whose place
// matters, so that the status waits for a Refold.
func (s *State) Stale() bool { return s.stale }

// Last is the stamp of the update that is last in stitched order, zero for
// none.
func (s *State) Last() (last Stamp) {
	for i := range s.tips {
		if at := s.tips[i].stamp(); at.Compare(last) > 0 {
			last = at
		}
	}
	return last
}

// Newest is the stamp of an authority's last update in stitched order.
func (s *State) Newest(authority string) (newest Stamp, ok bool) {
	for i := range s.tips {
		if at := s.tips[i].stamp(); s.tips[i].authority == authority && at.Compare(newest) > 0 {
			newest, ok = at, true
		}
	}
	return newest, ok
}

// Authorities are the names of those that wrote the subject, ascending.
func (s *State) Authorities() []string {
	names := make([]string, len(s.authorities))
	for i := range s.authorities {
		names[i] = s.authorities[i].name
	}
	return names
}

// shared reports whether several chains write the subject.
func (s *State) shared() bool { return len(s.tips) > 1 }

// Clone is a copy that shares nothing that changes.
func (s *State) Clone() *State {
	c := *s
	c.authorities = slices.Clone(s.authorities)
	c.tips = slices.Clone(s.tips)
	c.points = slices.Clone(s.points)
	c.live = slices.Clone(s.live)
	for i := range c.live {
		c.live[i].writes = slices.Clone(c.live[i].writes)
	}
	return &c
}

func (s *State) tip(o Origin) (int, bool) {
	return slices.BinarySearchFunc(s.tips, o, func(t stateTip, o Origin) int { return t.id.Origin.Compare(o) })
}

// tipOf is an update if it is the newest of its origin, or the one before. While chains
// come one some way after another, as where a node catches up, what has seen one of them
// has often seen that one, and else would have it read from the store.
func (s *State) tipOf(id ID) (*tip, bool) {
	i, ok := s.tip(id.Origin)
	if !ok {
		return nil, false
	}
	switch t := &s.tips[i]; {
	case t.id == id:
		return &t.tip, true
	case t.before != nil && t.before.id == id:
		return t.before, true
	}
	return nil, false
}

func (s *State) authority(name string) (int, bool) {
	return slices.BinarySearchFunc(s.authorities, name, func(a stateAuthority, name string) int { return cmp.Compare(a.name, name) })
}

// errStateOrder is wrapped when an update cannot come next.
var errStateOrder = errors.New("update is out of order")

// follows checks that u comes after the own previous update.
func (s *State) follows(u *Update, own *stateTip) error {
	switch {
	case u.Kind != KindStatus:
		return fmt.Errorf("%s is of kind %s: %w", u.ID, u.Kind, errStateOrder)
	case u.Subject != s.subject:
		return fmt.Errorf("%s is of %q, not %q: %w", u.ID, clip(u.Subject), clip(s.subject), errStateOrder)
	case own != nil && (u.ID.Seq <= own.id.Seq || u.HLC <= own.hlc):
		return fmt.Errorf("%s at %s after %s at %s: %w", u.ID, u.HLC, own.id, own.hlc, errStateOrder)
	}
	return nil
}

// Unchanged reports whether a delta that an authority is about to publish, and
// that would come last, alters neither the authority's own status nor the
// subject's, and writes nothing at, above or below a path in conflict. A stale
// state cannot tell, and says no.
func (s *State) Unchanged(authority string, delta Value) bool {
	if s.stale || !delta.IsObject() {
		return false
	}
	own := s.part(authority)
	return Merge(own, delta).Equal(own) && Merge(s.status, delta).Equal(s.status) && !s.touchesConflict(delta)
}

// Add takes an update of the subject with its context, both from a chain of
// that authority, after all that it depends on. It reports whether the state is
// stale then: where the update is not last in stitched order, and what it writes has
// been touched since and not been written over, the status has to be folded anew. All
// else holds at once. On an error the state is as it was.
func (s *State) Add(u *Update, authority string, ctx Context) (stale bool, err error) {
	i, known := s.tip(u.ID.Origin)
	var own *stateTip
	if known {
		own = &s.tips[i]
		if own.authority != authority {
			return s.stale, fmt.Errorf("%s is by %q, but %s by %q: %w", u.ID, authority, own.id, own.authority, errStateOrder)
		}
	}
	if err := s.follows(u, own); err != nil {
		return s.stale, err
	}
	delta, err := stateDelta(u)
	if err != nil {
		return s.stale, err
	}
	switch {
	case !s.stale && u.Stamp().Compare(s.Last()) > 0:
		s.fold(authority, delta)
		s.notePoint(u.Stamp(), s.updates+1)
	case !s.stale && s.foldLate(u.Stamp(), authority, delta):
	default:
		if !s.stale || u.Stamp().Compare(s.late) < 0 {
			s.stale, s.late = true, u.Stamp()
		}
		s.fold(authority, valueEmpty) // it is one of the subject's authorities
	}
	t := stateTip{tip: tip{u.ID, u.HLC, ctx}, hash: u.Hash, authority: authority}
	_, t.hops = contextNews(u, ctx, own)
	switch {
	case !known:
		s.tips = slices.Insert(s.tips, i, t)
	case s.shared():
		before := own.tip
		t.before = &before
		s.tips[i] = t
	default:
		s.tips[i] = t
	}
	s.write(u, delta, ctx)
	s.updates++
	return s.stale, nil
}

func stateDelta(u *Update) (Value, error) {
	delta, err := ParseValue(u.Delta)
	if err == nil && !delta.IsObject() {
		err = fmt.Errorf("%w: not an object", ErrDelta)
	}
	if err != nil {
		return Value{}, fmt.Errorf("update %s: %w", u.ID, err)
	}
	return delta, nil
}

// fold applies the last delta in stitched order.
func (s *State) fold(authority string, delta Value) { s.merge(authority, delta, delta) }

// merge applies a delta to the status and one to that of an authority: the same, or parts
// of one.
func (s *State) merge(authority string, delta, part Value) {
	own := s.own(authority)
	alone := own.same(s.status) && len(delta.members) == len(part.members)
	s.status = Merge(s.status, delta)
	if alone {
		*own = s.status // one tree for both, where one authority is all there is
	} else {
		*own = Merge(*own, part)
	}
}

// own is where the status of an authority is kept, which is one of the subject's from
// then on.
func (s *State) own(authority string) *Value {
	i, ok := s.authority(authority)
	if !ok {
		s.authorities = slices.Insert(s.authorities, i, stateAuthority{authority, valueEmpty})
	}
	return &s.authorities[i].status
}

// ETag names the set of the subject's updates: equal sets have equal tags,
// everywhere. It is 32 lower-case hex digits. A chain's hash covers all before
// it, so the newest update of each origin tells the set.
func (s *State) ETag() string {
	h := sha256.New()
	buf := append(make([]byte, 0, 128), "tidings subject 1\x00"...)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(s.subject)))
	h.Write(append(buf, s.subject...))
	for i := range s.tips {
		t := &s.tips[i]
		buf = append(buf[:0], t.id.Origin[:]...)
		buf = binary.BigEndian.AppendUint64(buf, uint64(t.id.Seq))
		h.Write(append(buf, t.hash[:]...))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
