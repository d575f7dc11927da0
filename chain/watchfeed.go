package chain

import (
	"slices"
	"strings"
)

// FeedWatch is a Watch of the feed. It is rung by the first batch with
// something that its filter admits and its cursor has not seen, or that takes
// back what the cursor has seen. Who is up to date when it is rung has passed
// everything before that batch, without looking at it: see Cursor.
type FeedWatch struct {
	Watch
	feed *feedBell
}

// feedBell is a bell for all with one filter that are up to date. Their places
// are then the same, but for what a cursor knows that is not here.
type feedBell struct {
	bell
	number uint64
	filter Filter
	beyond Cursor // what is not here: seen of chains that are behind, and freezes
	// What was applied, and where chains were ended, before the batch that rang
	// it; nil until then.
	place, told Frontier
}

// WatchFeed watches the feed after a cursor.
func (a *Archive) WatchFeed(since Cursor, filter Filter) *FeedWatch {
	applied, told := a.snapshot()
	beyond := since.beyond(applied, told)
	key := filter.String()
	if len(beyond.Frontier)+len(beyond.Told) > 0 {
		key = beyond.String() + key
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	f := &a.watches.feeds
	b := f.byKey[key]
	if b == nil {
		filter.Authorities = slices.Clone(filter.Authorities)
		f.number++
		b = &feedBell{number: f.number, filter: filter, beyond: beyond}
		b.bell = *newBell(func() { f.remove(key, b) })
		f.add(key, b)
	}
	return &FeedWatch{*a.watch(&b.bell), b}
}

// Group is the same for watches that ring together, with one filter and one
// Cursor, and for no others of their archive.
func (w *FeedWatch) Group() uint64 { return w.feed.number }

// Cursor is the place of whoever looked after the watch was made, found nothing,
// and was up to date: as far as all was passed over since, which is to just
// before what rang it. It is the caller's.
func (w *FeedWatch) Cursor() Cursor {
	a := w.archive
	a.mu.Lock()
	place, told := w.feed.place, w.feed.told
	if place == nil {
		place, told = a.frontier(), a.told
	}
	a.mu.Unlock()
	c := Cursor{Frontier: place.Clone(), Filter: w.feed.filter.Hash(), Told: told.Clone()}
	for o, after := range w.feed.beyond.Told {
		if at, ok := told[o]; !ok || at > after {
			c.Told[o] = after
			c.Frontier.clamp(o, after)
		}
	}
	for o, seq := range w.feed.beyond.Frontier {
		c.Frontier[o] = max(c.Frontier[o], seq)
	}
	return c
}

// beyond is what of a cursor is not here.
func (c Cursor) beyond(applied, told Frontier) (out Cursor) {
	for o, seq := range c.Frontier {
		if seq > applied[o] {
			if out.Frontier == nil {
				out.Frontier = Frontier{}
			}
			out.Frontier[o] = seq
		}
	}
	for o, after := range c.Told {
		if at, ok := told[o]; !ok || at > after {
			if out.Told == nil {
				out.Told = Frontier{}
			}
			out.Told[o] = after
		}
	}
	return out
}

func (b *feedBell) ringAt(place, told Frontier) {
	b.place, b.told = place, told
	b.ring()
}

// news reports whether a batch has what was not seen: the seqs are the highest
// of each chain that the filter admits.
func (b *feedBell) news(admitted Frontier) bool {
	for o, seq := range admitted {
		if seq > b.beyond.Frontier[o] {
			return true
		}
	}
	return false
}

// feedBells finds the bells that an update concerns by its subject's segments
// and its authority, so that those whom it does not concern cost nothing.
type feedBells struct {
	byKey  map[string]*feedBell
	number uint64 // of the last one made
	// nodes has a subject for each prefix that a bell has, and each one above.
	nodes map[string]*feedNode
}

// feedNode is a subject that bells have as prefix, or some subject above one.
type feedNode struct {
	prefixes int      // bells here and below
	at       feedSets // "order": the subject itself and what is below
	below    feedSets // "order/": only what is below
}

// feedSets are bells by authority, "" for any. A bell of several is in several.
type feedSets map[string]*feedSet

type feedSet struct {
	bells    map[*feedBell]struct{}
	admitted Frontier // of the batch at hand: the highest seq of each chain
}

func newFeedBells() feedBells {
	return feedBells{byKey: map[string]*feedBell{}, nodes: map[string]*feedNode{}}
}

// authorities are the keys under which a filter's bells stand.
func (f Filter) authorities() []string {
	if len(f.Authorities) == 0 {
		return []string{""}
	}
	return f.Authorities
}

// segments calls yield with a subject's ancestors from the root, which is "",
// down to itself, until it returns false.
func segments(subject string, yield func(string) bool) {
	if !yield("") {
		return
	}
	for end := 0; end < len(subject); {
		next := strings.IndexByte(subject[end+1:], '/')
		if next < 0 {
			yield(subject)
			return
		}
		if end += 1 + next; !yield(subject[:end]) {
			return
		}
	}
}

func (f *feedBells) add(key string, b *feedBell) {
	f.byKey[key] = b
	subject, under := strings.CutSuffix(string(b.filter.Prefix), "/")
	var n *feedNode
	segments(subject, func(s string) bool {
		if n = f.nodes[s]; n == nil {
			n = &feedNode{at: feedSets{}, below: feedSets{}}
			f.nodes[s] = n
		}
		n.prefixes++
		return true
	})
	sets := n.at
	if under {
		sets = n.below
	}
	for _, name := range b.filter.authorities() {
		if sets[name] == nil {
			sets[name] = &feedSet{bells: map[*feedBell]struct{}{}}
		}
		sets[name].bells[b] = struct{}{}
	}
}

func (f *feedBells) remove(key string, b *feedBell) {
	delete(f.byKey, key)
	subject, under := strings.CutSuffix(string(b.filter.Prefix), "/")
	segments(subject, func(s string) bool {
		n := f.nodes[s]
		if n.prefixes--; n.prefixes == 0 {
			delete(f.nodes, s)
		}
		if s != subject {
			return true
		}
		sets := n.at
		if under {
			sets = n.below
		}
		for _, name := range b.filter.authorities() {
			if set := sets[name]; set != nil {
				if delete(set.bells, b); len(set.bells) == 0 {
					delete(sets, name)
				}
			}
		}
		return true
	})
}

// admitting calls yield with each set whose filters admit an update.
func (f *feedBells) admitting(subject, authority string, yield func(*feedSet)) {
	segments(subject, func(s string) bool {
		n := f.nodes[s]
		if n == nil {
			return false
		}
		sets := []feedSets{n.at, n.below}
		if s == subject {
			sets = sets[:1]
		}
		for _, named := range sets {
			if set := named[""]; set != nil {
				yield(set)
			}
			if set := named[authority]; set != nil && authority != "" {
				yield(set)
			}
		}
		return true
	})
}

// published rings for what a batch did. Before it, place was applied and chains
// were ended as told says.
func (f *feedBells) published(e *Effects, authority func(Origin) string, place, told Frontier) {
	var hit []*feedSet
	for _, u := range e.Applied {
		if u.Kind != KindStatus {
			continue
		}
		f.admitting(u.Subject, authority(u.ID.Origin), func(s *feedSet) {
			if s.admitted == nil {
				s.admitted = Frontier{}
				hit = append(hit, s)
			}
			s.admitted[u.ID.Origin] = max(s.admitted[u.ID.Origin], u.ID.Seq)
		})
	}
	for _, s := range hit {
		for b := range s.bells {
			if b.news(s.admitted) {
				b.ringAt(place, told)
			}
		}
		s.admitted = nil
	}
	for _, freeze := range e.Frozen {
		back := place[freeze.Origin] > freeze.After
		for _, b := range f.byKey {
			if back || b.beyond.Frontier[freeze.Origin] > freeze.After {
				b.ringAt(place, told)
			}
		}
	}
}
