package sim

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// consumer polls the feed, now of this node and now of that, and keeps its
// cursor with what it did with each batch.
type consumer struct {
	w       *world
	number  int
	filter  chain.Filter
	cursor  string // its text; "" at first
	machine int
	place   int // with ArrivalCursor
}

func newConsumer(w *world, number int) *consumer {
	c := &consumer{w: w, number: number, machine: number % len(w.machines)}
	switch number % 4 {
	case 1:
		c.filter.Prefix = "hot/"
	case 2:
		c.filter.Authorities = []string{"a0", "a2"}
	}
	var poll func()
	poll = func() {
		if chance(w.rand.load, 6) {
			c.machine = w.rand.load.IntN(len(w.machines))
		}
		c.poll(c.machine)
		w.after(between(w.rand.load, 30*time.Millisecond, 250*time.Millisecond), poll)
	}
	w.after(between(w.rand.load, 0, time.Second), poll)
	return c
}

// poll asks a node for what is new, and reports whether that was all there is.
func (c *consumer) poll(machine int) bool {
	w := c.w
	m := w.machines[machine]
	if !m.runs() || !m.proc.serving {
		c.machine = w.rand.load.IntN(len(w.machines))
		return false
	}
	p := m.proc
	since := chain.Cursor{Filter: c.filter.Hash()}
	if c.cursor != "" {
		var err error
		since, err = chain.ParseCursor(c.cursor)
		p.must(err)
	}
	limit := 1 + w.rand.load.IntN(20)
	page, err := p.archive.Feed(since, c.filter, limit, nil)
	p.must(err)
	p.mangle(c, since, page)
	if w.opt.Faults.Has(LostAnswers) && w.troubled() && chance(w.rand.load, 8) {
		w.note("poll lost", machine, uint64(c.number))
		if w.has(LostPollAdvances) {
			c.cursor = page.Cursor.String()
		}
		return false // it asks again from where it is
	}
	e := Polled{
		Moment: p.moment(), Consumer: c.number, Prefix: string(c.filter.Prefix), Authority: c.filter.Authorities,
		Since: since.Frontier, Cursor: page.Cursor.Frontier, Behind: page.Behind, UpToDate: page.UpToDate,
	}
	for _, r := range page.Retracted {
		if e.Retracted == nil {
			e.Retracted = map[chain.Origin]chain.Seq{}
		}
		e.Retracted[r.Origin] = r.After
	}
	for _, u := range page.Updates {
		e.Updates = append(e.Updates, updateOf(u))
		w.load.learn(u.ID)
	}
	c.cursor = page.Cursor.String()
	w.record(e)
	w.note("polled", machine, uint64(c.number), uint64(len(e.Updates)), bit(page.UpToDate))
	return page.UpToDate
}
