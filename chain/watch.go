package chain

import (
	"context"
	"math"
)

// Watch waits until an archive shows something new of one thing. Make it, look
// whether the thing is there already, and only then wait: what is published
// after the watch was made ends the wait, so nothing in between is missed. It is
// rung once; whoever waits on makes another. Stop it. It belongs to one
// goroutine.
type Watch struct {
	archive *Archive
	bell    *bell
	over    bool // it was heard or stopped
}

// Wait returns once the watch was rung: something may be there. The error is
// the context's.
func (w *Watch) Wait(ctx context.Context) error {
	select {
	case <-w.bell.turn:
		w.bell.turn <- struct{}{}
		w.over = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop releases the watch. It may be called twice.
func (w *Watch) Stop() {
	if w.over {
		return
	}
	w.over = true
	w.archive.mu.Lock()
	defer w.archive.mu.Unlock()
	if w.bell.waiting--; w.bell.waiting == 0 && w.bell.remove != nil {
		w.bell.remove()
		w.bell.remove = nil
	}
}

// bell is what all that wait for the same thing share. Once it has rung they
// wake one after the other, each by the one before: ten thousand do not stand
// between the rest of the process and its processors, and to ring costs the
// same however many wait.
type bell struct {
	turn    chan struct{} // of one; holds the turn once it has rung
	waiting int           // watches
	remove  func()        // takes it out of what may ring; nil once it is out
}

func newBell(remove func()) *bell { return &bell{turn: make(chan struct{}, 1), remove: remove} }

func (b *bell) ring() {
	if b.remove == nil {
		return
	}
	b.remove()
	b.remove = nil
	b.turn <- struct{}{}
}

// watches are the bells that may ring, by what rings them. The lock of their
// archive protects them.
type watches struct {
	subjects map[string]*bell
	updates  map[Origin]map[Seq]*bell
	feeds    feedBells
}

func newWatches() watches {
	return watches{subjects: map[string]*bell{}, updates: map[Origin]map[Seq]*bell{}, feeds: newFeedBells()}
}

// WatchSubject watches the state of a subject, which need not be there yet.
func (a *Archive) WatchSubject(subject string) *Watch {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.watches.subjects[subject]
	if b == nil {
		b = newBell(func() { delete(a.watches.subjects, subject) })
		a.watches.subjects[subject] = b
	}
	return a.watch(b)
}

// watchMissing watches one update of those that f has and that are not applied
// here. It is nil if there is none.
func (a *Archive) watchMissing(f Frontier) *Watch {
	a.mu.Lock()
	defer a.mu.Unlock()
	for o, seq := range f {
		if c := a.chains[o]; seq == 0 || c != nil && c.Applied.Seq >= seq {
			continue
		}
		bells := a.watches.updates[o]
		if bells == nil {
			bells = map[Seq]*bell{}
			a.watches.updates[o] = bells
		}
		b := bells[seq]
		if b == nil {
			b = newBell(func() {
				if delete(bells, seq); len(bells) == 0 {
					delete(a.watches.updates, o)
				}
			})
			bells[seq] = b
		}
		return a.watch(b)
	}
	return nil
}

func (a *Archive) watch(b *bell) *Watch {
	b.waiting++
	return &Watch{archive: a, bell: b}
}

// applied rings for the updates of a chain from one seq to another, the first
// excluded.
func (w *watches) applied(o Origin, from, to Seq) {
	bells := w.updates[o]
	if to <= from || len(bells) == 0 {
		return
	}
	if to-from > Seq(len(bells)) {
		for seq, b := range bells {
			if seq <= to {
				b.ring()
			}
		}
		return
	}
	for seq := from + 1; seq <= to; seq++ {
		if b := bells[seq]; b != nil {
			b.ring()
		}
	}
}

// changed rings for subjects.
func (w *watches) changed(subjects []string) {
	if len(w.subjects) == 0 {
		return
	}
	for _, s := range subjects {
		if b := w.subjects[s]; b != nil {
			b.ring()
		}
	}
}

// all rings for everything: nothing is published any more.
func (w *watches) all(place, told Frontier) {
	for _, b := range w.subjects {
		b.ring()
	}
	for o := range w.updates {
		w.applied(o, 0, math.MaxUint64)
	}
	for _, b := range w.feeds.byKey {
		b.ringAt(place, told)
	}
}
