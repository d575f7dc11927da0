package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// load is what callers do: they publish, poll and read over a network of their
// own, on which answers may be lost.
type load struct {
	w         *world
	sent      int // drafts
	order     []*sending
	learned   []chain.ID // that callers know of, newest last
	consumers []*consumer
	quiet     bool // nothing is published any more
}

// sending is a draft, and what its caller knows of it.
type sending struct {
	number  int
	machine int
	origin  chain.Origin // the node's when it was sent first
	draft   chain.Draft
	acks    int // to be waited for
	tries   int
	settled bool // it was answered
	taken   bool // and was not refused
}

const (
	hotSubjects  = 3
	coldSubjects = 12
	// callerWait is how long a caller waits for an answer.
	callerWait = 1500 * time.Millisecond
	triesMost  = 4
)

func newLoad(w *world) *load { return &load{w: w} }

func (l *load) begin() {
	w := l.w
	gap := max(w.opt.Duration/time.Duration(max(w.opt.Drafts, 1)), time.Millisecond)
	w.every(gap, func() bool {
		if l.sent < w.opt.Drafts && !l.quiet {
			l.send(pick(w.rand.load, w.machines))
			for chance(w.rand.load, 4) && l.sent < w.opt.Drafts {
				l.send(pick(w.rand.load, w.machines)) // a burst
			}
		}
		return l.sent < w.opt.Drafts && !l.quiet
	})
	for i := range 4 {
		l.consumers = append(l.consumers, newConsumer(w, i))
	}
	w.every(100*time.Millisecond, func() bool {
		l.read()
		return !l.quiet
	})
}

// press gives a node a few drafts more, spread over a time.
func (l *load) press(m *machine, over time.Duration) {
	for range 3 {
		l.w.after(between(l.w.rand.load, 0, over), func() {
			if !l.quiet {
				l.send(m)
			}
		})
	}
}

// send makes up a draft and gives it to a node.
func (l *load) send(m *machine) {
	r := l.w.rand.load
	if l.sent++; chance(r, 10) && l.again() {
		return
	}
	s := &sending{number: l.sent, machine: m.index}
	if m.proc != nil {
		s.origin = m.proc.origin
	}
	subject := fmt.Sprintf("hot/%d", r.IntN(hotSubjects))
	if chance(r, 3) {
		subject = fmt.Sprintf("cold/%d", r.IntN(coldSubjects))
	}
	if s.number == echoed {
		subject = "echo/0"
	}
	s.draft = chain.Draft{Subject: subject, Delta: delta(s.number, r.IntN(6), r.IntN(3))}
	if chance(r, 2) {
		s.draft.Key = fmt.Sprintf("key-%d", s.number)
	}
	if len(l.learned) > 0 && chance(r, 3) {
		recent := l.learned[max(len(l.learned)-10, 0):]
		s.draft.Deps = append(s.draft.Deps, pick(r, recent))
	}
	if chance(r, 3) {
		s.acks = min(2+r.IntN(2), len(l.w.machines))
	}
	l.order = append(l.order, s)
	l.try(s)
}

// again sends a draft that was answered once more, without a key: it changes
// nothing, unless something else was said since.
func (l *load) again() bool {
	if l.w.opt.Faults.Has(DiskErrors | DiskFull) {
		return false // what a failing disk refused may be there twice then, and be in order
	}
	for _, was := range slices.Backward(l.order[max(len(l.order)-8, 0):]) {
		p := l.w.machines[was.machine].proc
		if was.taken && was.draft.Key == "" && p != nil && p.origin == was.origin {
			s := &sending{number: was.number, machine: was.machine, origin: was.origin, draft: was.draft}
			l.order = append(l.order, s)
			l.try(s)
			return true
		}
	}
	return false
}

// delta carries the draft's number.
func delta(number, kind, field int) []byte {
	switch kind {
	case 1:
		return fmt.Appendf(nil, `{"d":%d,"f%d":null}`, number, field)
	case 2:
		return fmt.Appendf(nil, `{"d":%d,"o":{"f%d":%d}}`, number, field, number)
	case 3:
		return fmt.Appendf(nil, `{"d":%d,"o":%d}`, number, field)
	}
	// Some are long, so that states grow large.
	return fmt.Appendf(nil, `{"d":%d,"f%d":"v%d%s"}`, number, field, number, strings.Repeat("-", number%4*200))
}

// draftOf is the number of the draft that an update came of, -1 if it is a
// genesis, or a hook made it.
func draftOf(u *chain.Update) int {
	if u.Kind != chain.KindStatus || u.Hook != "" {
		return -1
	}
	text := strings.TrimPrefix(string(u.Delta), `{"d":`)
	n, err := strconv.Atoi(text[:strings.IndexAny(text, `,}`)])
	if err != nil {
		return -2
	}
	return n
}

// try gives a draft to its node, and waits for the answer.
func (l *load) try(s *sending) {
	w := l.w
	s.tries++
	tried := s.tries
	p := w.machines[s.machine].proc
	w.after(callerWait, func() {
		// Only who gave a key may send again what perhaps was published; and
		// only to the node that knows the key.
		if q := w.machines[s.machine].proc; !s.settled && s.tries == tried && s.draft.Key != "" && tried < triesMost &&
			!l.quiet && q != nil && q.origin == s.origin {
			l.try(s)
		}
	})
	if p == nil || !p.serving {
		return // no connection: the node never saw it
	}
	if tried == 1 {
		s.origin = p.origin
	}
	prepared, err := chain.Prepare(s.draft)
	p.must(err)
	w.after(l.trip(), func() {
		if p.dead {
			return
		}
		w.record(Sent{Moment: p.moment(), Draft: s.number, Subject: s.draft.Subject, Key: s.draft.Key, Deps: s.draft.Deps, Delta: string(s.draft.Delta)})
		w.note("sent", s.machine, uint64(s.number))
		p.later(func() {
			if w.has(FalseUnchanged) && s.number%7 == 0 {
				l.committed(p, s, chain.Receipt{Subject: s.draft.Subject, Unchanged: true}, nil)
				return
			}
			if w.has(PublishedTwice) && s.number%5 == 0 && s.draft.Key == "" {
				p.after(300*time.Millisecond, func() {
					p.outbox = append(p.outbox, &draft{prepared, func(chain.Receipt, error) {}})
					p.kick()
				})
			}
			p.outbox = append(p.outbox, &draft{prepared, func(r chain.Receipt, err error) { l.committed(p, s, r, err) }})
			p.kick()
		})
	})
}

// trip is how long a message between a caller and a node takes.
func (l *load) trip() time.Duration {
	return between(l.w.rand.load, 100*time.Microsecond, 2*time.Millisecond)
}

// committed has the node wait for acknowledgements, if they were asked for, and
// answer.
func (l *load) committed(p *process, s *sending, r chain.Receipt, err error) {
	if p.w.has(SendBeforeSync) {
		p.after(sendBeforeSync, func() { l.acknowledge(p, s, r, err) })
		return
	}
	l.acknowledge(p, s, r, err)
}

func (l *load) acknowledge(p *process, s *sending, r chain.Receipt, err error) {
	acks := 0
	if p.m.durable && err == nil {
		acks = 1
	}
	if s.acks > 1 && err == nil && !r.ID.IsZero() && !r.Unchanged {
		p.awaitAcks(r.ID, s.acks, callerWait/2, func(n int) {
			if n < s.acks {
				n = acks // what it did not wait for is not promised
			}
			l.answer(p, s, r, nil, n)
		})
		return
	}
	l.answer(p, s, r, err, acks)
}

func (l *load) answer(p *process, s *sending, r chain.Receipt, err error, acks int) {
	w := l.w
	if w.opt.Faults.Has(LostAnswers) && chance(w.rand.load, 5) {
		return
	}
	// It is on its way from here on, whatever becomes of the node.
	a := Answered{Moment: p.moment(), Draft: s.number}
	if err != nil {
		a.Err = err.Error()
	} else {
		a.ID, a.Unchanged, a.Repeated, a.Acks = r.ID, r.Unchanged, r.Repeated, acks
	}
	w.record(a)
	w.note("answered", s.machine, uint64(s.number), uint64(r.ID.Seq), bit(err != nil), uint64(acks))
	w.after(l.trip(), func() {
		s.settled = s.settled || err == nil || s.draft.Key == ""
		s.taken = s.taken || err == nil
		if !a.ID.IsZero() {
			l.learn(a.ID)
		}
	})
}

func (l *load) learn(id chain.ID) {
	if !slices.Contains(l.learned, id) {
		l.learned = append(l.learned, id)
	}
}

// read asks a node for a subject, as it is with some updates at least.
func (l *load) read() {
	w, r := l.w, l.w.rand.load
	m := pick(r, w.machines)
	if len(l.learned) == 0 || !m.runs() || !m.proc.serving {
		return
	}
	p := m.proc
	id := pick(r, l.learned[max(len(l.learned)-6, 0):])
	subject := fmt.Sprintf("hot/%d", r.IntN(hotSubjects))
	if u, ok := w.find(id); ok && u.Subject != "" {
		subject = u.Subject
	}
	e := Read{Moment: p.moment(), AtLeast: []chain.ID{id}, Subject: subject}
	if p.archive.Frontier().Covers(chain.Frontier{id.Origin: id.Seq}) || w.has(AtLeastIgnored) {
		e.Answered = true
		for u, err := range p.archive.History(subject) {
			p.must(err)
			e.Holds = append(e.Holds, u.ID)
		}
	}
	w.record(e)
	w.note("read", m.index, bit(e.Answered), uint64(len(e.Holds)))
}

// find finds an update wherever it is.
func (w *world) find(id chain.ID) (Update, bool) {
	for _, m := range w.machines {
		if m.proc != nil {
			if u, err := m.proc.archive.Update(id); err == nil {
				return updateOf(u), true
			}
		}
	}
	return Update{}, false
}
