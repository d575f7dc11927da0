package chain

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// DecodeState reads what Append wrote, now or before the format changed. It takes only
// the one encoding of a state; its errors wrap ErrCorrupt. The state shares nothing with b.
func DecodeState(subject string, b []byte) (*State, error) {
	r := stateReader{b: b}
	s := &State{subject: subject}
	version := r.uvarint()
	if version == 0 || version > stateVersion {
		r.fail(fmt.Sprintf("version %d is unknown", version))
	}
	s.stale = r.most(1) == 1
	s.updates = r.uvarint()
	s.status = r.value(Value{}, false)
	if r.err == nil && !s.status.IsObject() {
		r.fail("status is no object")
	}
	s.readAuthorities(&r, version)
	s.readTips(&r)
	s.readContexts(&r)
	s.readLive(&r)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("state of %q: %w", clip(subject), err)
	}
	return s, nil
}

func (s *State) readAuthorities(r *stateReader, version uint64) {
	n := r.count(2)
	s.authorities = slices.Grow(s.authorities, n)
	for i := range n {
		a := stateAuthority{name: string(r.text())}
		if version == 1 {
			a.status = r.value(s.status, true)
			if r.err == nil && !a.status.IsObject() {
				r.fail("status of an authority is no object")
			}
		} else {
			a.status = s.readPart(r)
		}
		if i > 0 && s.authorities[i-1].name >= a.name {
			r.fail("authorities out of order")
		}
		if r.err != nil {
			return
		}
		s.authorities = append(s.authorities, a)
	}
}

// readPart reads the status of an authority.
func (s *State) readPart(r *stateReader) Value {
	n := r.most(uint64(len(r.b)/2) + 1)
	if n == 0 {
		return s.status
	}
	part := Value{kind: valueObject, members: make([]valueMember, n-1)}
	for i := range part.members {
		m := &part.members[i]
		m.key = string(r.text())
		if !utf8.ValidString(m.key) || i > 0 && part.members[i-1].key >= m.key {
			r.fail("members out of order")
		}
		m.value = r.value(s.status.Get(m.key))
		if r.err != nil {
			return Value{}
		}
	}
	if stateSame(part, s.status) {
		r.fail("status of an authority should refer to the subject's")
	}
	return part
}

func (s *State) readTips(r *stateReader) {
	n := r.count(len(Origin{}) + len(Hash{}) + 4)
	s.tips = slices.Grow(s.tips, n)
	wrote := make([]bool, len(s.authorities))
	for i := range n {
		var t stateTip
		t.id = ID{r.origin(), Seq(r.uvarint())}
		t.hlc = HLC(r.uvarint())
		t.hash = r.hash()
		a := r.uvarint()
		t.hops = int(r.most(contextHops))
		switch {
		case a >= uint64(len(wrote)):
			r.fail("tip of no authority")
		case t.id.Seq == 0 || (i > 0 && s.tips[i-1].id.Origin.Compare(t.id.Origin) >= 0):
			r.fail("tips out of order")
		}
		if r.err != nil {
			return
		}
		wrote[a] = true
		t.authority = s.authorities[a].name
		s.tips = append(s.tips, t)
	}
	if slices.Contains(wrote, false) {
		r.fail("authority without a tip")
	}
	if s.updates < uint64(len(s.tips)) {
		r.fail("more tips than updates")
	}
}

func (s *State) readContexts(r *stateReader) {
	seen := make(Context, 0, len(s.tips))
	for i := range s.tips {
		seen = seen[:0]
		for j := range s.tips {
			id := s.tips[j].id
			if j != i {
				back := r.most(uint64(id.Seq))
				if back == 0 {
					continue
				}
				id.Seq -= Seq(back - 1)
			}
			seen = append(seen, id)
		}
		if r.err != nil {
			return
		}
		s.tips[i].context = slices.Clone(seen)
	}
}

func (s *State) readLive(r *stateReader) {
	updates := s.readLiveUpdates(r)
	used := make([]bool, len(updates))
	n := r.count(5)
	s.live = slices.Grow(s.live, n)
	before := ""
	for range n {
		shared := int(r.most(uint64(len(before))))
		path := before[:shared] + string(r.text())
		if r.err != nil {
			return
		}
		if path <= before || stateShared(before, path) != shared || !statePointer(path) {
			r.fail("paths out of order")
			return
		}
		before = path
		writes := s.readWrites(r, path, updates, used)
		if r.err != nil {
			return
		}
		s.live = append(s.live, livePath{path, writes})
	}
	if slices.Contains(used, false) {
		r.fail("update without live writes")
	}
}

// readLiveUpdates reads the updates that live writes are of.
func (s *State) readLiveUpdates(r *stateReader) []liveWrite {
	n := r.count(2)
	updates := make([]liveWrite, 0, n)
	for i := range n {
		at := r.uvarint()
		if at >= uint64(len(s.tips)) {
			r.fail("live write of no tip")
			return nil
		}
		t := &s.tips[at]
		w := liveWrite{id: t.id, hlc: t.hlc}
		if back := r.most(uint64(t.id.Seq) - 1); back > 0 {
			w.id.Seq -= Seq(back)
			before := r.most(uint64(t.hlc))
			if before == 0 {
				r.fail("live write is not before its tip")
			}
			w.hlc -= HLC(before)
		}
		if i > 0 && updates[i-1].id.Compare(w.id) >= 0 {
			r.fail("updates out of order")
		}
		if r.err != nil {
			return nil
		}
		updates = append(updates, w)
	}
	return updates
}

func (s *State) readWrites(r *stateReader, path string, updates []liveWrite, used []bool) []liveWrite {
	n := r.count(2)
	if n == 0 {
		r.fail("path without writes")
		return nil
	}
	shown, shows := s.status.at(path)
	writes := make([]liveWrite, 0, n)
	last := -1
	for range n {
		at := r.uvarint()
		if at >= uint64(len(updates)) || int(at) <= last {
			r.fail("writes out of order")
			return nil
		}
		last = int(at)
		used[at] = true
		w := updates[at]
		w.value = r.value(shown, shows)
		if w.value.IsObject() && !w.value.IsEmpty() {
			r.fail("write is no leaf")
		}
		writes = append(writes, w)
	}
	return writes
}
