package chain

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// The state of a subject that several authorities write has all that each of them said,
// and would be written whole for one update of one of them. So a state that is large, of
// however many authorities, and written to often lags: for some batches the store gets
// beside it which updates it lacks, and who reads the state adds these. FORMAT.md has the
// bytes.
const (
	// lagFrom is how large a state is that lags, in bytes. A smaller one costs a batch
	// little more than what it lacks would.
	lagFrom = 1 << 10
	// lagAfter is after how many batches that wrote a state since it was read the next one
	// has it lag from then on. Where more states are written than are kept decoded, one is
	// likely to be read again for its next update, and to read all that it lacks with it
	// would take longer than writing it does.
	lagAfter = 3
	// lagMost and lagEach bound what a reader has to add: a state lacks so many updates at
	// most, whose deltas, each with so many bytes more, are together no longer than it is.
	// Their records also name what they depend on, and their index what they had seen.
	lagMost = 32
	lagEach = 128
)

// storedState is what the store has of a state.
type storedState struct {
	size   int      // bytes of its encoding
	tips   int      // how many it has
	firsts []Origin // whose first update of the subject it lacks, as they are stored
	lags   bool     // what it lacks is beside it
	lacks  []byte   // these updates, as they are stored
	count  int      // how many
	bytes  int      // of these, as lagEach has it
	writes int      // batches that wrote the state since it was read
}

// writeState writes a state, or what the store's lacks of it.
func (l *Ledger) writeState(s *stagedState) {
	subject, t := s.state.Subject(), &s.stored
	t.writes++
	lags := t.writes > l.lagAfter
	if !lags || s.refolded || s.rebuilt || !t.lag(s.state, s.added, s.firsts) {
		l.key, l.value = appendSubjectKey(l.key[:0], keyState, subject), s.state.Append(l.value[:0])
		*t = storedState{size: len(l.value), tips: len(s.state.tips), writes: t.writes}
		if t.lags = lags && t.size >= l.lagFrom; t.lags {
			l.value[1] |= stateLags // it lacks nothing yet
		}
		l.tx.batch.Set(l.key, l.value)
	}
	if t.lags {
		l.key = appendSubjectKey(l.key[:0], keyLag, subject)
		l.tx.batch.Set(l.key, t.lacks)
	}
}

// lag has the stored state lack updates that were added to s in this order, some of them
// the firsts of their origins. It reports false, and does nothing, if the state has to be
// written.
func (t *storedState) lag(s *State, added []*Update, firsts []ID) bool {
	if !t.lags || t.count+len(added) > lagMost {
		return false
	}
	bytes := t.bytes
	for _, u := range added {
		bytes += lagEach + len(u.Delta)
	}
	if bytes > t.size {
		return false
	}
	for _, id := range firsts {
		t.firsts = append(t.firsts, id.Origin)
	}
	for _, u := range added {
		t.lacks = binary.AppendUvarint(t.lacks, uint64(t.place(s, u.ID.Origin)))
		if len(firsts) > 0 && firsts[0] == u.ID {
			firsts = firsts[1:]
			i, _ := s.tip(u.ID.Origin)
			t.lacks = append(t.lacks, u.ID.Origin[:]...)
			t.lacks = stateAppendText(t.lacks, s.tips[i].authority)
		}
		t.lacks = binary.AppendUvarint(t.lacks, uint64(u.ID.Seq))
	}
	t.count, t.bytes = t.count+len(added), bytes
	return true
}

// place is that of an origin among the tips of the stored state and, behind them, those
// whose firsts it lacks. s has a tip of all of them.
func (t *storedState) place(s *State, o Origin) int {
	if i := slices.Index(t.firsts, o); i >= 0 {
		return t.tips + i
	}
	place, _ := s.tip(o)
	for _, first := range t.firsts {
		if first.Compare(o) < 0 {
			place--
		}
	}
	return place
}

// storedLags reports whether a stored state may lack updates, as none of version 1 does.
func storedLags(b []byte) bool {
	return len(b) > 1 && b[0] > 1 && b[1]&stateLags != 0
}

// readState reads the state of a subject, nil if there is none, and what the store has
// of it.
func readState(store Reader, subject string) (*State, storedState, error) {
	b, err := store.Get(appendSubjectKey(nil, keyState, subject))
	if err != nil || b == nil {
		return nil, storedState{}, err
	}
	if storedLags(b) {
		return readLagging(store, subject)
	}
	s, err := DecodeState(subject, b)
	if err != nil {
		return nil, storedState{}, err
	}
	return s, storedState{size: len(b), tips: len(s.tips)}, nil
}

// readLagging reads a state, nil if there is none, and what it lacks, all as of one moment:
// the next batch may write the state, and one that takes updates back also what others had
// seen.
func readLagging(store Reader, subject string) (s *State, t storedState, err error) {
	// From the index to the updates there are also the states and what they lack.
	r := lagReader{it: store.Scan([]byte{keyIndex}, []byte{keyUpdate + 1}), subject: subject}
	b := r.get(appendSubjectKey(nil, keyState, subject))
	if b != nil {
		if t = (storedState{size: len(b), lags: storedLags(b)}); t.lags {
			b[1] &^= stateLags
		}
		if s, err = DecodeState(subject, b); err == nil {
			t.tips = len(s.tips)
		}
	}
	if err == nil && t.lags {
		err = r.catchUp(s, &t)
	}
	if failed := r.it.Close(); failed != nil {
		err = failed // and what could not be read looked as if it were not there
	}
	if err != nil {
		return nil, storedState{}, err
	}
	return s, t, nil
}

// lagReader reads what belongs to a state that lags.
type lagReader struct {
	it      Iterator
	subject string
}

// get returns a copy of the value of a key, nil if there is none.
func (r *lagReader) get(key []byte) []byte {
	if !r.it.SeekGE(key) || !bytes.Equal(r.it.Key(), key) {
		return nil
	}
	return append([]byte{}, r.it.Value()...)
}

// catchUp adds to a state what it lacks.
func (r *lagReader) catchUp(s *State, t *storedState) error {
	if t.lacks = r.get(appendSubjectKey(nil, keyLag, r.subject)); t.lacks == nil {
		return r.corrupt("is not there")
	}
	origins := make([]Origin, len(s.tips)) // by place
	for i := range s.tips {
		origins[i] = s.tips[i].id.Origin
	}
	for list := (stateReader{b: t.lacks}); len(list.b) > 0; t.count++ {
		place := list.uvarint()
		var authority string
		switch n := uint64(len(origins)); {
		case place == n:
			first := list.origin()
			if _, ok := s.tip(first); ok {
				list.fail("first update of one that has some")
			}
			origins, t.firsts, authority = append(origins, first), append(t.firsts, first), string(list.text())
		case place > n:
			list.fail("update of no tip")
		}
		seq := Seq(list.uvarint())
		if list.err != nil {
			return r.corrupt(list.err.Error())
		}
		var own *stateTip
		if i, ok := s.tip(origins[place]); ok {
			own, authority = &s.tips[i], s.tips[i].authority
		}
		u, ctx, err := r.update(ID{origins[place], seq}, own)
		if err != nil {
			return err
		}
		t.bytes += lagEach + len(u.Delta)
		if stale, err := s.Add(u, authority, ctx); err != nil {
			return r.corrupt(err.Error())
		} else if stale {
			return r.corrupt(fmt.Sprintf("%s has to be folded in", u.ID))
		}
	}
	return nil
}

// update reads an update with its context, whose origin's newest update of the subject
// before it is own, nil for none.
func (r *lagReader) update(id ID, own *stateTip) (*Update, Context, error) {
	b := r.get(appendUpdateKey(nil, id))
	if b == nil {
		return nil, nil, r.corrupt(fmt.Sprintf("%s is not there", id))
	}
	rec, err := decodeRecord(id, b)
	if err != nil {
		return nil, nil, err
	}
	u, err := rec.update(id)
	if err != nil {
		return nil, nil, err
	}
	if b = r.get(appendIndexKey(nil, r.subject, u.Stamp())); b == nil {
		return nil, nil, r.corrupt(fmt.Sprintf("%s is not in the index", id))
	}
	e, err := decodeContextEntry(u.Stamp(), b)
	if err != nil {
		return nil, nil, err
	}
	var ctx Context
	if e.hops > 0 {
		if own == nil || e.prev != own.stamp() {
			return nil, nil, r.corrupt(fmt.Sprintf("the context of %s is behind %s, which is not what the state has", id, e.prev.ID))
		}
		ctx = own.context
	}
	return u, ctx.Join(e.other).With(id), nil
}

func (r *lagReader) corrupt(detail string) error {
	return fmt.Errorf("what the state of %q lacks: %s: %w", clip(r.subject), detail, ErrCorrupt)
}
