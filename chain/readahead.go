package chain

import (
	"sync"
	"sync/atomic"
)

const (
	// readersMost is how many states of subjects are read at once, and statesPerReader how
	// many there have to be for each reader.
	readersMost     = 8
	statesPerReader = 4
	// readAheadMost is how many updates are looked at for the subjects that they are of.
	readAheadMost = 1 << 10
)

// stateFor returns the staged state of the subject of u, which is about to be applied.
// Where it has to be read, so are those of the updates that follow in the chain, as far
// as this batch will take them if nothing holds them back. The error is the store's.
func (l *Ledger) stateFor(c *chainState, u *Update) (*stagedState, error) {
	if s := l.stagedOrKept(u.Subject); s != nil {
		return s, nil
	}
	states := []*stagedState{l.stage(u.Subject)}
	room := l.most - l.tx.applied - l.tx.received - l.tx.refolds - u.Cost()
	if c == l.self {
		room = maxApply - l.tx.applied - u.Cost() // as full has it
	}
	for i := 1; i < readAheadMost && room > 0; i++ {
		next := l.atHand(c, i)
		if next == nil {
			break
		}
		room -= next.Cost()
		if next.Kind == KindStatus && l.stagedOrKept(next.Subject) == nil {
			states = append(states, l.stage(next.Subject))
		}
	}
	return states[0], l.readStates(states)
}

// ReadAhead reads the states of the subjects of drafts that are about to be appended,
// which Append would read one after the other. The error is the store's.
func (l *Ledger) ReadAhead(drafts []*Prepared) error {
	var states []*stagedState
	for _, p := range drafts {
		if l.stagedOrKept(p.Subject()) == nil {
			states = append(states, l.stage(p.Subject()))
		}
	}
	return l.readStates(states)
}

// atHand is the update that is i after the next one of a chain to be applied, nil if it
// is not in memory.
func (l *Ledger) atHand(c *chainState, i int) *Update {
	if i < len(c.ahead) {
		return c.ahead[i]
	}
	return l.tx.updates[ID{c.tail.Origin, c.applied.Seq + 1 + Seq(i)}]
}

// readStates reads states, several at once. To read one is most of what an update takes
// whose subject is not among those that are kept decoded, and a disk answers many as
// soon as one. Others help where a processor is free for them: nobody waits for one that
// has not begun.
func (l *Ledger) readStates(states []*stagedState) error {
	reads := &stateReads{store: l.store, states: states}
	reads.left.Add(len(states))
	for range min(len(states)/statesPerReader, readersMost) - 1 {
		go reads.help()
	}
	reads.help()
	reads.left.Wait()
	if reads.err != nil {
		for _, s := range states { // or they would pass for empty ones
			delete(l.tx.states, s.state.Subject())
		}
	}
	return reads.err
}

// stateReads are states that several goroutines read, each the next one.
type stateReads struct {
	store  Reader
	states []*stagedState
	next   atomic.Int64
	left   sync.WaitGroup // a count for each state
	failed sync.Once
	err    error // the first; to be looked at once all are read
}

func (r *stateReads) help() {
	for {
		i := r.next.Add(1) - 1
		if i >= int64(len(r.states)) {
			return
		}
		if err := r.states[i].read(r.store); err != nil {
			r.failed.Do(func() { r.err = err })
		}
		r.left.Done()
	}
}
