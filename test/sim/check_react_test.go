package sim

import (
	"fmt"

	"github.com/tidings-mesh/tidings/chain"
)

// reacts has the first hook begin on a node, with what comes now.
func (s *story) reacts(n *storyNode, isNew bool) {
	s.add(Reacts{Moment: s.moment(n), Hook: "answer", New: isNew, Place: n.has.Clone()})
}

// reactsAgain has it begin with what comes on a disk that was lost, although its
// authority had answered.
func (s *story) reactsAgain(n *storyNode) {
	s.add(Reacts{Moment: s.moment(n), Hook: "answer", New: true, Lost: true, Place: n.has.Clone()})
}

// reply is the hook's answer to an update.
func (s *story) reply(n *storyNode, to Update) Update {
	u := replyTo(n, to)
	if n.has[n.origin] == 0 {
		s.take(n, s.link(n, Update{Draft: -1}))
	}
	u = s.link(n, u)
	s.take(n, u)
	return u
}

func replyTo(n *storyNode, to Update) Update {
	return Update{
		Subject: fmt.Sprintf("answers/%d", n.index), Draft: -1, Delta: fmt.Sprintf(`{"to":"%s"}`, to.ID),
		Deps: []chain.ID{to.ID}, Cause: to.ID, Hook: "answer", Depth: to.Depth + 1,
	}
}

// asked has the hook begin on some nodes, and then another authority publish what
// it answers, which all of them take.
func asked(s *story, nodes ...*storyNode) Update {
	for _, n := range nodes {
		s.reacts(n, true)
	}
	u := s.publish(s.nodes[1], "hot/1", "")
	for _, n := range nodes {
		s.catchUp(n, 9)
	}
	return u
}

// Of three nodes the first and the last are of one authority.
var reactCases = []historyCase{
	{"an update is answered once", "", 3, func(s *story) *History {
		s.reply(s.nodes[0], asked(s, s.nodes[0]))
		return s.finish()
	}},
	{"what came before the hook wants no answer", "", 3, func(s *story) *History {
		s.publish(s.nodes[1], "hot/1", "")
		s.catchUp(s.nodes[0], 9)
		s.reacts(s.nodes[0], true)
		return s.finish()
	}},
	{"neither does what the own authority says, nor what the hook is not for", "", 3, func(s *story) *History {
		s.reacts(s.nodes[0], true)
		s.publish(s.nodes[2], "hot/1", "")
		s.publish(s.nodes[1], "hot/1", "")
		s.publish(s.nodes[1], "other", "")
		return s.finish()
	}},
	{"another node of the authority answers", "", 3, func(s *story) *History {
		s.reply(s.nodes[2], asked(s, s.nodes[0], s.nodes[2]))
		return s.finish()
	}},
	{"two answer that had not seen each other", "", 3, func(s *story) *History {
		u := asked(s, s.nodes[0], s.nodes[2])
		s.reply(s.nodes[0], u)
		s.reply(s.nodes[2], u)
		return s.finish()
	}},
	{"an answer is lost with its disk, and given again", "", 3, func(s *story) *History {
		n := s.nodes[0]
		u := asked(s, n)
		s.reply(n, u)
		s.crash(n, 0, true, s.newOrigin())
		s.reacts(n, true)
		s.catchUp(n, 9)
		s.reply(n, u)
		return s.finish()
	}},
	{"an answer is taken back, and published again", "", 3, func(s *story) *History {
		n := s.nodes[0]
		u := asked(s, n)
		s.crash(n, len(n.order), true, n.origin) // else nothing could fork
		s.reply(n, u)
		s.catchUp(s.nodes[2], 9)
		s.freeze(n, n.origin, 1)
		s.freeze(s.nodes[2], n.origin, 1)
		s.crash(n, len(n.order), false, s.newOrigin())
		s.reacts(n, false)
		s.reply(n, u)
		return s.finish()
	}},

	{"a disk is lost, and what came before all that was answered is left out", "", 3, func(s *story) *History {
		n := s.nodes[0]
		s.reacts(n, true)
		s.publish(s.nodes[1], "hot/1", "")
		s.publish(s.nodes[1], "other", "")
		s.publish(s.nodes[1], "other", "")
		u := s.publish(s.nodes[1], "hot/1", "")
		s.catchUp(n, 9)
		s.reply(n, u)
		s.catchUp(s.nodes[2], 9)
		s.crash(n, 0, true, s.newOrigin())
		s.catchUp(n, 9)
		s.reactsAgain(n)
		return s.finish()
	}},
	{"a disk is lost, and what came after all that was answered is left out", "C10", 3, func(s *story) *History {
		n := s.nodes[0]
		s.reply(n, asked(s, n))
		s.catchUp(s.nodes[2], 9)
		s.end(n, true)
		n.retain(nil)
		s.publish(s.nodes[1], "other", "")
		s.publish(s.nodes[1], "other", "")
		s.publish(s.nodes[1], "hot/1", "")
		s.open(n, s.newOrigin())
		s.catchUp(n, 9)
		s.reactsAgain(n)
		return s.finish()
	}},
	{"a disk is lost before anything was answered", "", 3, func(s *story) *History {
		n := s.nodes[0]
		asked(s, n)
		s.crash(n, 0, true, s.newOrigin())
		s.catchUp(n, 9)
		s.reacts(n, true)
		return s.finish()
	}},

	{"an update is never answered", "C10", 3, func(s *story) *History {
		asked(s, s.nodes[0])
		return s.finish()
	}},
	{"one that came while the node was down is not", "C10", 3, func(s *story) *History {
		n := s.nodes[0]
		s.reply(n, asked(s, n))
		s.end(n, false)
		s.publish(s.nodes[1], "other", "")
		s.publish(s.nodes[1], "other", "")
		s.publish(s.nodes[1], "hot/1", "")
		s.open(n, n.origin)
		s.reacts(n, false)
		return s.finish()
	}},
	{"a node answers twice", "C10", 3, func(s *story) *History {
		u := asked(s, s.nodes[0])
		s.reply(s.nodes[0], u)
		s.reply(s.nodes[0], u)
		return s.finish()
	}},
	{"a node answers again after a crash", "C10", 3, func(s *story) *History {
		n := s.nodes[0]
		u := asked(s, n)
		s.reply(n, u)
		s.crash(n, len(n.order), false, n.origin)
		s.reacts(n, false)
		s.reply(n, u)
		return s.finish()
	}},
	{"a disk was set back, and its answer came back from the others", "C10", 3, func(s *story) *History {
		n := s.nodes[0]
		u := asked(s, n)
		before := len(n.order)
		s.reply(n, u)
		s.catchUp(s.nodes[2], 9)
		s.crash(n, before, true, n.origin)
		s.reacts(n, false)
		s.catchUp(n, 9)
		s.reply(n, u)
		return s.finish()
	}},
	{"an answer is taken back, and given twice", "C10", 3, func(s *story) *History {
		n := s.nodes[0]
		u := asked(s, n)
		s.crash(n, len(n.order), true, n.origin)
		s.reply(n, u)
		s.freeze(n, n.origin, 1)
		s.crash(n, len(n.order), false, s.newOrigin())
		s.reply(n, u)
		s.reply(n, u)
		return s.finish()
	}},
	{"a node answers what it has seen its authority answer", "C10", 3, func(s *story) *History {
		u := asked(s, s.nodes[0], s.nodes[2])
		s.reply(s.nodes[0], u)
		s.catchUp(s.nodes[2], 9)
		s.reply(s.nodes[2], u)
		return s.finish()
	}},
	{"a place is lost, and its disk is not", "C10", 3, func(s *story) *History {
		n := s.nodes[0]
		s.reply(n, asked(s, n))
		s.crash(n, len(n.order), false, n.origin)
		s.reacts(n, true)
		return s.finish()
	}},
	{"an answer does not depend on its cause", "C10", 3, func(s *story) *History {
		n := s.nodes[0]
		u := replyTo(n, asked(s, n))
		u.Deps = nil
		s.take(n, s.link(n, Update{Draft: -1}))
		s.take(n, s.link(n, u))
		return s.finish()
	}},
	{"a chain of reactions is too long", "C10", 3, func(s *story) *History {
		n := s.nodes[0]
		u := replyTo(n, asked(s, n))
		u.Depth = chain.MaxReactions + 1
		s.take(n, s.link(n, Update{Draft: -1}))
		s.take(n, s.link(n, u))
		return s.finish()
	}},
}
