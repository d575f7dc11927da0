package chain

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tidings-mesh/tidings/chain/wire"
)

// batchState is what one batch has done so far.
type batchState struct {
	batch   Batch
	updates map[ID]*Update // received in this batch, or before and applied in it
	index   batchIndex
	answers map[string]bool // by key; false for what was taken back
	keys    map[[16]byte]*keyRecord
	// answered: a key was used on this node in this batch.
	answered bool
	states   map[string]*stagedState
	chains   []*chainState // touched
	woken    []*chainState // to be looked at again, in the next batch if this one is full
	// What the batch takes, in [Update.Cost]: to apply, to receive, and to fold
	// subjects anew.
	applied, received, refolds int
	own                        []ownUpdate
	effects                    Effects
}

type ownUpdate struct {
	u *Update
	e Entry
}

// stagedState is a subject that the batch touches.
type stagedState struct {
	state  *State
	stored storedState
	fresh  bool      // the store has none of it
	added  []*Update // in this batch, as they were applied
	firsts []ID      // those of added that are the first of their origins
	// toFold is how many updates the batch was charged with for folding it anew.
	toFold uint64
	// refolded: who added these to the state before, in this order, would have it wait for
	// a refold.
	refolded bool
	// rebuilt: updates were taken back.
	rebuilt bool
}

func newBatchState() batchState {
	return batchState{
		updates: map[ID]*Update{},
		answers: map[string]bool{},
		keys:    map[[16]byte]*keyRecord{},
		states:  map[string]*stagedState{},
	}
}

// roomKept is the most updates of a batch whose room the next one takes over.
const roomKept = 1 << 12

// next is the state of the batch after, which takes over the room of this one, but
// what its effects hold.
func (tx *batchState) next() batchState {
	if max(len(tx.updates), len(tx.states), len(tx.keys), len(tx.answers)) > roomKept {
		n := newBatchState()
		n.woken = tx.woken
		return n
	}
	clear(tx.updates)
	clear(tx.answers)
	clear(tx.keys)
	clear(tx.states)
	clear(tx.chains)
	return batchState{
		updates: tx.updates, index: tx.index.next(), answers: tx.answers, keys: tx.keys, states: tx.states,
		chains: tx.chains[:0], woken: tx.woken,
	}
}

// Effects are what a batch did. First its writes are committed: with a sync if
// Own is not empty, for nothing of the own chain may be seen before it is
// durable. Then readers get to see Heads and Applied, then callers are
// answered, then peers are sent Own.
type Effects struct {
	// Own are the runs that were appended to the own chain, in order.
	Own  []*Run
	seal func(*Run) // signs one of them; nil if there are none
	// Heads are the chains that moved, in order of their origins.
	Heads []HeadChange
	// Applied are the updates that came to count, in the order in which they
	// did, which is a causal one.
	Applied []*Update
	// Cost is about what it took, in bytes as [Update.Cost] counts them.
	Cost int
	// Subjects are those whose state is another one now.
	Subjects []string
	// Frozen are the chains that were stopped. One that was stopped twice is in
	// it twice, the freeze that counts last.
	Frozen []*Freeze
}

// HeadChange is a chain that moved: onwards, or back to the freeze that stopped
// it, which is seq 0 where nothing of it counts any more.
type HeadChange struct {
	Received Head
	Applied  Head
	// Genesis is set when the chain is new here.
	Genesis *Genesis
}

// maxGrow bounds the room that is made for a batch beforehand, in bytes.
const maxGrow = 1 << 20

// Flush ends the batch: it returns the writes that make it durable and what to
// do once they are. The caller owns the batch; an empty one needs no commit.
// now is in Unix milliseconds.
func (l *Ledger) Flush(now int64) (*Batch, *Effects, error) {
	batch, effects, err := l.FlushUnsealed(now)
	if err == nil {
		effects.Seal()
	}
	return batch, effects, err
}

// FlushUnsealed is Flush, but leaves it to the caller to call Seal on the effects,
// which may be while the batch is committed.
func (l *Ledger) FlushUnsealed(now int64) (*Batch, *Effects, error) {
	tx := &l.tx
	if len(tx.keys) > 0 {
		if err := l.purgeKeys(now); err != nil {
			return nil, nil, err
		}
	}
	l.endRuns()
	if err := l.flushStates(); err != nil {
		return nil, nil, err
	}
	l.flushChains()
	if cap(l.value) > maxGrow {
		l.value = nil // of one large subject
	}
	batch, effects := tx.batch, tx.effects
	effects.Cost = tx.applied + tx.received + tx.refolds
	for _, c := range tx.chains {
		l.keepAhead(c)
	}
	*tx = tx.next()
	if tx.batch = l.spare; tx.batch.buf == nil {
		// The next batch is likely to be about as large.
		tx.batch.Grow(min(batch.Size(), maxGrow))
	}
	l.spare = Batch{}
	return &batch, &effects, nil
}

// Reuse takes back a batch that Flush returned, and that its caller needs no
// more, for the room that it has.
func (l *Ledger) Reuse(b *Batch) {
	if cap(b.buf) > maxGrow {
		return
	}
	b.Reset()
	l.spare = *b
}

// putUpdate writes a received update.
func (l *Ledger) putUpdate(u *Update, e *Entry, seal, before []byte) {
	l.tx.updates[u.ID] = u
	l.key, l.value = appendUpdateKey(l.key[:0], u.ID), appendRecord(l.value[:0], u, e, seal, before)
	l.tx.batch.Set(l.key, l.value)
}

// putIndex writes what the index of its subject has of an update.
func (l *Ledger) putIndex(id ID, key, entry []byte) {
	l.tx.index.add(id, entry)
	l.tx.batch.Set(key, entry)
}

// putEvidence writes what was received beyond the end of its chain. Only its
// bytes mean anything.
func (l *Ledger) putEvidence(id ID, e *Entry, seal []byte) {
	l.tx.batch.Set(appendUpdateKey(nil, id), appendRecord(nil, &Update{Hash: e.Hash}, e, seal, nil))
}

// state returns the staged state of a subject.
func (l *Ledger) state(subject string) (*stagedState, error) {
	if s := l.stagedOrKept(subject); s != nil {
		return s, nil
	}
	s := l.stage(subject)
	return s, l.readStates([]*stagedState{s})
}

// stagedOrKept returns the staged state of a subject, or stages that which is kept
// decoded. It is nil if the state has to be read.
func (l *Ledger) stagedOrKept(subject string) *stagedState {
	s := l.tx.states[subject]
	if s == nil {
		if state, stored := l.states.get(subject); state != nil {
			s = &stagedState{state: state, stored: stored}
			l.tx.states[subject] = s
		}
	}
	return s
}

// stage stages a subject whose state is still to be read.
func (l *Ledger) stage(subject string) *stagedState {
	s := &stagedState{state: NewState(subject)}
	l.tx.states[subject] = s
	return s
}

// read reads the state of its subject.
func (s *stagedState) read(store Reader) error {
	state, stored, err := readState(store, s.state.Subject())
	if err != nil {
		return err
	}
	if s.fresh = state == nil; !s.fresh {
		s.state, s.stored = state, stored
	}
	return nil
}

// fresh returns the staged state of a subject with its status folded.
func (l *Ledger) fresh(subject string) (*stagedState, error) {
	s, err := l.state(subject)
	if err != nil || !s.state.Stale() {
		return s, err
	}
	return s, l.refold(s)
}

// refold folds the status of a subject anew, from the updates that the store
// has and those of this batch, in stitched order.
func (l *Ledger) refold(s *stagedState) error {
	s.refolded = true
	subject := s.state.Subject()
	after, _ := s.state.LateAfter()
	var err error
	if after.IsZero() {
		var base *State
		if base, err = l.base(subject); err != nil {
			return err
		}
		err = s.state.Refold(base, l.stitched(s, after))
	} else {
		err = s.state.RefoldLate(l.stitched(s, after))
	}
	if err != nil {
		return fmt.Errorf("fold %q anew: %w", subject, err)
	}
	return nil
}

// base is the state that a refold of the subject begins with, nil for none.
func (l *Ledger) base(subject string) (*State, error) {
	b, err := l.store.Get(appendSubjectKey(nil, keyBase, subject))
	if err != nil || b == nil {
		return nil, err
	}
	return DecodeState(subject, b)
}

// flushStates writes each touched subject once, or what its state lacks.
func (l *Ledger) flushStates() error {
	for _, subject := range slices.Sorted(maps.Keys(l.tx.states)) {
		s := l.tx.states[subject]
		switch {
		case len(s.added) == 0 && !s.rebuilt:
			if !s.fresh {
				l.states.put(s.state, s.stored)
			}
			continue
		case s.state.Updates() == 0: // all of it was taken back
			l.states.remove(subject)
			l.tx.effects.Subjects = append(l.tx.effects.Subjects, subject)
			if !s.fresh {
				l.subjects--
				l.drop(appendSubjectKey(nil, keyState, subject))
				l.drop(appendSubjectKey(nil, keyLag, subject))
			}
			continue
		case s.state.Stale():
			if err := l.refold(s); err != nil {
				return err
			}
		}
		if s.fresh {
			l.subjects++
		}
		l.writeState(s)
		l.tx.effects.Subjects = append(l.tx.effects.Subjects, subject)
		l.states.put(s.state, s.stored)
	}
	return nil
}

// flushChains writes what is known of each touched chain, and moves the roots.
func (l *Ledger) flushChains() {
	slices.SortFunc(l.tx.chains, func(a, b *chainState) int { return a.tail.Origin.Compare(b.tail.Origin) })
	for _, c := range l.tx.chains {
		c.dirty = false
		if c.tail.Seq == 0 && c.was.received.Seq == 0 {
			c.tail, c.began = Tail{Head: c.tail.Head}, false
			continue
		}
		l.sync.Replace(c.was.received, c.tail.Head)
		l.root.Replace(c.was.applied, c.applied)
		change := HeadChange{Received: c.tail.Head, Applied: c.applied}
		if c.began {
			change.Genesis, c.began = c.tail.Genesis, false
		}
		l.tx.effects.Heads = append(l.tx.effects.Heads, change)
		l.writeChain(c)
	}
	if l.subjects != l.noted {
		l.noted = l.subjects
		l.tx.batch.Set(noteSubjects, wire.AppendUint(nil, l.subjects))
	}
}

// writeChain writes a chain's record and what changed of its table, or removes
// them where nothing of it counts any more.
func (l *Ledger) writeChain(c *chainState) {
	o := c.tail.Origin
	if c.tail.Seq == 0 {
		l.drop(appendChainKey(nil, keyChain, o))
		for place := range c.tail.table {
			l.drop(appendTableKey(nil, o, place))
		}
		c.tail = Tail{Head: c.tail.Head}
		return
	}
	l.key, l.value = appendChainKey(l.key[:0], keyChain, o), appendChainRecord(l.value[:0], c)
	l.tx.batch.Set(l.key, l.value)
	for _, place := range c.tail.kept() {
		e := c.tail.table[place]
		l.tx.batch.Set(appendTableKey(nil, o, place), wire.AppendUint(wire.AppendBin(wire.AppendArray(nil, 2), e.origin[:]), uint64(e.last)))
	}
}

var noteSubjects = append([]byte{keyNote}, "subjects"...)
