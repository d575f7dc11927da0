package chain

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"
)

// A state as the store keeps it, under its subject; FORMAT.md has its bytes.

// stateVersion is what is written. In version 1 the status of an authority was one text.
const stateVersion = 2

// The flags of a state.
const (
	stateStale = 1
	stateLags  = 2 // it may lack updates: see statelag.go; DecodeState does not take it
)

// Append writes the state for DecodeState.
func (s *State) Append(dst []byte) []byte {
	dst = append(dst, stateVersion, 0)
	if s.stale {
		dst[len(dst)-1] = stateStale
	}
	dst = binary.AppendUvarint(dst, s.updates)
	dst = stateAppendValue(dst, s.status)
	dst = binary.AppendUvarint(dst, uint64(len(s.authorities)))
	for i := range s.authorities {
		a := &s.authorities[i]
		dst = stateAppendText(dst, a.name)
		dst = s.appendPart(dst, a.status)
	}
	dst = s.appendTips(dst)
	return s.appendLive(dst)
}

// appendPart writes the status of an authority member by member, for most of them are in
// the subject's status as they are.
func (s *State) appendPart(dst []byte, part Value) []byte {
	if stateSame(part, s.status) {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(part.members))+1)
	for _, m := range part.members {
		dst = stateAppendText(dst, m.key)
		if shown, ok := s.status.Get(m.key); ok && stateSame(shown, m.value) {
			dst = append(dst, 0)
		} else {
			dst = stateAppendValue(dst, m.value)
		}
	}
	return dst
}

func (s *State) appendTips(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.tips)))
	for i := range s.tips {
		t := &s.tips[i]
		dst = append(dst, t.id.Origin[:]...)
		dst = binary.AppendUvarint(dst, uint64(t.id.Seq))
		dst = binary.AppendUvarint(dst, uint64(t.hlc))
		dst = append(dst, t.hash[:]...)
		a, _ := s.authority(t.authority)
		dst = binary.AppendUvarint(dst, uint64(a))
		dst = binary.AppendUvarint(dst, uint64(t.hops))
	}
	for i := range s.tips {
		next := 0
		s.eachSeen(i, func(j int, seq Seq) {
			for ; next < j; next++ {
				if next != i {
					dst = append(dst, 0)
				}
			}
			if j != i {
				dst = binary.AppendUvarint(dst, uint64(s.tips[j].id.Seq-seq)+1)
			}
			next = j + 1
		})
		for ; next < len(s.tips); next++ {
			if next != i {
				dst = append(dst, 0)
			}
		}
	}
	return dst
}

func (s *State) appendLive(dst []byte) []byte {
	updates := s.liveUpdates()
	dst = binary.AppendUvarint(dst, uint64(len(updates)))
	for _, w := range updates {
		t, _ := s.tip(w.id.Origin)
		back := s.tips[t].id.Seq - w.id.Seq
		dst = binary.AppendUvarint(dst, uint64(t))
		dst = binary.AppendUvarint(dst, uint64(back))
		if back > 0 {
			dst = binary.AppendUvarint(dst, uint64(s.tips[t].hlc-w.hlc))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.live)))
	before := ""
	for i := range s.live {
		p := &s.live[i]
		shared := stateShared(before, p.path)
		before = p.path
		dst = binary.AppendUvarint(dst, uint64(shared))
		dst = stateAppendText(dst, p.path[shared:])
		dst = binary.AppendUvarint(dst, uint64(len(p.writes)))
		shown, ok := s.status.at(p.path)
		for _, w := range p.writes {
			place, _ := slices.BinarySearchFunc(updates, w.id, func(w liveWrite, id ID) int { return w.id.Compare(id) })
			dst = binary.AppendUvarint(dst, uint64(place))
			if ok && stateSame(shown, w.value) {
				dst = append(dst, 0)
			} else {
				dst = stateAppendValue(dst, w.value)
			}
		}
	}
	return dst
}

// liveUpdates are the updates with live writes, ascending by ID; of their
// writes it has any one.
func (s *State) liveUpdates() []liveWrite {
	var all []liveWrite
	for i := range s.live {
		for _, w := range s.live[i].writes {
			if n := len(all); n == 0 || all[n-1].id != w.id {
				all = append(all, w)
			}
		}
	}
	slices.SortFunc(all, func(a, b liveWrite) int { return a.id.Compare(b.id) })
	return slices.CompactFunc(all, func(a, b liveWrite) bool { return a.id == b.id })
}

// stateReader reads varints and texts. The first failure sticks: what is read
// after it is zero. Every length is checked against what is left before
// anything is made of it.
type stateReader struct {
	b   []byte
	err error
}

func (r *stateReader) fail(detail string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s, %d bytes before the end: %w", detail, len(r.b), ErrCorrupt)
	}
}

func (r *stateReader) end() error {
	if len(r.b) > 0 {
		r.fail("bytes too many")
	}
	return r.err
}

func (r *stateReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || (n > 1 && r.b[n-1] == 0) {
		r.fail("number is cut off or not in its shortest form")
	}
	if r.err != nil {
		return 0
	}
	r.b = r.b[n:]
	return v
}

// most reads a number that is at most v.
func (r *stateReader) most(v uint64) uint64 {
	n := r.uvarint()
	if n > v {
		r.fail("number is too large")
		return 0
	}
	return n
}

// count reads how many items of at least size bytes each follow.
func (r *stateReader) count(size int) int { return int(r.most(uint64(len(r.b) / size))) }

func (r *stateReader) take(n int) []byte {
	if len(r.b) < n {
		r.fail("ends early")
	}
	if r.err != nil {
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *stateReader) text() []byte { return r.take(r.count(1)) }

func (r *stateReader) origin() (o Origin) {
	copy(o[:], r.take(len(o)))
	return o
}

func (r *stateReader) hash() (h Hash) {
	copy(h[:], r.take(len(h)))
	return h
}

// value reads canonical JSON, or what stands for an empty text, which is not
// written out.
func (r *stateReader) value(shown Value, shows bool) Value {
	b := r.text()
	if r.err != nil {
		return Value{}
	}
	if len(b) == 0 {
		if !shows {
			r.fail("value refers to nothing")
		}
		return shown
	}
	v, err := valueParse(b, true)
	if err != nil {
		r.fail(err.Error())
		return Value{}
	}
	if shows && stateSame(shown, v) {
		r.fail("value should refer to the status")
	}
	return v
}

func stateAppendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func stateAppendValue(dst []byte, v Value) []byte {
	// One byte is kept for the length, which is nearly always enough.
	at := len(dst)
	dst = v.Append(append(dst, 0))
	n := len(dst) - at - 1
	if n < 1<<7 {
		dst[at] = byte(n)
		return dst
	}
	var length [binary.MaxVarintLen64]byte
	more := binary.PutUvarint(length[:], uint64(n))
	dst = append(dst, length[:more-1]...)
	copy(dst[at+more:], dst[at+1:at+1+n])
	copy(dst[at:], length[:more])
	return dst
}

// stateSame reports whether two values have one text.
func stateSame(v, w Value) bool {
	if v.same(w) {
		return true
	}
	if v.kind != valueObject || w.kind != valueObject || len(v.members) != len(w.members) {
		return false
	}
	for i := range v.members {
		if v.members[i].key != w.members[i].key || !stateSame(v.members[i].value, w.members[i].value) {
			return false
		}
	}
	return true
}

// stateShared is how many bytes two paths begin with alike.
func stateShared(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// statePointer reports whether a path is a JSON pointer in UTF-8 to something
// below the top.
func statePointer(path string) bool {
	if path == "" || path[0] != '/' || !utf8.ValidString(path) {
		return false
	}
	for i := range len(path) {
		if path[i] == '~' && (i+1 == len(path) || (path[i+1] != '0' && path[i+1] != '1')) {
			return false
		}
	}
	return true
}
