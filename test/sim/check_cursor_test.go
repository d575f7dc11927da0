package sim

import (
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// polls is a history with a consumer that changes nodes.
func polls(s *story) *History {
	for i := range 6 {
		s.publish(s.nodes[i%2], "order/1", "")
		s.publish(s.nodes[i%2], "stock/1", "")
		s.catchUp(s.nodes[(i+1)%2], 3)
		s.poll(1, s.nodes[i%2], 2)
		s.poll(2, s.nodes[(i+1)%2], 3)
	}
	return s.finish()
}

// altered is polls with one poll changed: the last of consumer 1 that has so many
// updates at least.
func altered(least int, change func(*Polled)) func(s *story) *History {
	return func(s *story) *History {
		h := polls(s)
		if !alter(h, func(p Polled) bool { return p.Consumer == 1 && len(p.Updates) >= least }, func(p *Polled) {
			p.Cursor, p.Updates = p.Cursor.Clone(), slices.Clone(p.Updates)
			change(p)
		}) {
			panic("no such poll")
		}
		return h
	}
}

var cursorCases = []historyCase{
	{"consumers change nodes", "", 2, polls},
	{"consumers with filters", "", 2, func(s *story) *History {
		s.consumers[1] = &storyConsumer{prefix: "order"}
		s.consumers[2] = &storyConsumer{prefix: "stock/", authority: []string{"authority-1"}}
		s.consumers[3] = &storyConsumer{authority: []string{"authority-0", "nobody"}}
		s.poll(3, s.nodes[0], 4)
		return polls(s)
	}},
	{"a consumer that begins in the middle", "", 2, func(s *story) *History {
		u := shared(s)[0]
		s.consumers[1] = &storyConsumer{cursor: s.nodes[0].has.Clone(), told: chain.Frontier{}}
		s.publish(s.nodes[1], "order/1", "", u)
		return polls(s)
	}},
	{"a node is behind the cursor, and says so", "", 2, func(s *story) *History {
		s.publish(s.nodes[0], "order/1", "")
		s.poll(1, s.nodes[0], 9)
		s.publish(s.nodes[1], "order/2", "")
		s.poll(1, s.nodes[1], 9)
		return s.finish()
	}},
	{"a node that lost what a consumer has goes on as behind", "", 2, func(s *story) *History {
		n := s.nodes[1]
		s.publish(s.nodes[0], "order/1", "")
		s.catchUp(n, 9)
		s.poll(1, n, 9)
		s.crash(n, 0, false, n.origin)
		s.poll(1, n, 9)
		s.catchUp(n, 1)
		s.poll(1, n, 9)
		return s.finish()
	}},

	{"behind, and does not say so", "C6", 2, func(s *story) *History {
		s.publish(s.nodes[0], "order/1", "")
		s.poll(1, s.nodes[0], 9)
		s.poll(1, s.nodes[1], 9)
		h := s.finish()
		alter(h, func(p Polled) bool { return len(p.Behind) > 0 }, func(p *Polled) { p.Behind = nil })
		return h
	}},
	{"says that it is behind, and is not", "C6", 2, altered(1, func(p *Polled) {
		p.Behind = []chain.Origin{p.Updates[0].ID.Origin}
	})},
	{"delivered twice in a batch", "C6", 2, altered(1, func(p *Polled) { p.Updates = append(p.Updates, p.Updates[0]) })},
	{"delivered again later", "C6", 2, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.poll(1, s.nodes[0], 9)
		s.publish(s.nodes[0], "order/1", "")
		s.poll(1, s.nodes[0], 9)
		h := s.finish()
		alter(h, func(p Polled) bool { return len(p.Updates) > 0 }, func(p *Polled) {
			p.Updates = append([]Update{u}, p.Updates...)
		})
		return h
	}},
	{"delivered from before where it began", "C6", 2, func(s *story) *History {
		u := shared(s)[0]
		s.consumers[1] = &storyConsumer{cursor: s.nodes[0].has.Clone(), told: chain.Frontier{}}
		s.poll(1, s.nodes[0], 9)
		h := s.finish()
		alter(h, anyOf, func(p *Polled) { p.Updates = []Update{u} })
		return h
	}},
	{"a prefix that ends with a slash admits what is below alone", "C6", 1, func(s *story) *History {
		s.consumers[1] = &storyConsumer{prefix: "order/"}
		s.publish(s.nodes[0], "order/1", "")
		u := s.publish(s.nodes[0], "order", "")
		s.poll(1, s.nodes[0], 9)
		h := s.finish()
		alter(h, func(p Polled) bool { return len(p.Updates) > 0 }, func(p *Polled) { p.Updates = append(p.Updates, u) })
		return h
	}},
	{"an update is left out", "C6", 2, altered(1, func(p *Polled) { p.Updates = p.Updates[:len(p.Updates)-1] })},
	{"the cursor stands before what was delivered", "C6", 2, altered(1, func(p *Polled) {
		p.Cursor[p.Updates[len(p.Updates)-1].ID.Origin]--
	})},
	{"the cursor goes back", "C6", 2, func(s *story) *History {
		s.publish(s.nodes[0], "order/1", "")
		s.poll(1, s.nodes[0], 9)
		s.poll(1, s.nodes[0], 9)
		h := s.finish()
		alter(h, anyOf, func(p *Polled) { p.Cursor = chain.Frontier{} })
		return h
	}},
	{"the cursor goes ahead of the node", "C6", 2, func(s *story) *History {
		s.publish(s.nodes[0], "order/1", "")
		s.poll(1, s.nodes[0], 9)
		h := s.finish()
		alter(h, anyOf, func(p *Polled) {
			p.Cursor = p.Cursor.Clone()
			p.Cursor[s.nodes[0].origin] = 1 << 60
		})
		return h
	}},
	{"the cursor is lost on the way", "C6", 2, altered(1, func(p *Polled) { p.Since = nil })},
	{"a cursor taken with another filter", "C6", 2, altered(1, func(p *Polled) { p.Prefix = "order" })},
	{"delivered against the filter", "C6", 1, func(s *story) *History {
		s.consumers[1] = &storyConsumer{prefix: "order"}
		u := s.publish(s.nodes[0], "orders/1", "")
		s.poll(1, s.nodes[0], 9)
		h := s.finish()
		h.Events = slices.DeleteFunc(h.Events, func(e Event) bool { p, ok := e.(Polled); return ok && p.UpToDate && p.At >= h.ConvergedAt })
		alter(h, anyOf, func(p *Polled) { p.Updates = []Update{u} })
		return h
	}},
	{"up to date, with updates left", "C6", 2, func(s *story) *History {
		s.publish(s.nodes[0], "order/1", "")
		s.publish(s.nodes[0], "order/1", "")
		s.poll(1, s.nodes[0], 1)
		h := s.finish()
		alter(h, func(p Polled) bool { return !p.UpToDate }, func(p *Polled) { p.UpToDate = true })
		return h
	}},
	{"a consumer goes without for good", "C6", 2, func(s *story) *History {
		s.publish(s.nodes[0], "order/1", "")
		s.poll(1, s.nodes[0], 9)
		h := s.finish()
		since := chain.Frontier{}
		for i, e := range h.Events {
			if p, ok := e.(Polled); ok {
				p.Since, p.Cursor, p.Updates = since, since, nil
				h.Events[i] = p
			}
		}
		return h
	}},
	{"delivered before it was applied there", "C6 C8", 2, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		n := s.nodes[1]
		s.add(Polled{Moment: s.moment(n), Consumer: 1, Updates: []Update{u}, Cursor: chain.Frontier{u.ID.Origin: u.ID.Seq}})
		return s.finish()
	}},
}

// forked is a history in which the disk of a node was set back after others had
// taken its updates, and it uses a seq again: the chain is frozen after the
// genesis. A consumer has what is taken back.
func forked(s *story) (taken Update) {
	n, other := s.nodes[0], s.nodes[1]
	taken = s.publish(n, "order/1", "")
	s.catchUp(other, 9)
	s.publish(other, "order/1", "", taken)
	s.poll(1, other, 9)
	s.crash(n, 1, true, n.origin)
	s.publish(n, "order/1", "")
	s.poll(2, n, 9)
	return taken
}

var freezeCases = []historyCase{
	{"a fork is frozen, and told", "", 3, func(s *story) *History {
		forked(s)
		for _, n := range s.nodes[:2] {
			s.freeze(n, s.nodes[0].origin, 1)
		}
		s.poll(1, s.nodes[0], 9)
		s.poll(1, s.nodes[1], 9)
		s.poll(1, s.nodes[2], 9) // it lacks the freeze
		return s.finish()
	}},
	{"a fork that could be told is frozen", "C2", 3, func(s *story) *History {
		forked(s)
		for _, n := range s.nodes[:2] {
			s.freeze(n, s.nodes[0].origin, 1)
		}
		s.poll(1, s.nodes[0], 9)
		h := s.finish()
		h.Forks = false
		return h
	}},
	{"a node that lacks the freeze withholds", "", 3, func(s *story) *History {
		forked(s)
		s.catchUp(s.nodes[2], 9)
		s.freeze(s.nodes[1], s.nodes[0].origin, 1)
		s.poll(1, s.nodes[1], 9)
		s.poll(1, s.nodes[2], 9)
		return s.finish()
	}},
	{"what was acknowledged above the freeze is published again under a new origin", "", 3, func(s *story) *History {
		n := s.nodes[0]
		forked(s)
		s.freeze(n, n.origin, 1)
		s.freeze(s.nodes[1], n.origin, 1)
		s.crash(n, len(n.order), false, s.newOrigin())
		return s.finish()
	}},
	{"what was acknowledged above the freeze is published again twice", "C8", 3, func(s *story) *History {
		n := s.nodes[0]
		forked(s)
		s.freeze(n, n.origin, 1)
		s.freeze(s.nodes[1], n.origin, 1)
		sent := sentOf(&s.h, 2)
		s.crash(n, len(n.order), false, s.newOrigin())
		s.append(n, sent)
		return s.finish()
	}},
	{"what was acknowledged above the freeze is not published again", "C1", 3, func(s *story) *History {
		n := s.nodes[0]
		forked(s)
		s.freeze(n, n.origin, 1)
		s.freeze(s.nodes[1], n.origin, 1)
		n.owed = nil
		s.crash(n, len(n.order), false, s.newOrigin())
		return s.finish()
	}},
	{"what depends on what was taken back is applied", "", 3, func(s *story) *History {
		taken := forked(s)
		for _, n := range s.nodes {
			s.freeze(n, taken.ID.Origin, 1)
		}
		s.catchUp(s.nodes[2], 9)
		s.poll(3, s.nodes[2], 9)
		return s.finish()
	}},
	{"a freeze that is told in the instant of what it lets through", "", 3, func(s *story) *History {
		taken := forked(s)
		for _, n := range s.nodes {
			s.freeze(n, taken.ID.Origin, 1)
		}
		s.catchUp(s.nodes[2], 9)
		h := s.finish()
		froze := slices.IndexFunc(h.Events, func(e Event) bool { f, ok := e.(Froze); return ok && f.Node == 2 })
		took := slices.IndexFunc(h.Events, func(e Event) bool {
			t, ok := e.(Took)
			return ok && t.Node == 2 && len(t.Update.Deps) > 0
		})
		f := h.Events[froze].(Froze)
		f.At = h.Events[took].when()
		h.Events = slices.Insert(slices.Clone(h.Events), took+1, Event(f))
		h.Events = slices.Delete(h.Events, froze, froze+1)
		return h
	}},

	{"a fork that nobody froze", "C1 C2 C3 C5 C9", 2, func(s *story) *History { forked(s); return s.finish() }},
	{"applied above a freeze", "C4", 3, func(s *story) *History {
		taken := forked(s)
		for _, n := range s.nodes {
			s.freeze(n, taken.ID.Origin, 1)
		}
		h := s.finish()
		h.Events = append(h.Events, Took{s.moment(s.nodes[2]), taken}, Froze{s.moment(s.nodes[2]), taken.ID.Origin, 1})
		return h
	}},
	{"a consumer is not told what was taken back", "C6", 2, func(s *story) *History {
		taken := forked(s)
		for _, n := range s.nodes {
			s.freeze(n, taken.ID.Origin, 1)
		}
		h := s.finish()
		for alter(h, func(p Polled) bool { return len(p.Retracted) > 0 }, func(p *Polled) { p.Retracted = nil }) {
		}
		return h
	}},
	{"a consumer is told what was not taken back", "C6", 2, func(s *story) *History {
		shared(s)
		s.poll(1, s.nodes[0], 9)
		h := s.finish()
		alter(h, anyOf, func(p *Polled) {
			p.Retracted = map[chain.Origin]chain.Seq{s.nodes[1].origin: 1}
			p.Cursor = p.Cursor.Clone()
			p.Cursor[s.nodes[1].origin] = 1
		})
		return h
	}},
	{"a node that lacks the freeze delivers", "C6", 3, func(s *story) *History {
		taken := forked(s)
		s.catchUp(s.nodes[2], 9)
		s.freeze(s.nodes[0], taken.ID.Origin, 1)
		s.poll(3, s.nodes[0], 9)
		s.consumers[3].told = chain.Frontier{} // its cursor forgot
		s.poll(3, s.nodes[2], 9)
		return s.finish()
	}},
	{"a draft is published again though it was not taken back", "C8", 2, func(s *story) *History {
		n := s.nodes[0]
		s.publish(n, "order/1", "")
		sent := sentOf(&s.h, 0)
		s.catchUp(s.nodes[1], 9)
		s.crash(n, len(n.order), false, s.newOrigin())
		s.append(n, sent)
		return s.finish()
	}},
}

func sentOf(h *History, draft int) (sent Sent) {
	alter(h, func(s Sent) bool { return s.Draft == draft }, func(s *Sent) { sent = *s })
	return sent
}
