package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// historyCase is a history written by hand, and the invariants that it breaks.
type historyCase struct {
	name  string
	wants string // "C1 C4", "" for a history that is right
	nodes int
	play  func(s *story) *History
}

func TestViolationString(t *testing.T) {
	t.Parallel()
	v := Violation{Invariant: "C6", At: 1500 * time.Millisecond, Text: "skipped", Draft: 3}
	require.Equal(t, "C6 at 1.5s: skipped (draft 3)", v.String())
	for seq := range chain.Seq(10) {
		v.IDs = append(v.IDs, chain.ID{Seq: seq})
	}
	require.True(t, strings.HasSuffix(v.String(), ".7 and 2 more (draft 3)"), v.String())
}

func TestCheck(t *testing.T) {
	t.Parallel()
	cases := slices.Concat(ackedCases, chainCases, causalCases, sameCases, cursorCases, freezeCases, readCases, reactCases)
	rightOnes := 0
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := c.play(newStory(c.nodes))
			found := Check(h)
			require.Equal(t, c.wants, invariantsOf(found), "%v", found)
			require.Equal(t, found, Check(h), "the order depends on the history alone")
		})
		if c.wants == "" {
			rightOnes++
		}
	}
	require.Greater(t, rightOnes, 20)
	require.Greater(t, len(cases)-rightOnes, 40)
}

// invariantsOf names what was broken, each once.
func invariantsOf(found []Violation) string {
	names := map[string]bool{}
	for _, v := range found {
		names[v.Invariant] = true
	}
	return strings.Join(sortedKeys(names), " ")
}

// swap exchanges two elements.
func swap[T any](of []T, i, j int) { of[i], of[j] = of[j], of[i] }

// shared is a small history to begin with: each node publishes, and all take it.
func shared(s *story) (updates []Update) {
	for i, n := range s.nodes {
		updates = append(updates, s.publish(n, fmt.Sprintf("order/%d", i%2), ""))
	}
	for _, n := range s.nodes {
		s.catchUp(n, 1<<30)
	}
	return updates
}

// forget takes an update, and what follows it, from a node as if it had never
// been there.
func (s *story) forget(n *storyNode, u Update) {
	n.retain(slices.DeleteFunc(slices.Clone(n.order), func(v Update) bool {
		return v.ID.Origin == u.ID.Origin && v.ID.Seq >= u.ID.Seq
	}))
	s.h.Events = slices.DeleteFunc(s.h.Events, func(e Event) bool {
		t, ok := e.(Took)
		return ok && t.Node == n.index && t.Update.ID.Origin == u.ID.Origin && t.Update.ID.Seq >= u.ID.Seq
	})
}

var ackedCases = []historyCase{
	{"nothing happens", "", 3, func(s *story) *History { return s.finish() }},
	{"all share what is published", "", 3, func(s *story) *History { shared(s); return s.finish() }},
	{"a crash loses nothing that was synced", "", 3, func(s *story) *History {
		shared(s)
		s.publish(s.nodes[0], "order/1", "")
		s.crash(s.nodes[0], len(s.nodes[0].order), false, s.nodes[0].origin)
		return s.finish()
	}},
	{"a crash takes foreign updates, which are taken again", "", 2, func(s *story) *History {
		shared(s)
		s.publish(s.nodes[0], "order/1", "")
		s.catchUp(s.nodes[1], 1)
		s.crash(s.nodes[1], len(s.nodes[1].order)-1, false, s.nodes[1].origin)
		return s.finish()
	}},
	{"an acknowledged update is lost with the only disk that held it", "", 2, func(s *story) *History {
		shared(s)
		n := s.nodes[0]
		s.publish(n, "order/1", "")
		s.crash(n, 0, true, s.newOrigin())
		return s.finish()
	}},
	{"and a crash of a node that had not synced it", "", 2, func(s *story) *History {
		n, other := s.nodes[0], s.nodes[1]
		s.publish(n, "order/1", "")
		s.catchUp(other, 9)
		s.crash(n, 0, true, s.newOrigin())
		s.crash(other, 0, false, other.origin)
		return s.finish()
	}},
	{"a node goes for good with what it alone had", "", 2, func(s *story) *History {
		shared(s)
		s.publish(s.nodes[0], "order/1", "")
		s.end(s.nodes[0], false)
		return s.finish()
	}},
	{"a node in memory ends with what it alone had", "", 2, func(s *story) *History {
		n := s.join(false)
		s.publish(n, "order/1", "")
		s.crash(n, 0, false, s.newOrigin())
		return s.finish()
	}},
	{"all disks that were counted are lost", "", 4, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.catchUp(s.nodes[1], 9)
		s.answer2(s.nodes[0], u, 2)
		s.crash(s.nodes[0], 0, true, s.newOrigin())
		s.crash(s.nodes[1], 0, true, s.newOrigin())
		return s.finish()
	}},
	{"a node whose disk was lost counts again with the next one", "C1", 2, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.catchUp(s.nodes[1], 9)
		s.crash(s.nodes[1], 0, true, s.newOrigin())
		s.catchUp(s.nodes[1], 9)
		s.answer2(s.nodes[0], u, 3)
		return s.finish()
	}},
	{"all disks that were counted are lost, one of them before the answer", "", 2, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.catchUp(s.nodes[1], 9)
		s.crash(s.nodes[1], 0, true, s.newOrigin())
		s.answer2(s.nodes[0], u, 2)
		s.crash(s.nodes[0], 0, true, s.newOrigin())
		return s.finish()
	}},
	{"an answer that never came, and the update is there", "", 2, func(s *story) *History {
		n := s.nodes[0]
		s.append(n, s.send(n, "order/1", "k"))
		s.crash(n, len(n.order), false, n.origin)
		return s.finish()
	}},
	{"an answer that never came, and the update is not", "", 2, func(s *story) *History {
		s.send(s.nodes[0], "order/1", "k")
		s.crash(s.nodes[0], 0, false, s.nodes[0].origin)
		return s.finish()
	}},
	{"a retry gives the first update", "", 2, func(s *story) *History {
		n := s.nodes[0]
		sent := s.send(n, "order/1", "k")
		u := s.append(n, sent)
		s.crash(n, len(n.order), false, n.origin)
		s.again(n, sent)
		s.answer(n, sent.Draft, u.ID, 1)
		s.again(n, sent)
		s.answer(n, sent.Draft, u.ID, 1)
		return s.finish()
	}},
	{"a key is lost with the disk", "", 2, func(s *story) *History {
		n := s.nodes[0]
		sent := s.send(n, "order/1", "k")
		s.append(n, sent)
		s.catchUp(s.nodes[1], 9)
		s.crash(n, 0, true, s.newOrigin())
		s.again(n, sent)
		s.answer(n, sent.Draft, s.append(n, sent).ID, 1)
		return s.finish()
	}},
	{"sent twice without a key", "", 2, func(s *story) *History {
		n := s.nodes[0]
		sent := s.send(n, "order/1", "")
		s.append(n, sent)
		s.again(n, sent)
		s.append(n, sent)
		return s.finish()
	}},
	{"refused", "", 1, func(s *story) *History {
		sent := s.send(s.nodes[0], "order/1", "")
		s.add(Answered{Moment: s.moment(s.nodes[0]), Draft: sent.Draft, Err: "clock_skew"})
		return s.finish()
	}},

	{"an acknowledged update is on no node", "C1", 3, func(s *story) *History {
		shared(s)
		n := s.nodes[0]
		s.publish(n, "order/1", "")
		s.crash(n, len(n.order)-1, false, n.origin)
		return s.finish()
	}},
	{"one node lacks an acknowledged update", "C1 C9", 3, func(s *story) *History {
		shared(s)
		u := s.publish(s.nodes[0], "order/1", "")
		s.finish()
		s.forget(s.nodes[2], u)
		s.look()
		return &s.h
	}},
	{"another draft has the place of an acknowledged one", "C1 C2", 2, func(s *story) *History {
		n := s.nodes[0]
		s.publish(n, "order/1", "")
		s.crash(n, 1, false, n.origin)
		s.append(n, s.send(n, "order/1", ""))
		return s.finish()
	}},
	{"a disk that was not lost loses what was acknowledged, and the other one was", "C1", 2, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.catchUp(s.nodes[1], 9)
		s.answer2(s.nodes[0], u, 2)
		s.crash(s.nodes[0], 0, true, s.newOrigin())
		s.crash(s.nodes[1], 0, false, s.nodes[1].origin)
		return s.finish()
	}},
	{"one of two that counted, of three that could, had it and lost it", "C1", 4, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.catchUp(s.nodes[1], 9)
		s.catchUp(s.nodes[2], 9)
		s.answer2(s.nodes[0], u, 3)
		s.crash(s.nodes[0], 0, true, s.newOrigin())
		s.crash(s.nodes[1], 0, true, s.newOrigin())
		s.crash(s.nodes[2], 0, false, s.nodes[2].origin)
		return s.finish()
	}},
	{"the disk was lost, and a node that lives had taken it", "C1 C4", 2, func(s *story) *History {
		n, other := s.nodes[0], s.nodes[1]
		s.publish(n, "order/1", "")
		s.catchUp(other, 9)
		s.crash(n, 0, true, s.newOrigin())
		other.retain(nil)
		return s.finish()
	}},
	{"acknowledged by more nodes than had it", "C1", 3, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.catchUp(s.nodes[1], 9)
		s.answer2(s.nodes[0], u, 3)
		return s.finish()
	}},
	{"a node in memory counts itself", "C1", 2, func(s *story) *History {
		n := s.join(false)
		u := s.publish(n, "order/1", "")
		s.answer2(n, u, 1)
		return s.finish()
	}},
	{"called unchanged, and nowhere published", "C1", 1, func(s *story) *History {
		sent := s.send(s.nodes[0], "order/1", "")
		s.add(Answered{Moment: s.moment(s.nodes[0]), Draft: sent.Draft, Unchanged: true})
		return s.finish()
	}},

	{"an update of no draft", "C8", 2, func(s *story) *History {
		n := s.nodes[0]
		s.append(n, Sent{Draft: 77, Subject: "order/1", Delta: `{"d":77}`})
		return s.finish()
	}},
	{"an update before its draft", "C8", 1, func(s *story) *History {
		n := s.nodes[0]
		s.append(n, Sent{Draft: 0, Subject: "order/1", Delta: `{"d":0}`})
		s.add(Sent{Moment: s.moment(n), Draft: 0, Subject: "order/1", Delta: `{"d":0}`})
		return s.finish()
	}},
	{"a draft appears twice under one key", "C8", 2, func(s *story) *History {
		n := s.nodes[0]
		sent := s.send(n, "order/1", "k")
		s.append(n, sent)
		s.crash(n, len(n.order), false, n.origin)
		s.again(n, sent)
		s.append(n, sent)
		return s.finish()
	}},
	{"and on one chain, though the disk was set back", "C8", 2, func(s *story) *History {
		n := s.nodes[0]
		sent := s.send(n, "order/1", "k")
		s.append(n, sent)
		s.catchUp(s.nodes[1], 9)
		s.crash(n, 0, true, n.origin)
		s.catchUp(n, 9)
		s.again(n, sent)
		s.append(n, sent)
		return s.finish()
	}},
	{"a draft that was sent once appears twice", "C8", 2, func(s *story) *History {
		sent := s.send(s.nodes[0], "order/1", "")
		s.append(s.nodes[0], sent)
		s.append(s.nodes[0], sent)
		return s.finish()
	}},
	{"a draft appears at a node that it was not sent to", "C8", 2, func(s *story) *History {
		s.append(s.nodes[1], s.send(s.nodes[0], "order/1", ""))
		return s.finish()
	}},
	{"a retry gives another update", "C1 C8", 2, func(s *story) *History {
		n := s.nodes[0]
		sent := s.send(n, "order/1", "k")
		u := s.append(n, sent)
		s.answer(n, sent.Draft, u.ID, 1)
		s.again(n, sent)
		s.answer(n, sent.Draft, chain.ID{Origin: n.origin, Seq: 3}, 1)
		s.publish(n, "order/1", "")
		return s.finish()
	}},
	{"the delta is another one", "C8", 2, func(s *story) *History {
		n := s.nodes[0]
		sent := s.send(n, "order/1", "")
		sent.Delta = strings.Replace(sent.Delta, "1.50", "1.5", 1)
		s.append(n, sent)
		return s.finish()
	}},
	{"a dependency that the caller named is missing", "C8", 2, func(s *story) *History {
		u := shared(s)[1]
		n := s.nodes[0]
		sent := s.send(n, "order/1", "", u)
		sent.Deps = nil
		s.append(n, sent)
		return s.finish()
	}},
	{"refused, and applied", "C8", 1, func(s *story) *History {
		n := s.nodes[0]
		sent := s.send(n, "order/1", "")
		s.add(Answered{Moment: s.moment(n), Draft: sent.Draft, Err: "clock_skew"})
		s.append(n, sent)
		return s.finish()
	}},
	{"refused, with an update all the same", "C8", 1, func(s *story) *History {
		sent := s.send(s.nodes[0], "order/1", "")
		s.add(Answered{Moment: s.moment(s.nodes[0]), Draft: sent.Draft, Err: "clock_skew", ID: chain.ID{Origin: s.nodes[0].origin, Seq: 2}})
		return s.finish()
	}},
	{"the subject is another one", "C8", 2, func(s *story) *History {
		sent := s.send(s.nodes[0], "order/1", "")
		sent.Subject = "order/2"
		s.append(s.nodes[0], sent)
		return s.finish()
	}},
	{"answered twice", "C8", 1, func(s *story) *History {
		u := s.publish(s.nodes[0], "order/1", "")
		s.answer(s.nodes[0], u.Draft, u.ID, 1)
		return s.finish()
	}},
	{"a node that runs begins again", "C8", 2, func(s *story) *History {
		s.open(s.nodes[0], s.newOrigin())
		return s.finish()
	}},
	{"applied by a node that does not run", "C8", 2, func(s *story) *History {
		s.publish(s.nodes[0], "order/1", "")
		s.end(s.nodes[1], false)
		s.catchUp(s.nodes[1], 9)
		return s.finish()
	}},
}

// again sends a draft once more.
func (s *story) again(n *storyNode, sent Sent) {
	sent.Moment = s.moment(n)
	s.add(sent)
}

// answer2 asks again for an update, and has it acknowledged by so many nodes.
func (s *story) answer2(n *storyNode, u Update, acks int) {
	s.add(Sent{Moment: s.moment(n), Draft: u.Draft, Subject: u.Subject, Deps: u.Deps, Delta: u.Delta})
	s.add(Answered{Moment: s.moment(n), Draft: u.Draft, ID: u.ID, Acks: acks, Repeated: true})
}
