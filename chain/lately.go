package chain

// lately are the times and contexts of updates that were applied lately, of subjects
// that several chains write. While chains come at the same time, what one update depends on
// is often not the newest of its chain any more, and would be read from the store: its
// record, and up to 16 entries of its subject's index for what it had seen.
//
// They are in two generations. When the young are as many bytes as they may be, they are
// the old, and the old are forgotten: so what was applied last is there, however many
// chains it came from, and by however many authorities its subjects are written. They may
// be more while contexts are looked for that came before half of the young.
type lately struct {
	young, old map[ID]appliedLately
	size       int  // of the young, in bytes
	doubled    int  // how often a generation was let be twice as large
	added      int  // since the young were none
	far        int  // contexts that were not among them, once they had half of their bytes
	aged       bool // since the last sweep
}

type appliedLately struct {
	hlc     HLC
	context Context
	subject string
}

const (
	// latelyBytes bounds each of the two generations, latelyDoubled how often that may be
	// doubled, to 32 MiB for both: more than what 16 authorities that write the same subjects
	// have under way with a thousand updates each.
	latelyBytes   = 2 << 20
	latelyDoubled = 3
	// latelyOverhead is what one takes in a map beside its context and subject, in bytes.
	latelyOverhead = 160
	// latelyFar is of how many that are added one context may be so far back.
	latelyFar = 16
)

// get is an update, if it is here.
func (l *lately) get(id ID) (appliedLately, bool) {
	a, ok := l.young[id]
	if !ok {
		a, ok = l.old[id]
	}
	return a, ok
}

// contextOn is what an update had seen, if it is here, and whether it is of the subject.
func (l *lately) contextOn(subject string, id ID) (ctx Context, same, ok bool) {
	a, ok := l.young[id]
	if !ok {
		if a, ok = l.old[id]; ok && a.subject == subject {
			l.lookFar()
		}
	}
	return a.context, ok && a.subject == subject, ok
}

// lookFar says that a context of the subject was looked for that is not among the young.
func (l *lately) lookFar() {
	if l.size > l.bound()/2 && len(l.old) > 0 {
		l.far++
	}
}

// add takes in an update that is applied.
func (l *lately) add(id ID, a appliedLately) {
	size := latelyOverhead + contextOverhead*len(a.context) + len(a.subject)
	if l.size+size > l.bound() {
		if l.far > l.added/latelyFar && l.doubled < latelyDoubled {
			l.doubled, l.far = l.doubled+1, 0
		} else {
			l.age()
		}
	}
	if l.young == nil {
		l.young = map[ID]appliedLately{}
	}
	l.young[id] = a
	l.size += size
	l.added++
}

// bound is how many bytes the young may be.
func (l *lately) bound() int { return latelyBytes << l.doubled }

// age makes the young the old. Their map is not used again, for it keeps its room.
func (l *lately) age() {
	l.young, l.old = nil, l.young
	l.size, l.added, l.far, l.aged = 0, 0, 0, true
}

// sweep has a generation pass where none did since it was called last, so that who has
// nothing to do keeps none.
func (l *lately) sweep() {
	if !l.aged {
		l.doubled = max(l.doubled-1, 0)
		l.age()
	}
	l.aged = false
}

// empty reports whether none is here.
func (l *lately) empty() bool { return len(l.young)+len(l.old) == 0 }

// clear forgets all: what is taken back changes contexts.
func (l *lately) clear() { *l = lately{} }
