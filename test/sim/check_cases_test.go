package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

var chainCases = []historyCase{
	{"an own update that nobody else saw is taken by a crash, and its seq used again", "", 2, func(s *story) *History {
		n := s.nodes[0]
		s.append(n, s.send(n, "order/1", ""))
		s.crash(n, 1, false, n.origin)
		s.publish(n, "order/2", "")
		return s.finish()
	}},
	{"a disk that is set back uses a seq again that nobody else saw", "", 2, func(s *story) *History {
		n := s.nodes[0]
		s.publish(n, "order/1", "")
		s.crash(n, 1, true, n.origin)
		s.append(n, s.send(n, "order/2", ""))
		return s.finish()
	}},
	{"what was written and not seen to be applied follows the start", "", 2, func(s *story) *History {
		shared(s)
		n := s.nodes[1]
		s.publish(s.nodes[0], "order/1", "")
		s.crash(n, len(n.order), false, n.origin)
		s.catchUp(n, 9)
		return s.finish()
	}},

	{"applied twice in one life", "C2", 2, func(s *story) *History {
		u := shared(s)[0]
		s.add(Took{s.moment(s.nodes[1]), u})
		return s.finish()
	}},
	{"applied again, though the node says that it still has it", "C2", 2, func(s *story) *History {
		u, n := shared(s)[0], s.nodes[1]
		s.crash(n, len(n.order), false, n.origin)
		s.add(Took{s.moment(n), u})
		return s.finish()
	}},
	{"a seq is used again that another node had taken", "C2", 2, func(s *story) *History {
		n, other := s.nodes[0], s.nodes[1]
		s.append(n, s.send(n, "order/1", ""))
		s.catchUp(other, 9)
		s.crash(n, 1, false, n.origin)
		s.crash(other, 1, false, other.origin)
		s.publish(n, "order/2", "")
		return s.finish()
	}},
	{"a seq is used again that a consumer had", "C2", 2, func(s *story) *History {
		n := s.nodes[0]
		s.append(n, s.send(n, "order/1", ""))
		s.poll(1, n, 9)
		delete(s.consumers, 1)
		s.crash(n, 1, false, n.origin)
		s.publish(n, "order/2", "")
		return s.finish()
	}},
	{"a poll gives another hash", "C2", 2, func(s *story) *History {
		shared(s)
		s.poll(1, s.nodes[0], 9)
		h := s.finish()
		alter(h, func(p Polled) bool { return len(p.Updates) > 0 }, func(p *Polled) {
			p.Updates = slices.Clone(p.Updates)
			p.Updates[0].Hash[3] ^= 1
		})
		return h
	}},
	{"a poll gives another delta under the same hash", "C2", 2, func(s *story) *History {
		shared(s)
		s.poll(1, s.nodes[0], 9)
		h := s.finish()
		alter(h, func(p Polled) bool { return len(p.Updates) > 0 }, func(p *Polled) {
			p.Updates = slices.Clone(p.Updates)
			p.Updates[0].Delta = strings.Replace(p.Updates[0].Delta, ":", ": ", 1)
		})
		return h
	}},
	{"one node ends with another hash", "C2 C5", 2, func(s *story) *History {
		shared(s)
		h := s.finish()
		h.Finals[1].Log[1].Hash[0] ^= 1
		return h
	}},
	{"a chain is frozen whose disk was never lost", "C2", 2, func(s *story) *History {
		shared(s)
		for _, n := range s.nodes {
			s.freeze(n, s.nodes[0].origin, 1)
		}
		return s.finish()
	}},

	{"an update is passed over", "C4", 2, func(s *story) *History {
		s.publish(s.nodes[0], "order/1", "")
		s.publish(s.nodes[0], "order/1", "")
		s.publish(s.nodes[0], "order/1", "")
		h := s.finish()
		h.Events = slices.DeleteFunc(h.Events, func(e Event) bool {
			t, ok := e.(Took)
			return ok && t.Node == 1 && t.Update.ID.Seq == 3
		})
		return h
	}},
	{"the last update was never seen to be applied", "C4", 2, func(s *story) *History {
		s.publish(s.nodes[0], "order/1", "")
		h := s.finish()
		h.Events = slices.DeleteFunc(h.Events, func(e Event) bool {
			t, ok := e.(Took)
			return ok && t.Node == 1 && t.Update.ID.Seq == 2
		})
		return h
	}},
	{"a node begins with more than it had", "C4", 2, func(s *story) *History {
		shared(s)
		n := s.nodes[1]
		s.crash(n, len(n.order), false, n.origin)
		h := s.finish()
		alter(h, anyOf, func(o *Opened) { o.Applied[s.nodes[0].origin]++ })
		h.Finals = h.Finals[:1]
		alter(h, func(o Opened) bool { return o.Node == 1 && o.Life == 2 }, func(*Opened) {})
		s.h.Events = append(s.h.Events, Ended{s.moment(n), false})
		return h
	}},
	{"a node in memory begins with something", "C4", 2, func(s *story) *History {
		n := s.join(false)
		shared(s)
		s.crash(n, len(n.order), false, s.newOrigin())
		return s.finish()
	}},
	{"the log that a node ends with has something twice", "C4", 2, func(s *story) *History {
		shared(s)
		h := s.finish()
		h.Finals[1].Log = slices.Insert(h.Finals[1].Log, 1, h.Finals[1].Log[1])
		return h
	}},
	{"the log that a node ends with is in another order", "C4", 2, func(s *story) *History {
		u := shared(s)[0]
		h := s.finish()
		log := h.Finals[1].Log
		i := slices.IndexFunc(log, func(v Update) bool { return v.ID.Origin != u.ID.Origin })
		if i == 0 {
			i = slices.IndexFunc(log, func(v Update) bool { return v.ID.Origin == u.ID.Origin })
		}
		h.Finals[1].Log = append(slices.Clone(log[i:]), log[:i]...)
		return h
	}},
	{"a second genesis", "C4", 2, func(s *story) *History {
		shared(s)
		n := s.nodes[0]
		s.take(n, s.link(n, Update{Draft: -1}))
		return s.finish()
	}},
	{"a chain without a genesis", "C4", 1, func(s *story) *History {
		n := s.nodes[0]
		sent := s.send(n, "order/1", "")
		s.take(n, s.link(n, Update{Subject: sent.Subject, Draft: sent.Draft, Delta: sent.Delta}))
		return s.finish()
	}},
	{"an update that is not later than the one before", "C4", 1, func(s *story) *History {
		n := s.nodes[0]
		s.publish(n, "order/1", "")
		sent := s.send(n, "order/2", "")
		u := s.link(n, Update{Subject: sent.Subject, Draft: sent.Draft, Delta: sent.Delta})
		u.HLC = n.order[len(n.order)-1].HLC
		s.take(n, u)
		return s.finish()
	}},
}

var causalCases = []historyCase{
	{"dependants come after, on every node and in every poll", "", 3, func(s *story) *History {
		a := s.publish(s.nodes[0], "order/1", "")
		s.catchUp(s.nodes[1], 9)
		b := s.publish(s.nodes[1], "order/1", "", a)
		s.catchUp(s.nodes[2], 9)
		s.publish(s.nodes[2], "order/2", "", a, b)
		for range 5 {
			s.poll(1, s.nodes[2], 1)
		}
		return s.finish()
	}},
	{"a dependency that the filter leaves out is not waited for", "", 2, func(s *story) *History {
		s.consumers[1] = &storyConsumer{prefix: "order"}
		a := s.publish(s.nodes[0], "stock/1", "")
		s.catchUp(s.nodes[1], 9)
		s.publish(s.nodes[1], "order/1", "", a)
		s.poll(1, s.nodes[1], 9)
		return s.finish()
	}},
	{"applied before what it depends on", "C3", 2, func(s *story) *History {
		a := s.publish(s.nodes[0], "order/1", "")
		s.catchUp(s.nodes[1], 9)
		s.publish(s.nodes[1], "order/1", "", a)
		n := s.join(true)
		s.take(n, s.nodes[1].order[2:]...)
		s.catchUp(n, 9)
		return s.finish()
	}},
	{"an update that is not later than what it depends on", "C3", 2, func(s *story) *History {
		a := s.publish(s.nodes[0], "order/1", "")
		s.nodes[1].clock = 0
		s.at = 0
		s.catchUp(s.nodes[1], 9)
		s.nodes[1].clock = 0
		s.at = 0
		s.publish(s.nodes[1], "order/1", "", a)
		return s.finish()
	}},
	{"a poll gives a dependant first", "C3", 2, func(s *story) *History {
		a := s.publish(s.nodes[0], "order/1", "")
		s.catchUp(s.nodes[1], 9)
		s.publish(s.nodes[1], "order/1", "", a)
		s.poll(1, s.nodes[1], 9)
		h := s.finish()
		alter(h, func(p Polled) bool { return len(p.Updates) == 2 }, func(p *Polled) { swap(p.Updates, 0, 1) })
		return h
	}},
	{"a poll gives a chain backwards", "C3", 1, func(s *story) *History {
		s.publish(s.nodes[0], "order/1", "")
		s.publish(s.nodes[0], "order/1", "")
		s.poll(1, s.nodes[0], 9)
		h := s.finish()
		alter(h, func(p Polled) bool { return len(p.Updates) == 2 }, func(p *Polled) { swap(p.Updates, 0, 1) })
		return h
	}},
	{"a batch ends before what a part of it depends on", "C3", 2, func(s *story) *History {
		a := s.publish(s.nodes[0], "order/1", "")
		s.catchUp(s.nodes[1], 9)
		b := s.publish(s.nodes[1], "order/1", "", a)
		n := s.nodes[1]
		first, second := chain.Frontier{n.origin: b.ID.Seq}, n.has.Clone()
		s.add(Polled{Moment: s.moment(n), Consumer: 1, Cursor: first, Updates: []Update{b}})
		s.add(Polled{Moment: s.moment(n), Consumer: 1, Since: first, Cursor: second, Updates: []Update{a}, UpToDate: true})
		return s.finish()
	}},
}

var sameCases = []historyCase{
	{"views are what a plain fold makes of the history", "", 3, func(s *story) *History {
		for i := range 20 {
			n := s.nodes[i%3]
			s.publish(n, "order/1", "")
			s.catchUp(s.nodes[(i+1)%3], 3)
		}
		return s.finish()
	}},
	{"nodes that are not converged differ", "C1 C9", 2, func(s *story) *History {
		s.finish()
		s.publish(s.nodes[0], "order/1", "")
		s.look()
		return &s.h
	}},
	{"a root differs", "C5 C9", 2, func(s *story) *History {
		shared(s)
		h := s.finish()
		h.Finals[1].Root[5]++
		return h
	}},
	{"a view differs by a byte", "C5", 2, func(s *story) *History {
		shared(s)
		h := s.finish()
		h.Finals[1].Views["order/0"] = strings.Replace(h.Finals[1].Views["order/0"], "{", "{ ", 1)
		return h
	}},
	{"all views are wrong alike", "C5", 2, func(s *story) *History {
		shared(s)
		h := s.finish()
		for _, f := range h.Finals {
			f.Views["order/0"] = strings.Replace(f.Views["order/0"], "1.50", "1.5", 1)
		}
		return h
	}},
	{"all views count wrong", "C5", 2, func(s *story) *History {
		shared(s)
		h := s.finish()
		for _, f := range h.Finals {
			f.Views["order/0"] = strings.Replace(f.Views["order/0"], `"updates":1`, `"updates":2`, 1)
		}
		return h
	}},
	{"all views give one authority's status to another", "C5", 2, func(s *story) *History {
		shared(s)
		h := s.finish()
		for _, f := range h.Finals {
			f.Views["order/0"] = strings.Replace(f.Views["order/0"], "authority-0", "authority-1", 1)
		}
		return h
	}},
	{"no node has a view", "C5", 2, func(s *story) *History {
		shared(s)
		h := s.finish()
		for _, f := range h.Finals {
			delete(f.Views, "order/0")
		}
		return h
	}},
	{"a view of what is not there", "C5", 1, func(s *story) *History {
		shared(s)
		h := s.finish()
		h.Finals[0].Views["order/9"] = `{"subject":"order/9","status":{},"authorities":{},"updates":0}`
		return h
	}},
	{"a history is in another order", "C5", 2, func(s *story) *History {
		s.publish(s.nodes[0], "order/1", "")
		s.publish(s.nodes[0], "order/1", "")
		h := s.finish()
		swap(h.Finals[0].Histories["order/1"], 0, 1)
		return h
	}},
	{"all histories lack an update", "C5", 2, func(s *story) *History {
		s.publish(s.nodes[0], "order/1", "")
		s.publish(s.nodes[0], "order/1", "")
		h := s.finish()
		for _, f := range h.Finals {
			f.Histories["order/1"] = f.Histories["order/1"][1:]
		}
		return h
	}},
}

var readCases = []historyCase{
	{"reads that hold, and one that says not yet", "", 2, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.read(s.nodes[0], "order/1", u)
		s.read(s.nodes[0], "order/2", u)
		s.read(s.nodes[1], "order/1", u)
		s.catchUp(s.nodes[1], 9)
		s.read(s.nodes[1], "order/1", u)
		return s.finish()
	}},
	{"an answer without the update", "C7", 1, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.read(s.nodes[0], "order/1", u)
		h := s.finish()
		alter(h, anyOf, func(r *Read) { r.Holds = nil })
		return h
	}},
	{"an answer before the update is applied", "C7", 2, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.read(s.nodes[1], "order/1", u)
		h := s.finish()
		alter(h, anyOf, func(r *Read) { r.Answered = true })
		return h
	}},
	{"an answer about another subject before it is applied", "C7", 2, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.read(s.nodes[1], "order/2", u)
		h := s.finish()
		alter(h, anyOf, func(r *Read) { r.Answered = true })
		return h
	}},
	{"an answer that forgot with a crash", "C7", 2, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		n := s.nodes[1]
		s.catchUp(n, 9)
		s.crash(n, 0, false, n.origin)
		s.read(n, "order/1", u)
		h := s.finish()
		alter(h, anyOf, func(r *Read) { r.Answered, r.Holds = true, r.AtLeast })
		alter(h, anyOf, func(r *Read) { r.Holds = nil })
		return h
	}},
	{"an answer with what is not applied there", "C8", 2, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.read(s.nodes[1], "order/1")
		h := s.finish()
		alter(h, anyOf, func(r *Read) { r.Holds = one(u.ID) })
		return h
	}},
	{"said to be converged, and behind", "C9", 2, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.add(SaidConverged{s.moment(s.nodes[1]), chain.Frontier{u.ID.Origin: u.ID.Seq}})
		return s.finish()
	}},
	{"said to be converged, and told of what it has", "", 2, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.catchUp(s.nodes[1], 3)
		s.add(SaidConverged{s.moment(s.nodes[1]), chain.Frontier{u.ID.Origin: u.ID.Seq}})
		return s.finish()
	}},
	{"not converged", "C9", 2, func(s *story) *History {
		h := s.finish()
		h.ConvergedAt = 0
		return h
	}},
	{"converged late", "C9", 2, func(s *story) *History {
		h := s.finish()
		h.ConvergedAt = h.HealedAt + h.ConvergeWithin + 1
		return h
	}},
	{"converged just in time", "", 2, func(s *story) *History {
		h := s.finish()
		h.ConvergedAt = h.HealedAt + h.ConvergeWithin
		return h
	}},
	{"converged before faults healed", "C9", 2, func(s *story) *History {
		h := s.finish()
		h.HealedAt = h.ConvergedAt + time.Second
		return h
	}},
	{"a node that runs is not looked at", "C9", 2, func(s *story) *History {
		h := s.finish()
		h.Finals = h.Finals[1:]
		return h
	}},
	{"a node is looked at twice", "C9", 2, func(s *story) *History {
		h := s.finish()
		h.Finals = append(h.Finals, h.Finals[0])
		return h
	}},
	{"a node that does not run is looked at", "C9", 2, func(s *story) *History {
		h := s.finish()
		s.end(s.nodes[1], false)
		return h
	}},
}
