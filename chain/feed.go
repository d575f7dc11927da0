package chain

import (
	"bytes"
	"container/heap"
	"errors"
	"slices"
)

// Feed is a page of the feed.
type Feed struct {
	Updates []*Update // in stitched order; their Prev is left zero
	Cursor  Cursor    // the place after the page
	// UpToDate: nothing more was applied at the call that the filter admits.
	UpToDate bool
	// Behind are origins of which the cursor has seen more than is here, or a
	// freeze that is not known here: what is here beyond it is withheld.
	Behind []Origin
	// Retracted are the chains of which the cursor had seen updates that count
	// no more, by origin. The cursor after the page stands before these.
	Retracted []Retraction
}

// Retraction says that the updates of a chain after a seq were taken back.
type Retraction struct {
	Origin Origin
	After  Seq
}

// maxFeedBytes bounds the bodies of a page.
const maxFeedBytes = 4 << 20

// Feed returns at most limit updates that are applied and not yet seen by the
// cursor, in stitched order, merged from the logs of the chains: so every
// page, and every prefix of one, is causally closed, and a cursor is good on
// every node. An update that the filter leaves out is passed over. stop is
// asked now and then whether a page that found little shall end; nil for
// never. See WatchFeed for how to wait for more.
func (a *Archive) Feed(since Cursor, filter Filter, limit int, stop func() bool) (*Feed, error) {
	var updates []*Update
	page, err := a.feed(since, filter, limit, stop, func(u *Update, lasting bool) {
		if !lasting {
			c := *u
			c.Delta = bytes.Clone(u.Delta)
			u = &c
		}
		updates = append(updates, u)
	})
	if page != nil {
		page.Updates = updates
	}
	return page, err
}

// EachOfFeed is Feed, but visits the updates in place of returning them, also those
// before an error. The delta of each is valid until visit returns.
func (a *Archive) EachOfFeed(since Cursor, filter Filter, limit int, stop func() bool, visit func(*Update)) (*Feed, error) {
	return a.feed(since, filter, limit, stop, func(u *Update, _ bool) { visit(u) })
}

// feed visits the updates of a page. One that is not lasting is valid until visit
// returns.
func (a *Archive) feed(since Cursor, filter Filter, limit int, stop func() bool, visit func(u *Update, lasting bool)) (*Feed, error) {
	a.recent.unread.Store(0)
	applied, told := a.snapshot()
	page := &Feed{Cursor: Cursor{Frontier: since.Frontier.Clone(), Filter: filter.Hash(), Told: since.Told.Clone()}}
	if page.Cursor.Frontier == nil {
		page.Cursor.Frontier = Frontier{}
	}
	applied = page.tell(told, applied)
	for o, seq := range page.Cursor.Frontier {
		if seq > applied[o] && !slices.Contains(page.Behind, o) {
			page.Behind = append(page.Behind, o)
		}
	}
	slices.SortFunc(page.Behind, Origin.Compare)
	m := &merge{archive: a}
	for o, seq := range applied {
		seen := page.Cursor.Frontier[o]
		if seq <= seen {
			continue
		}
		if len(filter.Authorities) > 0 && !slices.Contains(filter.Authorities, a.Authority(o)) {
			page.Cursor.Frontier[o] = seq
			continue
		}
		if err := m.add(o, seen+1, seq); err != nil {
			return nil, errors.Join(err, m.close())
		}
	}
	heap.Init(m)
	n, size := 0, 0
	for looked := 0; m.Len() > 0 && n < limit && size < maxFeedBytes; looked++ {
		if looked%256 == 255 && stop != nil && stop() {
			break
		}
		s := m.sources[0]
		u := s.next
		page.Cursor.Frontier[u.ID.Origin] = u.ID.Seq
		if u.Kind == KindStatus && filter.Prefix.Contains(u.Subject) {
			visit(u, s.it == nil)
			n++
			size += len(u.Delta)
		}
		if err := m.step(); err != nil {
			return nil, errors.Join(err, m.close())
		}
	}
	page.UpToDate = m.Len() == 0
	return page, m.close()
}

// tell clamps the cursor to the freezes that are known here, and announces
// those that take back what it has seen. What is applied here beyond a freeze
// that only the cursor knows is withheld: what is returned is what may be
// delivered.
func (f *Feed) tell(here, applied Frontier) Frontier {
	seen, told := f.Cursor.Frontier, f.Cursor.Told
	for o, after := range told {
		if at, ok := here[o]; !ok || at > after {
			f.Behind = append(f.Behind, o)
			if applied[o] > after {
				applied = applied.Clone()
				applied.clamp(o, after)
			}
		}
	}
	for o, after := range here {
		if at, ok := told[o]; ok && at <= after {
			continue
		}
		if seen[o] > after {
			f.Retracted = append(f.Retracted, Retraction{o, after})
			seen.clamp(o, after)
		}
		if told == nil {
			told = Frontier{}
			f.Cursor.Told = told
		}
		told[o] = after
	}
	slices.SortFunc(f.Retracted, func(a, b Retraction) int { return a.Origin.Compare(b.Origin) })
	return applied
}

// merge yields the updates of several chains in stitched order.
type merge struct {
	archive *Archive
	sources []*source
}

type source struct {
	origin Origin
	recent []*Update // from the next one on, nil if they are read
	it     Iterator  // nil if they are recent
	last   Seq
	next   *Update
	read   Update // next, if it is read: it points into the iterator's memory
	key    []byte // of next
}

// add opens a chain's log from one seq to another, both included.
func (m *merge) add(o Origin, from, to Seq) error {
	s := &source{origin: o, last: to, recent: m.archive.recently(o, from, to)}
	if s.recent == nil {
		s.it = m.archive.store.Scan(appendUpdateKey(nil, ID{o, from}), appendUpdateKey(nil, ID{o, to + 1}))
	}
	m.sources = append(m.sources, s)
	return s.step(from)
}

// step reads the update seq, which must be there.
func (s *source) step(seq Seq) error {
	if len(s.recent) > 0 {
		s.next, s.recent = s.recent[0], s.recent[1:]
		return nil
	}
	id := ID{s.origin, seq}
	s.key = appendUpdateKey(s.key[:0], id)
	if !s.it.Next() || !bytes.Equal(s.it.Key(), s.key) {
		return errors.Join(missingRecord(id), s.it.Close())
	}
	var r record
	if err := r.decode(id, s.it.Value()); err != nil {
		return err
	}
	s.next = &s.read
	return r.read(id, s.next)
}

// step moves past the first update.
func (m *merge) step() error {
	s := m.sources[0]
	if s.next.ID.Seq == s.last {
		heap.Pop(m)
		return s.close()
	}
	if err := s.step(s.next.ID.Seq + 1); err != nil {
		return err
	}
	heap.Fix(m, 0)
	return nil
}

func (m *merge) close() error {
	var errs []error
	for _, s := range m.sources {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

func (s *source) close() error {
	if s.it == nil {
		return nil
	}
	return s.it.Close()
}

func (m *merge) Len() int { return len(m.sources) }
func (m *merge) Less(i, j int) bool {
	return m.sources[i].next.Stamp().Compare(m.sources[j].next.Stamp()) < 0
}
func (m *merge) Swap(i, j int) { m.sources[i], m.sources[j] = m.sources[j], m.sources[i] }
func (m *merge) Push(x any)    { m.sources = append(m.sources, x.(*source)) }
func (m *merge) Pop() any {
	n := len(m.sources) - 1
	s := m.sources[n]
	m.sources = m.sources[:n]
	return s
}
