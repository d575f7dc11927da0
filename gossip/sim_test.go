package gossip_test

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// simNet runs engines over a simulated network, in one goroutine, under one
// seed. Streams keep the order of their frames and lose what is in flight when
// they are reset; between streams anything may overtake anything.
type simNet struct {
	rand   *rand.Rand
	now    time.Duration
	events simEvents
	serial uint64
	nodes  []*simNode
	links  map[[2]int]*simLink // by the lower index first
	conf   simConf
	trace  hash.Hash64
	frames map[gossip.FrameKind]int
	every  int // how many events pass between two looks at a condition
}

// simConf is the weather.
type simConf struct {
	delay     time.Duration // least one way; each link adds up to as much again
	rate      float64       // bytes a second of a link
	duplicate float64       // chance that a frame comes twice
	commit    time.Duration // most that a ledger takes for a batch
	limits    gossip.Limits
}

type simEvent struct {
	at     time.Duration
	serial uint64
	do     func()
}

type simEvents []simEvent

func (h simEvents) Len() int { return len(h) }
func (h simEvents) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].serial < h[j].serial
}
func (h simEvents) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *simEvents) Push(x any)   { *h = append(*h, x.(simEvent)) }
func (h *simEvents) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// simLink is the stream between two nodes, or its absence.
type simLink struct {
	a, b   int
	up     bool
	cut    bool          // partitioned: it does not come up
	era    int           // counts resets: what was in flight before one is lost
	delay  time.Duration // one way
	rate   float64
	busy   [2]time.Duration // until when each direction's writer writes
	arrive [2]time.Duration // when the last frame of each direction arrives
}

// simNode is an engine with a ledger that keeps contiguous chains.
type simNode struct {
	net     *simNet
	index   int
	origin  chain.Origin
	engine  *gossip.Engine
	logs    map[chain.Origin]*simLog
	root    chain.Root
	skew    int64 // wall clock, in milliseconds
	up      bool
	life    int // counts starts
	tickAt  time.Duration
	busy    time.Duration
	lag     time.Duration // how much later its ledger answers than others'
	got     int           // updates that frames brought
	caught  time.Duration
	acks    map[chain.Origin]chain.Seq
	ownHead []gossip.OwnHead
}

type simLog struct {
	runs    []gossip.Run
	durable int // runs that a crash leaves
}

func (l *simLog) head(o chain.Origin) chain.Head {
	if len(l.runs) == 0 {
		return chain.Head{Origin: o}
	}
	r := &l.runs[len(l.runs)-1]
	return chain.Head{Origin: o, Seq: r.Last, Hash: r.Hash}
}

func newSimNet(seed uint64, nodes int, conf simConf) *simNet {
	n := &simNet{
		rand: rand.New(rand.NewPCG(seed, 0)), conf: conf, trace: fnv.New64a(),
		links: map[[2]int]*simLink{}, frames: map[gossip.FrameKind]int{},
	}
	for i := range nodes {
		node := &simNode{net: n, index: i, logs: map[chain.Origin]*simLog{}, acks: map[chain.Origin]chain.Seq{}}
		binary.BigEndian.PutUint64(node.origin[:], n.rand.Uint64())
		node.skew = n.rand.Int64N(200) - 100
		n.nodes = append(n.nodes, node)
		node.start()
	}
	for i := range nodes {
		for j := range i {
			delay := conf.delay + time.Duration(n.rand.Int64N(int64(conf.delay)+1))
			n.links[[2]int{j, i}] = &simLink{a: j, b: i, delay: delay, rate: conf.rate}
		}
	}
	return n
}

func (n *simNet) after(d time.Duration, do func()) {
	n.serial++
	heap.Push(&n.events, simEvent{n.now + d, n.serial, do})
}

// run runs the events up to a moment, or until done says so.
func (n *simNet) run(until time.Duration, done func() bool) bool {
	for steps := 0; len(n.events) > 0 && n.events[0].at <= until; steps++ {
		if steps%max(n.every, 1) == 0 && done != nil && done() {
			return true
		}
		e := heap.Pop(&n.events).(simEvent)
		n.now = e.at
		e.do()
	}
	n.now = max(n.now, until)
	return done != nil && done()
}

func (n *simNet) link(i, j int) *simLink { return n.links[[2]int{min(i, j), max(i, j)}] }

// eachLink visits the links in a fixed order.
func (n *simNet) eachLink(visit func(*simLink)) {
	for i := range n.nodes {
		for j := range i {
			visit(n.link(i, j))
		}
	}
}

// connect opens every stream that may be open, each after up to a spread.
func (n *simNet) connect(spread time.Duration) {
	n.eachLink(func(l *simLink) {
		n.after(time.Duration(n.rand.Int64N(int64(spread)+1)), func() { n.open(l) })
	})
}

func (n *simNet) open(l *simLink) {
	a, b := n.nodes[l.a], n.nodes[l.b]
	if l.up || l.cut || !a.up || !b.up {
		return
	}
	l.up = true
	l.era++
	l.busy, l.arrive = [2]time.Duration{}, [2]time.Duration{}
	a.engine.PeerUp(a.at(), b.origin)
	a.act()
	b.engine.PeerUp(b.at(), a.origin)
	b.act()
}

// reset closes a stream; it comes back after a while unless it is cut.
func (n *simNet) reset(l *simLink, again time.Duration) {
	if l.up {
		l.up = false
		l.era++
		for _, i := range []int{l.a, l.b} {
			if node := n.nodes[i]; node.up {
				node.engine.PeerDown(node.at(), n.nodes[l.a+l.b-i].origin)
				node.act()
			}
		}
	}
	if again > 0 {
		n.after(again, func() { n.open(l) })
	}
}

func (n *simNet) cut(l *simLink, cut bool) {
	if l.cut = cut; cut {
		n.reset(l, 0)
	}
}

// send writes a frame to a stream.
func (n *simNet) send(from, to *simNode, b []byte, size int) {
	l := n.link(from.index, to.index)
	if !l.up {
		return
	}
	dir := 0
	if from.index == l.b {
		dir = 1
	}
	era := l.era
	l.busy[dir] = max(l.busy[dir], n.now) + time.Duration(float64(len(b))/l.rate*float64(time.Second))
	l.arrive[dir] = max(l.arrive[dir], l.busy[dir]+l.delay+time.Duration(n.rand.Int64N(int64(l.delay)/4+1)))
	n.after(l.busy[dir]-n.now, func() {
		if l.era == era {
			from.engine.Wrote(from.at(), to.origin, size)
			from.act()
		}
	})
	copies := 1
	if n.rand.Float64() < n.conf.duplicate {
		copies = 2
	}
	for range copies {
		n.after(l.arrive[dir]-n.now, func() {
			if l.era == era {
				n.note(to.index, b)
				to.receive(from.origin, b)
			}
		})
	}
}

// note adds a delivery to the trace.
func (n *simNet) note(node int, b []byte) {
	var head [16]byte
	binary.BigEndian.PutUint64(head[:], uint64(n.now))
	binary.BigEndian.PutUint64(head[8:], uint64(node))
	n.trace.Write(head[:])
	n.trace.Write(b)
}

// node returns the node of an origin.
func (n *simNet) node(o chain.Origin) *simNode {
	i := slices.IndexFunc(n.nodes, func(s *simNode) bool { return s.origin == o })
	return n.nodes[i]
}

// start begins a life of a node, with what its ledger has.
func (s *simNode) start() {
	s.up = true
	s.life++
	s.tickAt = 0
	s.busy = 0
	s.root = chain.Root{}
	var heads []chain.Head
	for _, o := range s.origins() {
		h := s.logs[o].head(o)
		heads = append(heads, h)
		s.root.Add(h)
	}
	s.engine = gossip.NewEngine(s.at(), gossip.EngineConfig{
		Self: s.origin, Epoch: uint64(s.index) + 1, Durable: true, Heads: heads, Root: s.root.Hash(), Limits: s.net.conf.limits,
	})
	s.engine.Durable(s.at(), heads)
}

// crash ends it: foreign runs that were not durable are lost.
func (s *simNode) crash() {
	s.up = false
	s.net.eachLink(func(l *simLink) {
		if l.a == s.index || l.b == s.index {
			s.net.reset(l, 0)
		}
	})
	for _, o := range s.origins() {
		if l := s.logs[o]; o != s.origin {
			l.runs = l.runs[:l.durable]
			if len(l.runs) == 0 {
				delete(s.logs, o)
			}
		}
	}
}

func (s *simNode) origins() []chain.Origin {
	var origins []chain.Origin
	for _, n := range s.net.nodes {
		if l := s.logs[n.origin]; l != nil && len(l.runs) > 0 {
			origins = append(origins, n.origin)
		}
	}
	return origins
}

func (s *simNode) at() gossip.At {
	return gossip.At{Mono: s.net.now, Wall: 1_700_000_000_000 + s.net.now.Milliseconds() + s.skew}
}

func (s *simNode) log(o chain.Origin) *simLog {
	l := s.logs[o]
	if l == nil {
		l = &simLog{}
		s.logs[o] = l
	}
	return l
}

// publish appends a run of some updates to the own chain.
func (s *simNode) publish(updates, bytes int, ackWanted bool) {
	l := s.log(s.origin)
	head := l.head(s.origin)
	r := chain.Run{Origin: s.origin, First: head.Seq + 1, Prev: head.Hash}
	for i := range updates {
		body := make([]byte, bytes)
		binary.BigEndian.PutUint64(body, uint64(r.First)+uint64(i))
		r.Entries = append(r.Entries, chain.Entry{Header: []byte{1}, Body: body})
	}
	run := simRun(&r)
	s.add(run)
	l.durable = len(l.runs)
	s.engine.Local(s.at(), []gossip.Run{run}, ackWanted)
	s.engine.Committed(s.at(), []chain.Head{l.head(s.origin)}, s.root.Hash())
	s.act()
}

// simRun links a run as a verified one is.
func simRun(r *chain.Run) gossip.Run {
	prev := r.Prev
	for i := range r.Entries {
		prev = chain.HashUpdate(prev, r.Entries[i].Header, r.Entries[i].Body)
	}
	return gossip.Run{Origin: r.Origin, First: r.First, Last: r.Last(), Hash: prev, Encoded: r.Append(nil)}
}

func (s *simNode) add(run gossip.Run) {
	l := s.log(run.Origin)
	s.root.Replace(l.head(run.Origin), chain.Head{Origin: run.Origin, Seq: run.Last, Hash: run.Hash})
	l.runs = append(l.runs, run)
}

func (s *simNode) receive(from chain.Origin, b []byte) {
	f, err := gossip.DecodeFrame(b)
	if err != nil {
		panic(fmt.Sprintf("own frame refused: %v", err))
	}
	s.net.frames[f.Kind()]++
	for _, runs := range [][]gossip.Run{framesRuns(f)} {
		for i := range runs {
			r, err := chain.DecodeRun(runs[i].Encoded)
			if err != nil {
				panic(fmt.Sprintf("own run refused: %v", err))
			}
			runs[i] = simRun(r)
			s.got += len(r.Entries)
		}
	}
	s.engine.Message(s.at(), from, f)
	s.act()
}

func framesRuns(f gossip.Frame) []gossip.Run {
	switch f := f.(type) {
	case *gossip.Push:
		return f.Runs
	case *gossip.Served:
		return f.Runs
	}
	return nil
}

// act carries out what the engine wants.
func (s *simNode) act() {
	out := s.engine.Take()
	for _, c := range out.Close {
		s.net.reset(s.net.link(s.index, s.net.node(c.Peer).index), time.Second)
	}
	for _, a := range out.Accept {
		s.accept(a)
	}
	for _, send := range out.Send {
		b := gossip.AppendFrame(nil, send.Frame)
		for _, to := range send.To {
			s.net.send(s, s.net.node(to), b, send.Size)
		}
	}
	life := s.life
	for _, r := range out.Read {
		s.net.after(100*time.Microsecond, func() {
			if s.life == life && s.up {
				runs, rest, err := gossip.ReadRanges(s.serve, r.Ranges, r.Bytes)
				s.engine.ReadDone(s.at(), r, runs, rest, err)
				s.act()
			}
		})
	}
	for _, a := range out.Acked {
		s.acks[a.Peer] = a.Head.Seq
	}
	s.ownHead = append(s.ownHead, out.OwnHeads...)
	if out.CaughtUp {
		s.caught = s.net.now
	}
	s.wake()
}

// wake arranges for the next tick.
func (s *simNode) wake() {
	next := max(s.engine.NextTick(), s.net.now+time.Microsecond)
	if next == 1<<63-1 || (s.tickAt > s.net.now && s.tickAt <= next) {
		return
	}
	s.tickAt = next
	life := s.life
	s.net.after(next-s.net.now, func() {
		if s.life == life && s.up && s.tickAt == s.net.now {
			s.engine.Tick(s.at())
			s.act()
		}
	})
}

// accept is the ledger: it takes runs in order, a batch at a time.
func (s *simNode) accept(a gossip.Accept) {
	s.busy = max(s.busy, s.net.now) + time.Duration(s.net.rand.Int64N(int64(s.net.conf.commit)+1))
	life, came := s.life, s.net.now
	s.net.after(s.busy+s.lag-s.net.now, func() {
		if s.life != life || !s.up {
			return
		}
		var outcomes []chain.Outcome
		var heads []chain.Head
		for _, run := range a.Runs {
			l := s.log(run.Origin)
			o := chain.Outcome{Verdict: chain.Accepted}
			switch head := l.head(run.Origin); {
			case run.First > head.Seq+1:
				o.Verdict = chain.Gap
			case run.Last <= head.Seq:
				o.Verdict, o.Duplicates = chain.Duplicate, run.Updates()
			default:
				o.Duplicates = int(head.Seq + 1 - run.First)
				s.add(run)
				heads = append(heads, l.head(run.Origin))
			}
			outcomes = append(outcomes, o)
		}
		s.engine.Committed(s.at(), heads, s.root.Hash())
		if a.Pushed {
			s.engine.Waited(s.at(), a.From, s.net.now-came)
		}
		s.engine.Outcome(s.at(), a.ID, outcomes)
		s.act()
		s.net.after(20*time.Millisecond, func() { s.sync(life) })
	})
}

// sync makes what is here durable.
func (s *simNode) sync(life int) {
	if s.life != life || !s.up {
		return
	}
	var heads []chain.Head
	for _, o := range s.origins() {
		if l := s.logs[o]; l.durable < len(l.runs) {
			l.durable = len(l.runs)
			heads = append(heads, l.head(o))
		}
	}
	s.engine.Durable(s.at(), heads)
	s.act()
}

// serve reads the log as gossip.ReadRanges wants it.
func (s *simNode) serve(o chain.Origin, from chain.Seq, size int) (runs [][]byte, err error) {
	l := s.logs[o]
	if l == nil {
		return nil, nil
	}
	i, _ := slices.BinarySearchFunc(l.runs, from, func(r gossip.Run, from chain.Seq) int {
		if r.Last < from {
			return -1
		}
		return 1
	})
	for total := 0; i < len(l.runs) && (total == 0 || total+len(l.runs[i].Encoded) <= size); i++ {
		runs = append(runs, l.runs[i].Encoded)
		total += len(l.runs[i].Encoded)
	}
	return runs, nil
}
