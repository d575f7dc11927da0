package sim

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// judge is what is known of the mesh at an event, for all checks: what each
// node has applied, where each consumer stands, and every update that was ever
// seen, with all the contents that it was seen with.
type judge struct {
	h     *History
	pos   int // of the event
	now   time.Duration
	found []Violation

	nodes     map[int]*judgedNode
	consumers map[int]*judgedConsumer
	finals    []*judgedFinal

	sighted map[chain.ID][]*sighted
	order   []*sighted // as they were first seen
	took    *sighted   // what the event is about, if it is a Took
	polled  []*sighted // and if it is a Polled

	// What the whole history says, known from the start.
	frozen  chain.Frontier // the lowest freeze of each chain that anyone had
	writers map[chain.Origin]*judgedWriter
	opens   map[int][]int // positions of each node's Opened
	losses  map[int][]int // positions of its Ended with the disk lost or set back
	lives   map[judgedLife]int
}

// sighted is one content of an update. An ID that was seen with two has two.
type sighted struct {
	Update
	pos int // where it was first seen
	at  time.Duration
	// witnessed: by a node that does not write the chain, by a consumer, or by
	// anyone at the end. What is not may vanish with its writer's life.
	witnessed bool
	writer    judgedLife // the last life of a writer that applied it
	takes     []judgedTake
}

// judgedTake is a node that applied an update.
type judgedTake struct {
	life    judgedLife
	pos     int
	durable bool
}

type judgedWriter struct {
	authority string
	nodes     []int // more than one only if a key was copied
}

type judgedLife struct{ node, life int }

type judgedNode struct {
	life        judgedLife
	origin      chain.Origin
	up, durable bool
	logs        map[chain.Origin][]*sighted // applied, by seq less one; nil where it is not known what
	frozen      chain.Frontier
}

type judgedConsumer struct {
	began     bool
	prefix    string
	authority []string
	base      chain.Frontier // the place from which it began
	cursor    chain.Frontier
	got       map[chain.ID]bool
	told      chain.Frontier // freezes that its cursor carries
	retracted chain.Frontier // freezes that it was told to take back by
	last      Polled
	passed    chain.Frontier // up to which nothing beyond the cursor is admitted
}

type judgedFinal struct {
	*Final
	logs      map[chain.Origin][]*sighted
	histories map[string][]*sighted
}

func newJudge(h *History) *judge {
	j := &judge{
		h: h, nodes: map[int]*judgedNode{}, consumers: map[int]*judgedConsumer{},
		sighted: map[chain.ID][]*sighted{}, frozen: chain.Frontier{},
		writers: map[chain.Origin]*judgedWriter{}, opens: map[int][]int{}, losses: map[int][]int{},
		lives: map[judgedLife]int{},
	}
	for pos, e := range h.Events {
		switch e := e.(type) {
		case Opened:
			w := j.writers[e.Origin]
			if w == nil {
				w = &judgedWriter{authority: e.Authority}
				j.writers[e.Origin] = w
			}
			if !slices.Contains(w.nodes, e.Node) {
				w.nodes = append(w.nodes, e.Node)
			}
			j.opens[e.Node] = append(j.opens[e.Node], pos)
			lowerAll(j.frozen, e.Frozen)
		case Ended:
			j.lives[judgedLife{e.Node, e.Life}] = pos
			if e.Lost {
				j.losses[e.Node] = append(j.losses[e.Node], pos)
			}
		case Froze:
			lower(j.frozen, e.Origin, e.After)
		}
	}
	for i := range h.Finals {
		lowerAll(j.frozen, h.Finals[i].Frozen)
	}
	return j
}

// lower takes in a freeze: the lowest of a chain counts.
func lower(freezes chain.Frontier, o chain.Origin, after chain.Seq) {
	if was, ok := freezes[o]; !ok || after < was {
		freezes[o] = after
	}
}

func lowerAll(freezes chain.Frontier, more map[chain.Origin]chain.Seq) {
	for o, after := range more {
		lower(freezes, o, after)
	}
}

// above reports whether a freeze takes the update back.
func above(freezes chain.Frontier, id chain.ID) bool {
	after, ok := freezes[id.Origin]
	return ok && id.Seq > after
}

func (m Moment) moment() Moment { return m }

func (m Moment) lifeOf() judgedLife { return judgedLife{m.Node, m.Life} }

func (j *judge) node(n int) *judgedNode {
	s := j.nodes[n]
	if s == nil {
		s = &judgedNode{logs: map[chain.Origin][]*sighted{}, frozen: chain.Frontier{}}
		j.nodes[n] = s
	}
	return s
}

func (n *judgedNode) head(o chain.Origin) chain.Seq { return chain.Seq(len(n.logs[o])) }

// update is the applied update of that ID, nil if there is none or it is not
// known which.
func (n *judgedNode) update(id chain.ID) *sighted { return logged(n.logs[id.Origin], id.Seq) }

func logged(log []*sighted, seq chain.Seq) *sighted {
	if seq == 0 || seq > chain.Seq(len(log)) {
		return nil
	}
	return log[seq-1]
}

// consumer is where a poll finds its consumer.
func (j *judge) consumer(p *Polled) *judgedConsumer {
	c := j.consumers[p.Consumer]
	if c == nil {
		c = &judgedConsumer{
			prefix: p.Prefix, authority: p.Authority, base: p.Since, cursor: p.Since,
			got: map[chain.ID]bool{}, told: chain.Frontier{}, retracted: chain.Frontier{}, passed: chain.Frontier{},
		}
		j.consumers[p.Consumer] = c
	}
	return c
}

// admits reports whether the consumer's filter lets the update pass. A genesis
// is in no feed.
func (j *judge) admits(c *judgedConsumer, u *sighted) bool {
	if u == nil || u.Subject == "" {
		return false
	}
	if rest, ok := strings.CutPrefix(u.Subject, c.prefix); !ok {
		return false
	} else if c.prefix != "" && c.prefix[len(c.prefix)-1] != '/' && rest != "" && rest[0] != '/' {
		return false
	} else if rest == "" && strings.HasSuffix(c.prefix, "/") {
		return false
	}
	if len(c.authority) == 0 {
		return true
	}
	w := j.writers[u.ID.Origin]
	return w != nil && slices.Contains(c.authority, w.authority)
}

// sight looks up the updates of the event, and notes the new ones.
func (j *judge) sight(e Event) {
	j.took, j.polled = nil, j.polled[:0]
	switch e := e.(type) {
	case Took:
		j.took = j.sightUpdate(&e.Update)
		if w := j.writers[e.Update.ID.Origin]; w != nil && slices.Contains(w.nodes, e.Node) {
			j.took.writer = e.lifeOf()
		} else {
			j.took.witnessed = true
		}
	case Polled:
		for i := range e.Updates {
			s := j.sightUpdate(&e.Updates[i])
			s.witnessed = true
			j.polled = append(j.polled, s)
		}
	}
}

func (j *judge) sightUpdate(u *Update) *sighted {
	for _, s := range j.sighted[u.ID] {
		if s.Hash == u.Hash && s.HLC == u.HLC && s.Draft == u.Draft && s.Subject == u.Subject &&
			s.Delta == u.Delta && s.Cause == u.Cause && s.Hook == u.Hook && s.Depth == u.Depth && slices.Equal(s.Deps, u.Deps) {
			return s
		}
	}
	s := &sighted{Update: *u, pos: j.pos, at: j.now}
	j.sighted[u.ID] = append(j.sighted[u.ID], s)
	j.order = append(j.order, s)
	return s
}

// follow brings nodes and consumers up to what the event says.
func (j *judge) follow(e Event) {
	switch e := e.(type) {
	case Opened:
		n := j.node(e.Node)
		n.life, n.origin, n.up, n.durable = e.lifeOf(), e.Origin, true, e.Durable
		n.frozen = chain.Frontier{}
		lowerAll(n.frozen, e.Frozen)
		for o, log := range n.logs {
			n.logs[o] = log[:min(len(log), int(min(e.Applied[o], chain.Seq(len(log)))))]
		}
		for o, seq := range e.Applied {
			n.logs[o] = j.pad(n.logs[o], seq)
		}
	case Ended:
		j.node(e.Node).up = false
	case Took:
		n, id := j.node(e.Node), e.Update.ID
		if log := j.pad(n.logs[id.Origin], id.Seq-1); chain.Seq(len(log)) == id.Seq-1 {
			n.logs[id.Origin] = append(log, j.took)
		}
		j.took.takes = append(j.took.takes, judgedTake{e.lifeOf(), j.pos, n.durable})
	case Froze:
		n := j.node(e.Node)
		lower(n.frozen, e.Origin, e.After)
		if log := n.logs[e.Origin]; chain.Seq(len(log)) > n.frozen[e.Origin] {
			n.logs[e.Origin] = log[:n.frozen[e.Origin]:n.frozen[e.Origin]]
		}
	case Polled:
		c := j.consumer(&e)
		c.began, c.cursor, c.last = true, e.Cursor, e
		lowerAll(c.told, j.node(e.Node).frozen)
		lowerAll(c.retracted, e.Retracted)
		for _, s := range j.polled {
			c.got[s.ID] = true
		}
	}
}

// pad fills a log up to a seq with what nobody saw, so that one gap is reported
// once. A seq beyond all reason is left alone.
func (j *judge) pad(log []*sighted, seq chain.Seq) []*sighted {
	if seq > chain.Seq(len(log)) && seq <= chain.Seq(len(log)+len(j.h.Events)) {
		log = append(log, make([]*sighted, int(seq)-len(log))...)
	}
	return log
}

// close looks at the end, which is after the last event.
func (j *judge) close() {
	j.pos = len(j.h.Events)
	j.now = max(j.now, j.h.HealedAt, j.h.ConvergedAt)
	j.took, j.polled = nil, nil
	for i := range j.h.Finals {
		f := &judgedFinal{Final: &j.h.Finals[i], logs: map[chain.Origin][]*sighted{}, histories: map[string][]*sighted{}}
		for k := range f.Log {
			s := j.sightUpdate(&f.Log[k])
			s.witnessed = true
			if log := f.logs[s.ID.Origin]; chain.Seq(len(log))+1 == s.ID.Seq {
				f.logs[s.ID.Origin] = append(log, s)
			}
		}
		for _, subject := range sortedKeys(f.Histories) {
			updates := f.Histories[subject]
			for k := range updates {
				s := j.sightUpdate(&updates[k])
				s.witnessed = true
				f.histories[subject] = append(f.histories[subject], s)
			}
		}
		j.finals = append(j.finals, f)
	}
}

// lostBetween reports whether a node's disk was lost or set back between two
// positions.
func (j *judge) lostBetween(node, from, to int) bool {
	return slices.ContainsFunc(j.losses[node], func(pos int) bool { return pos > from && pos < to })
}

// eraOf counts how often the node had lost its disk before a position.
func (j *judge) eraOf(node, pos int) int {
	n, _ := slices.BinarySearch(j.losses[node], pos)
	return n
}

// sortedKeys is for reports whose order must not depend on a map's.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
