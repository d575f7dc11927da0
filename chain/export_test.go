package chain

// Sizes are the lengths of all that a ledger keeps in memory.
func (l *Ledger) Sizes() map[string]int {
	n := map[string]int{
		"chains": len(l.chains), "blocked": len(l.blocked), "held": l.held, "cached": len(l.states.entries),
		"batch updates": len(l.tx.updates), "batch index": len(l.tx.index.put) + len(l.tx.index.byID), "batch keys": len(l.tx.keys),
		"batch answers": len(l.tx.answers),
		"batch states":  len(l.tx.states), "batch chains": len(l.tx.chains), "batch woken": len(l.tx.woken),
		"batch own": len(l.tx.own), "batch writes": l.tx.batch.Len(), "ahead bytes": l.ahead,
	}
	for _, c := range l.chains {
		n["table"] += len(c.tail.table)
		n["changed"] += len(c.tail.changed)
		n["ahead"] += len(c.ahead)
	}
	for _, waiting := range l.blocked {
		n["blocked chains"] += len(waiting)
	}
	return n
}

// CacheBytes is what the cache of states says that it takes, and what the
// states in it really take, encoded.
func (l *Ledger) CacheBytes() (counted, real int) {
	for _, e := range l.states.entries {
		real += len(e.state.Append(nil))
	}
	return l.states.size, real
}

// AddFreeze puts a freeze into a root.
func (r *Root) AddFreeze(f *Freeze) { r.add(freezeTerm(f)) }

// Missing are the updates that anything here waits for and that are not
// received, by origin of what waits.
func (l *Ledger) Missing() []ID {
	if l.held == 0 {
		return nil
	}
	var ids []ID
	for _, o := range l.origins() {
		if c := l.chains[o]; c.block != nil {
			ids = append(ids, l.notReceived(c.block.waiting)...)
		}
	}
	return ids
}

// Changed is how much a tail notes of its table.
func (t *Tail) Changed() int { return len(t.changed) }

// Rung reports whether Wait would return at once.
func (w *Watch) Rung() bool { return len(w.bell.turn) > 0 }

// Watches is how much is kept of those who wait.
func (a *Archive) Watches() int {
	w := &a.watches
	return len(w.subjects) + len(w.updates) + len(w.feeds.byKey) + len(w.feeds.nodes)
}

// FirstVersion is the state of a subject as version 1 of its encoding has it.
func FirstVersion(subject string, encoded []byte) ([]byte, error) {
	s, err := DecodeState(subject, encoded)
	if err != nil {
		return nil, err
	}
	return appendFirstVersion(s), nil
}

// ReadState reads the state of a subject with what it lacks. lag tells of that: how many
// updates, what they take, the bytes of the state itself, and how many of the updates are
// the first of their origins.
func ReadState(store Reader, subject string) (s *State, lag [4]int, err error) {
	s, t, err := readState(store, subject)
	return s, [4]int{t.count, t.bytes, t.size, len(t.firsts)}, err
}

// LagSoon has states lag from the first batch on and however small they are.
func (l *Ledger) LagSoon() { l.lagFrom, l.lagAfter = 0, 0 }

// ForgetLately forgets what was applied lately, and no state.
func (l *Ledger) ForgetLately() { l.lately.clear() }

// ReadFrom has the archive read another store from now on.
func (a *Archive) ReadFrom(store Store) { a.store = store }

// SealEvery has the log keep a seal of the own chain after so many bytes.
func (l *Ledger) SealEvery(bytes int) { l.sealEvery = bytes }

// Unsealed is a record of the log without its seals.
func Unsealed(key, value []byte) ([]byte, error) { return Sealed(key, value, nil) }

// Sealed is a record of the log as version 4 had it: with a seal of its own, or none.
func Sealed(key, value, seal []byte) ([]byte, error) {
	id := ID{Origin(key[1:]), seqOfKey(key)}
	r, err := decodeRecord(id, value)
	if err != nil {
		return nil, err
	}
	u := &Update{HLC: r.hlc, Hash: r.hash, Deps: r.deps, Cause: r.cause}
	return appendRecord(nil, u, &Entry{Header: r.header, Body: r.body}, seal, nil), nil
}

// UpdateKey is the key of an update in the store.
func UpdateKey(id ID) []byte { return appendUpdateKey(nil, id) }
