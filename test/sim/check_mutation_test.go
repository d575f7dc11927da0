package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

// idealHistory is what a mesh without fault would have: publishes with and
// without keys, crashes, lost disks, disks that were set back, polls, reads.
func idealHistory(t *rapid.T) *story {
	s := newStory(3)
	s.join(false)
	s.consumers[2] = &storyConsumer{prefix: "order"}
	s.consumers[3] = &storyConsumer{authority: []string{"authority-1"}}
	running := func() *storyNode { return s.nodes[rapid.IntRange(0, len(s.nodes)-1).Draw(t, "node")] }
	for range rapid.IntRange(20, 120).Draw(t, "steps") {
		n := running()
		switch what := rapid.IntRange(0, 19).Draw(t, "what"); {
		case what < 5:
			s.publishSome(t, n)
		case what < 10:
			s.catchUp(n, rapid.IntRange(1, 5).Draw(t, "takes"))
		case what < 14:
			s.poll(rapid.IntRange(1, 4).Draw(t, "consumer"), n, rapid.IntRange(1, 4).Draw(t, "limit"))
		case what < 16:
			if len(n.order) > 0 {
				of := running().orderOr(n)
				u := of[rapid.IntRange(0, len(of)-1).Draw(t, "asked")]
				s.read(n, []string{"order/1", "order/2", "stock"}[u.ID.Seq%3], u)
			}
		case what == 16 && n.durable && !above(s.frozen, chain.ID{Origin: n.origin, Seq: 1 << 60}):
			s.crash(n, rapid.IntRange(n.synced(), len(n.order)).Draw(t, "kept"), false, n.origin)
		case what == 16:
			keep := len(n.order)
			if !n.durable {
				keep = 0
			}
			s.crash(n, keep, false, s.newOrigin())
		case what == 17:
			s.crash(n, 0, true, s.newOrigin())
		case what >= 18:
			s.setBack(n)
		}
	}
	return s
}

// orderOr are the updates that a node has, or else those of another.
func (n *storyNode) orderOr(m *storyNode) []Update {
	if len(n.order) > 0 {
		return n.order
	}
	return m.order
}

// synced is how many of its updates a node has for sure: up to its own last, and
// up to what an acknowledgement counted.
func (n *storyNode) synced() int {
	for i, u := range slices.Backward(n.order) {
		if u.ID.Origin == n.origin {
			return max(i+1, n.acked)
		}
	}
	return n.acked
}

func (s *story) publishSome(t *rapid.T, n *storyNode) {
	if _, frozen := n.frozen[n.origin]; frozen {
		return
	}
	subject := rapid.SampledFrom([]string{"order/1", "order/2", "orders", "stock"}).Draw(t, "subject")
	var deps []Update
	if len(n.order) > 0 {
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(n.order)-1), 0, 2, rapid.ID).Draw(t, "deps") {
			if u := n.order[i]; u.Subject != "" {
				deps = append(deps, u)
			}
		}
	}
	key := rapid.SampledFrom([]string{"", "k"}).Draw(t, "key")
	if rapid.IntRange(0, 4).Draw(t, "answer") == 0 {
		s.append(n, s.send(n, subject, key, deps...))
		return
	}
	u := s.publish(n, subject, key, deps...)
	if key != "" && rapid.Bool().Draw(t, "retry") {
		s.catchUp(s.nodes[(n.index+1)%3], 9)
		acks := 0
		for _, m := range s.nodes {
			if m.durable && m.has.Has(u.ID) {
				acks++
				m.acked = len(m.order)
			}
		}
		sent := sentOf(&s.h, u.Draft)
		s.again(n, sent)
		s.add(Answered{Moment: s.moment(n), Draft: u.Draft, ID: u.ID, Acks: acks, Repeated: true})
	}
}

// setBack sets a disk back to where a node that lives has more of its chain. It
// uses a seq again, the fork is proved, and all freeze the chain.
func (s *story) setBack(n *storyNode) {
	own := n.has[n.origin]
	ahead := slices.ContainsFunc(s.nodes, func(m *storyNode) bool { return m != n && m.has[n.origin] == own })
	if _, frozen := n.frozen[n.origin]; frozen || !n.durable || own < 2 || !ahead {
		return
	}
	keep := slices.IndexFunc(n.order, func(u Update) bool { return u.ID == chain.ID{Origin: n.origin, Seq: own} })
	s.crash(n, keep, true, n.origin)
	s.publish(n, "order/1", "")
	for _, m := range s.nodes {
		s.freeze(m, n.origin, own-1)
	}
}

// mutation puts one fault into a history.
type mutation struct {
	name string
	// hits is the invariant that must be reported, also those that follow from
	// it, and may be reported with it.
	hits, also string
	// put reports whether the history has a place for the fault. It may draw where.
	put func(t *rapid.T, s *story) bool
}

// alterAny changes one of the events that are picked.
func alterAny[E Event](t *rapid.T, h *History, pick func(E) bool, change func(*E)) bool {
	var places []int
	for i, e := range h.Events {
		if e, ok := e.(E); ok && pick(e) {
			places = append(places, i)
		}
	}
	if len(places) == 0 {
		return false
	}
	i := rapid.SampledFrom(places).Draw(t, "place")
	e := h.Events[i].(E)
	change(&e)
	h.Events[i] = e
	return true
}

// alterFinal changes one node at the end, if it has something to change.
func alterFinal(t *rapid.T, h *History, pick func(*Final) bool, change func(*Final)) bool {
	var places []*Final
	for i := range h.Finals {
		if pick(&h.Finals[i]) {
			places = append(places, &h.Finals[i])
		}
	}
	if len(places) == 0 {
		return false
	}
	change(rapid.SampledFrom(places).Draw(t, "final"))
	return true
}

// dependants are two places in a batch of which the second depends on the first.
func dependants(updates []Update) (int, int, bool) {
	for k, u := range updates {
		for i, v := range updates[:k] {
			if slices.Contains(u.Deps, v.ID) || v.ID.Origin == u.ID.Origin {
				return i, k, true
			}
		}
	}
	return 0, 0, false
}

// standing reports whether an update is in what all nodes end with.
func (s *story) standing(u Update) bool {
	return s.h.Finals[0].Frontier.Has(u.ID) && !above(s.frozen, u.ID)
}

func lastLife(s *story, m Moment) bool { return s.nodes[m.Node].life == m.Life }

// unmoved are the chains on which a poll left its cursor where it was.
func unmoved(p Polled) []chain.Origin {
	return slices.DeleteFunc(p.Cursor.Origins(), func(o chain.Origin) bool { return p.Since[o] != p.Cursor[o] })
}

var mutations = []mutation{
	{"drop a take", "C4", "C1 C3 C6 C7 C8", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, func(k Took) bool { return lastLife(s, k.Moment) && s.standing(k.Update) },
			func(k *Took) { *k = Took{Moment: k.Moment} }) && s.dropEmpty()
	}},
	{"take twice", "C2", "", func(t *rapid.T, s *story) bool {
		at := -1
		ok := alterAny(t, &s.h, anyOf, func(k *Took) {
			at = slices.IndexFunc(s.h.Events, func(e Event) bool { v, ok := e.(Took); return ok && v.Moment == k.Moment })
		})
		if ok {
			s.h.Events = slices.Insert(s.h.Events, at+1, s.h.Events[at])
		}
		return ok
	}},
	{"take a dependant first", "C3", "C1 C4 C6 C7 C8", func(t *rapid.T, s *story) bool {
		for i := range s.h.Events[1:] {
			a, ok := s.h.Events[i].(Took)
			b, also := s.h.Events[i+1].(Took)
			if ok && also && a.Node == b.Node && slices.Contains(b.Update.Deps, a.Update.ID) {
				a.Moment, b.Moment = b.Moment, a.Moment
				s.h.Events[i], s.h.Events[i+1] = b, a
				return true
			}
		}
		return false
	}},
	{"swap two dependants in a poll", "C3", "", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, func(p Polled) bool { _, _, ok := dependants(p.Updates); return ok }, func(p *Polled) {
			i, k, _ := dependants(p.Updates)
			p.Updates = slices.Clone(p.Updates)
			swap(p.Updates, i, k)
		})
	}},
	{"repeat an update in a poll", "C6", "", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, func(p Polled) bool { return len(p.Updates) > 0 }, func(p *Polled) {
			p.Updates = append(slices.Clone(p.Updates), p.Updates[0])
		})
	}},
	{"leave an update out of a poll", "C6", "C3", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, func(p Polled) bool { return len(p.Updates) > 0 }, func(p *Polled) {
			i := rapid.IntRange(0, len(p.Updates)-1).Draw(t, "update")
			p.Updates = slices.Delete(slices.Clone(p.Updates), i, i+1)
		})
	}},
	{"move a cursor back", "C6", "", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, func(p Polled) bool { return len(unmoved(p)) > 0 }, func(p *Polled) {
			p.Cursor = p.Cursor.Clone()
			p.Cursor[unmoved(*p)[0]]--
		})
	}},
	{"move a cursor on", "C6", "", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, func(p Polled) bool { return len(p.Cursor) > 0 }, func(p *Polled) {
			o := rapid.SampledFrom(p.Cursor.Origins()).Draw(t, "origin")
			p.Cursor = p.Cursor.Clone()
			p.Cursor[o] += 1000
		})
	}},
	{"say up to date", "C6", "", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, func(p Polled) bool { return !p.UpToDate && p.Consumer == 1 }, func(p *Polled) { p.UpToDate = true })
	}},
	{"do not say behind", "C6", "", func(t *rapid.T, s *story) bool {
		told := func(p Polled) bool {
			return slices.ContainsFunc(p.Behind, func(o chain.Origin) bool { _, frozen := s.frozen[o]; return !frozen })
		}
		return alterAny(t, &s.h, told, func(p *Polled) { p.Behind = nil })
	}},
	{"do not tell of a freeze", "C6", "", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, func(p Polled) bool { return len(p.Retracted) > 0 }, func(p *Polled) { p.Retracted = nil })
	}},
	{"deliver what is not applied", "C8", "C6", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, func(p Polled) bool { return len(p.Updates) > 0 }, func(p *Polled) {
			u := p.Updates[len(p.Updates)-1]
			u.ID.Seq += 1000
			p.Updates = append(slices.Clone(p.Updates), u)
		})
	}},
	{"change a hash in a poll", "C2", "", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, func(p Polled) bool { return len(p.Updates) > 0 && !above(s.frozen, p.Updates[0].ID) }, func(p *Polled) {
			p.Updates = slices.Clone(p.Updates)
			p.Updates[0].Hash[31] ^= 0x80
		})
	}},
	{"change a hash in a log", "C2", "C5", func(t *rapid.T, s *story) bool {
		return alterFinal(t, &s.h, func(f *Final) bool { return len(f.Log) > 0 }, func(f *Final) { f.Log[0].Hash[0] ^= 1 })
	}},
	{"change a hash where it is applied", "C2", "C1 C5", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, func(k Took) bool { return s.standing(k.Update) && lastLife(s, k.Moment) }, func(k *Took) { k.Update.Hash[9] ^= 1 })
	}},
	{"change a byte of a view", "C5", "", func(t *rapid.T, s *story) bool {
		return alterFinal(t, &s.h, func(f *Final) bool { return len(f.Views) > 0 }, func(f *Final) {
			subject := rapid.SampledFrom(sortedKeys(f.Views)).Draw(t, "subject")
			view := []byte(f.Views[subject])
			view[rapid.IntRange(0, len(view)-1).Draw(t, "byte")] ^= 1
			f.Views[subject] = string(view)
		})
	}},
	{"swap two of a history", "C5", "", func(t *rapid.T, s *story) bool {
		long := func(f *Final) []string {
			return slices.DeleteFunc(sortedKeys(f.Histories), func(s string) bool { return len(f.Histories[s]) < 2 })
		}
		return alterFinal(t, &s.h, func(f *Final) bool { return len(long(f)) > 0 }, func(f *Final) {
			history := f.Histories[rapid.SampledFrom(long(f)).Draw(t, "subject")]
			swap(history, 0, len(history)-1)
		})
	}},
	{"change a root", "C5", "C9", func(t *rapid.T, s *story) bool {
		return alterFinal(t, &s.h, func(f *Final) bool { return true }, func(f *Final) { f.Root[0]++ })
	}},
	{"converge late", "C9", "", func(_ *rapid.T, s *story) bool {
		s.h.ConvergedAt = s.h.HealedAt + s.h.ConvergeWithin + 1
		return true
	}},
	{"answer a read without the update", "C7", "", func(t *rapid.T, s *story) bool {
		subject := map[chain.ID]string{}
		for _, e := range s.h.Events {
			if k, ok := e.(Took); ok {
				subject[k.Update.ID] = k.Update.Subject
			}
		}
		return alterAny(t, &s.h, func(r Read) bool {
			id := r.AtLeast[0]
			return !above(s.frozen, id) && (!r.Answered || subject[id] == r.Subject)
		}, func(r *Read) {
			r.Answered, r.Holds = true, nil
		})
	}},
	{"count too many acks", "C1", "", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, func(a Answered) bool { return true }, func(a *Answered) { a.Acks += 4 })
	}},
	{"answer with another update", "C8", "C1 C2", func(t *rapid.T, s *story) bool {
		return alterAny(t, &s.h, anyOf, func(a *Answered) { a.ID.Seq += 1000 })
	}},
	{"lose an acknowledged update", "C1", "C3 C4 C6 C7 C8", func(t *rapid.T, s *story) bool {
		var lost *Update
		kept := func(a Answered) bool {
			return s.h.Finals[0].Frontier[a.ID.Origin] == a.ID.Seq && !above(s.frozen, a.ID) &&
				s.nodes[a.Node].durable && s.nodes[a.Node].origin == a.ID.Origin
		}
		if !alterAny(t, &s.h, kept, func(a *Answered) {
			for _, u := range s.h.Finals[0].Log {
				if u.ID == a.ID {
					lost = &u
				}
			}
		}) {
			return false
		}
		s.h.Events = slices.DeleteFunc(s.h.Events, func(e Event) bool {
			k, ok := e.(Took)
			return ok && k.Update.ID == lost.ID && k.Node != s.writerOf(lost.ID.Origin)
		})
		for _, n := range s.nodes {
			n.retain(slices.DeleteFunc(slices.Clone(n.order), func(u Update) bool { return u.ID == lost.ID }))
		}
		s.look()
		return true
	}},
}

func (s *story) writerOf(o chain.Origin) int {
	i := slices.IndexFunc(s.nodes, func(n *storyNode) bool { return n.origin == o })
	return i
}

// dropEmpty removes takes of nothing.
func (s *story) dropEmpty() bool {
	s.h.Events = slices.DeleteFunc(s.h.Events, func(e Event) bool { k, ok := e.(Took); return ok && k.Update.ID.IsZero() })
	return true
}

func TestCheckIdeal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		require.Empty(t, Check(idealHistory(t).finish()))
	})
}

// TestCheckMutated puts each fault into right histories, one at a time: it must
// be found, as what it is.
func TestCheckMutated(t *testing.T) {
	t.Parallel()
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			put := 0
			// Few histories have a place for some of the faults.
			for rounds := 0; put <= 3 && rounds < 20; rounds++ {
				rapid.Check(t, func(t *rapid.T) {
					s := idealHistory(t)
					s.finish()
					if !m.put(t, s) {
						return
					}
					put++
					requireBroken(t, Check(&s.h), m.hits, m.also)
				})
			}
			require.Greater(t, put, 3, "histories had a place for it")
		})
	}
}

func requireBroken(t *rapid.T, found []Violation, hits, also string) {
	names := map[string]bool{}
	for _, v := range found {
		names[v.Invariant] = true
	}
	require.True(t, names[hits], "want %s: %v", hits, found)
	allowed := append(strings.Fields(also), hits)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		require.Contains(t, allowed, name, "%v", found)
	}
}

// TestCheckDuplicate publishes a draft again that has a key: C8 in whatever
// history.
func TestCheckDuplicate(t *testing.T) {
	t.Parallel()
	put := 0
	rapid.Check(t, func(t *rapid.T) {
		s := idealHistory(t)
		for _, n := range s.nodes {
			if _, frozen := n.frozen[n.origin]; frozen {
				continue
			}
			for _, u := range n.order {
				if u.ID.Origin == n.origin && u.Draft >= 0 && sentOf(&s.h, u.Draft).Key != "" {
					s.append(n, sentOf(&s.h, u.Draft))
					requireBroken(t, Check(s.finish()), "C8", "")
					put++
					return
				}
			}
		}
	})
	require.Greater(t, put, 10)
}

func BenchmarkCheck(b *testing.B) {
	s := newStory(5)
	for i := 0; len(s.h.Events) < 5000; i++ {
		n := s.nodes[i%5]
		s.publish(n, fmt.Sprintf("order/%d", i%50), "k")
		for _, m := range s.nodes {
			s.catchUp(m, 1<<30)
		}
		s.poll(i%5, n, 10)
	}
	h := s.finish()
	b.ReportMetric(float64(len(h.Events)), "events")
	b.ResetTimer()
	for b.Loop() {
		if found := Check(h); len(found) > 0 {
			b.Fatal(found)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(h.Events)), "ns/event")
}
