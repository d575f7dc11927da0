package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// story writes a history as an ideal mesh would have it: whatever it is told to
// do, it does right, so that what is wrong in a history was put there by a test.
type story struct {
	h         History
	at        time.Duration
	nodes     []*storyNode
	consumers map[int]*storyConsumer
	frozen    chain.Frontier
	drafts    int
	origins   int
}

type storyNode struct {
	index, life int
	durable, up bool
	authority   string
	origin      chain.Origin
	order       []Update // applied, in the order in which it was
	has         chain.Frontier
	frozen      chain.Frontier
	clock       chain.HLC
	acked       int      // how many of its order an acknowledgement counted as durable
	owed        []Update // own ones that a freeze took back, until they are published again
}

type storyConsumer struct {
	prefix    string
	authority []string
	cursor    chain.Frontier
	told      chain.Frontier
}

// newStory has so many nodes with disks, all running.
func newStory(nodes int) *story {
	s := &story{consumers: map[int]*storyConsumer{}, frozen: chain.Frontier{}}
	s.h.ConvergeWithin = 10 * time.Second
	for range nodes {
		s.join(true)
	}
	return s
}

func (s *story) join(durable bool) *storyNode {
	n := &storyNode{index: len(s.nodes), durable: durable, authority: fmt.Sprintf("authority-%d", len(s.nodes)%2), has: chain.Frontier{}, frozen: chain.Frontier{}}
	s.nodes = append(s.nodes, n)
	s.open(n, s.newOrigin())
	return n
}

func (s *story) newOrigin() (o chain.Origin) {
	s.origins++
	binary.BigEndian.PutUint32(o[:], uint32(s.origins*0x9e3779b1&0xffffffff))
	o[15] = byte(s.origins)
	return o
}

func (s *story) add(e Event) { s.h.Events = append(s.h.Events, e) }

func (s *story) moment(n *storyNode) Moment {
	s.at += time.Millisecond
	return Moment{s.at, n.index, n.life}
}

func (s *story) open(n *storyNode, o chain.Origin) {
	n.life++
	n.up, n.origin = true, o
	s.add(Opened{s.moment(n), o, n.durable, n.authority, n.has.Clone(), maps.Clone(n.frozen)})
	for _, o := range s.frozen.Origins() {
		s.freeze(n, o, s.frozen[o])
	}
	if _, frozen := n.frozen[n.origin]; !frozen {
		s.publishAgain(n)
	}
}

// publishAgain has a node publish under its new origin what it wrote under earlier
// ones, and a freeze took back.
func (s *story) publishAgain(n *storyNode) {
	for _, u := range n.owed {
		again := Sent{Draft: u.Draft, Subject: u.Subject, Delta: u.Delta}
		for _, id := range append(slices.Clone(u.Deps), chain.ID{Origin: u.ID.Origin, Seq: n.has[u.ID.Origin]}) {
			if id.Seq > 0 && n.has.Has(id) {
				again.Deps = append(again.Deps, id)
			}
		}
		s.append(n, again)
	}
	n.owed = nil
}

// crash ends a life and opens the next. keep is how many of what the node applied
// it still has; lost, whether the disk was lost or set back to that.
func (s *story) crash(n *storyNode, keep int, lost bool, o chain.Origin) {
	s.end(n, lost)
	n.retain(n.order[:keep:keep])
	if lost || !n.durable {
		n.owed = nil
	}
	s.open(n, o)
}

func (s *story) end(n *storyNode, lost bool) {
	s.add(Ended{s.moment(n), lost})
	s.h.Forks = s.h.Forks || lost
	n.up = false
}

// retain leaves a node with those updates alone.
func (n *storyNode) retain(order []Update) {
	n.order, n.has, n.acked = order, chain.Frontier{}, min(n.acked, len(order))
	for _, u := range n.order {
		n.has[u.ID.Origin] = max(n.has[u.ID.Origin], u.ID.Seq)
	}
}

// publish gives a node a draft and has it answered, with the acks of the nodes
// that took it before if acked names some.
func (s *story) publish(n *storyNode, subject, key string, deps ...Update) Update {
	sent := s.send(n, subject, key, deps...)
	u := s.append(n, sent)
	s.answer(n, sent.Draft, u.ID, bit01(n.durable))
	return u
}

func bit01(b bool) int { return map[bool]int{true: 1}[b] }

func (s *story) send(n *storyNode, subject, key string, deps ...Update) Sent {
	sent := Sent{Moment: s.moment(n), Draft: s.drafts, Subject: subject, Key: key}
	for _, d := range deps {
		sent.Deps = append(sent.Deps, d.ID)
	}
	sent.Delta = fmt.Sprintf(`{"d":%d,"m":{"k%d":1.50,"k%d":null},"l":[null,%d]}`, s.drafts, s.drafts%3, (s.drafts+1)%3, s.drafts)
	s.drafts++
	s.add(sent)
	return sent
}

func (s *story) answer(n *storyNode, draft int, id chain.ID, acks int) {
	s.add(Answered{Moment: s.moment(n), Draft: draft, ID: id, Acks: acks})
}

// append makes the update of a draft, after a genesis if there is none yet.
func (s *story) append(n *storyNode, sent Sent) Update {
	if n.has[n.origin] == 0 {
		s.take(n, s.link(n, Update{Draft: -1}))
	}
	u := Update{Subject: sent.Subject, Draft: sent.Draft, Delta: sent.Delta}
	for _, id := range sent.Deps {
		if id.Origin != n.origin {
			u.Deps = append(u.Deps, id)
		}
	}
	u = s.link(n, u)
	s.take(n, u)
	return u
}

func (s *story) link(n *storyNode, u Update) Update {
	u.ID = chain.ID{Origin: n.origin, Seq: n.has[n.origin] + 1}
	u.HLC, _ = n.clock.Next(int64(s.at/time.Millisecond) / 4 * 4)
	u.Hash = chain.Hash(sha256.Sum256(fmt.Appendf(nil, "%v %d", u.ID, u.Draft)))
	return u
}

func (s *story) take(n *storyNode, updates ...Update) {
	for _, u := range updates {
		s.add(Took{s.moment(n), u})
		n.order = append(n.order, u)
		n.has[u.ID.Origin] = u.ID.Seq
		n.clock = max(n.clock, u.HLC)
	}
}

// catchUp has a node take up to so many of the updates that running nodes have.
func (s *story) catchUp(n *storyNode, most int) {
	for took := 0; took < most; {
		before := took
		for _, from := range s.nodes {
			for _, u := range from.order {
				if took < most && from.up && n.takes(u) {
					s.take(n, u)
					took++
				}
			}
		}
		if took == before {
			return
		}
	}
}

func (n *storyNode) takes(u Update) bool {
	if above(n.frozen, u.ID) || n.has[u.ID.Origin]+1 != u.ID.Seq {
		return false
	}
	for _, d := range u.Deps {
		if !n.has.Has(d) && !above(n.frozen, d) {
			return false
		}
	}
	return true
}

func (s *story) freeze(n *storyNode, o chain.Origin, after chain.Seq) {
	lower(s.frozen, o, after)
	if at, ok := n.frozen[o]; ok && at <= after {
		return
	}
	n.frozen[o] = after
	for _, u := range n.order {
		if o == n.origin && u.Draft >= 0 && above(n.frozen, u.ID) {
			n.owed = append(n.owed, u)
		}
	}
	n.retain(slices.DeleteFunc(slices.Clone(n.order), func(u Update) bool { return above(n.frozen, u.ID) }))
	s.add(Froze{s.moment(n), o, after})
}

// poll is one batch of at most so many updates.
func (s *story) poll(number int, n *storyNode, limit int) Polled {
	c := s.consumers[number]
	if c == nil {
		c = &storyConsumer{}
		s.consumers[number] = c
	}
	if c.cursor == nil {
		c.cursor, c.told = chain.Frontier{}, chain.Frontier{}
	}
	p := Polled{
		Moment: s.moment(n), Consumer: number, Prefix: c.prefix, Authority: c.authority,
		Since: c.cursor, Cursor: c.cursor.Clone(), Retracted: map[chain.Origin]chain.Seq{}, UpToDate: true,
	}
	for o, after := range n.frozen {
		if p.Cursor[o] > after {
			p.Cursor[o], p.Retracted[o] = after, after
		}
	}
	for _, o := range p.Cursor.Origins() {
		at, frozen := n.frozen[o]
		if after, told := c.told[o]; p.Cursor[o] > n.has[o] || (told && (!frozen || at > after)) {
			p.Behind = append(p.Behind, o)
		}
	}
	lowerAll(c.told, n.frozen)
	for _, u := range stitch(n.order) {
		if p.Cursor.Has(u.ID) || above(c.told, u.ID) {
			continue
		}
		admitted := u.Subject != "" && chain.Prefix(c.prefix).Contains(u.Subject) &&
			(len(c.authority) == 0 || slices.Contains(c.authority, s.authorityOf(u.ID.Origin)))
		if admitted && len(p.Updates) == limit {
			p.UpToDate = false
			break
		}
		p.Cursor[u.ID.Origin] = u.ID.Seq
		if admitted {
			p.Updates = append(p.Updates, u)
		}
	}
	c.cursor = p.Cursor
	s.add(p)
	return p
}

func (s *story) authorityOf(o chain.Origin) string {
	for _, e := range s.h.Events {
		if e, ok := e.(Opened); ok && e.Origin == o {
			return e.Authority
		}
	}
	return ""
}

func stitch(updates []Update) []Update {
	return slices.SortedFunc(slices.Values(updates), func(a, b Update) int {
		return chain.Stamp{HLC: a.HLC, ID: a.ID}.Compare(chain.Stamp{HLC: b.HLC, ID: b.ID})
	})
}

func (s *story) read(n *storyNode, subject string, atLeast ...Update) Read {
	r := Read{Moment: s.moment(n), Subject: subject, Answered: true}
	for _, u := range atLeast {
		r.AtLeast = append(r.AtLeast, u.ID)
		r.Answered = r.Answered && n.has.Has(u.ID)
	}
	for _, u := range n.order {
		if r.Answered && u.Subject == subject {
			r.Holds = append(r.Holds, u.ID)
		}
	}
	s.add(r)
	return r
}

// finish heals, lets all that run converge and the consumers catch up, and looks
// at the nodes.
func (s *story) finish() *History {
	s.h.HealedAt = s.at
	for _, n := range s.nodes {
		for _, o := range s.frozen.Origins() {
			if n.up {
				s.freeze(n, o, s.frozen[o])
			}
		}
	}
	for _, n := range s.nodes {
		if n.up {
			s.catchUp(n, 1<<30)
		}
	}
	s.at += time.Millisecond
	s.h.ConvergedAt = s.at
	for _, number := range slices.Sorted(maps.Keys(s.consumers)) {
		for _, n := range s.nodes {
			if n.up {
				s.poll(number, n, 1<<30)
				break
			}
		}
	}
	s.look()
	return &s.h
}

func (s *story) look() {
	s.h.Finals = nil
	for _, n := range s.nodes {
		if n.up {
			s.h.Finals = append(s.h.Finals, s.final(n))
		}
	}
}

func (s *story) final(n *storyNode) Final {
	f := Final{
		Node: n.index, Origin: n.origin, Frontier: n.has.Clone(), Frozen: maps.Clone(n.frozen),
		Views: map[string]string{}, Histories: map[string][]Update{}, Log: slices.Clone(n.order),
	}
	slices.SortFunc(f.Log, func(a, b Update) int { return a.ID.Compare(b.ID) })
	heads := map[chain.Origin]chain.Hash{}
	for _, u := range f.Log {
		heads[u.ID.Origin] = u.Hash
	}
	h := sha256.New()
	for _, o := range f.Frontier.Origins() {
		fmt.Fprintln(h, o, f.Frontier[o], heads[o])
	}
	for _, o := range n.frozen.Origins() {
		fmt.Fprintln(h, "freeze", o, n.frozen[o])
	}
	f.Root = chain.Hash(h.Sum(nil))
	for _, u := range stitch(n.order) {
		if u.Subject != "" {
			f.Histories[u.Subject] = append(f.Histories[u.Subject], u)
		}
	}
	for subject, history := range f.Histories {
		f.Views[subject] = s.view(subject, history)
	}
	return f
}

// view is folded by package chain, so that the checker's own fold is held to it.
func (s *story) view(subject string, history []Update) string {
	status, own := mustValue("{}"), map[string]chain.Value{}
	for _, u := range history {
		delta, name := mustValue(u.Delta), s.authorityOf(u.ID.Origin)
		status = chain.Merge(status, delta)
		if _, ok := own[name]; !ok {
			own[name] = mustValue("{}")
		}
		own[name] = chain.Merge(own[name], delta)
	}
	b := status.Append(append(strconv.AppendQuote([]byte(`{"subject":`), subject), `,"status":`...))
	b = append(b, `,"authorities":{`...)
	for i, name := range sortedKeys(own) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(own[name].Append(append(strconv.AppendQuote(b, name), `:{"status":`...)), '}')
	}
	return string(fmt.Appendf(b, `},"updates":%d}`, len(history)))
}

func mustValue(text string) chain.Value {
	v, err := chain.ParseValue([]byte(text))
	if err != nil {
		panic(err)
	}
	return v
}

// alter changes the last event of a type that is picked, and reports whether
// there was one.
func alter[E Event](h *History, pick func(E) bool, change func(*E)) bool {
	for i, e := range slices.Backward(h.Events) {
		if e, ok := e.(E); ok && pick(e) {
			change(&e)
			h.Events[i] = e
			return true
		}
	}
	return false
}

func anyOf[E Event](E) bool { return true }
