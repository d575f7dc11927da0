package chain

import "encoding/binary"

// lately are the times and contexts of updates that were applied lately, of subjects
// that several chains write. While chains come at the same time, what one update depends on
// is often not the newest of its chain any more, and would be read from the store: its
// record, and up to 16 entries of its subject's index for what it had seen. Each has a place
// by its ID, which the one before leaves to it: those of one chain in turn.
type lately struct {
	places []appliedLately
	size   int // of the contexts, in bytes
}

type appliedLately struct {
	tip
	subject string
}

const (
	latelyPlaces = 1 << 13
	// latelyBytes bounds the contexts, some hundreds of bytes each where many chains
	// write a subject. Beyond it all are forgotten.
	latelyBytes = 4 << 20
)

func (l *lately) place(id ID) *appliedLately {
	return &l.places[(binary.BigEndian.Uint64(id.Origin[:])+uint64(id.Seq))%latelyPlaces]
}

// get is an update, if it is here.
func (l *lately) get(id ID) (*appliedLately, bool) {
	if l.places == nil {
		return nil, false
	}
	a := l.place(id)
	return a, a.id == id
}

// add takes in an update that is applied.
func (l *lately) add(a appliedLately) {
	if l.places == nil {
		l.places = make([]appliedLately, latelyPlaces)
	}
	at := l.place(a.id)
	if l.size += contextOverhead * (len(a.context) - len(at.context)); l.size > latelyBytes {
		clear(l.places)
		l.size = contextOverhead * len(a.context)
	}
	*at = a
}

// clear forgets all: what is taken back changes contexts, and who has nothing to do
// needs none.
func (l *lately) clear() { *l = lately{} }
