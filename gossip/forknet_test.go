package gossip_test

import (
	"container/heap"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/gossip"
)

// forkNet is engines around real ledgers, which verify, compare and freeze, over
// a network that keeps the order of a stream and nothing else, in one goroutine
// under one seed.
type forkNet struct {
	t      *testing.T
	rand   *rand.Rand
	now    time.Duration
	events simEvents
	serial uint64
	nodes  []*forkNode
	cut    map[[2]int]bool
}

type forkNode struct {
	net     *forkNet
	index   int
	origin  chain.Origin
	store   chain.Store
	ledger  *chain.Ledger
	archive *chain.Archive
	engine  *gossip.Engine
	arrive  []time.Duration // at each node: when the last frame does
	eras    []int           // of the streams to each node; odd while open
	tickAt  time.Duration
}

func forkKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func newForkNet(t *testing.T, seed uint64, nodes int, limits gossip.Limits) *forkNet {
	n := &forkNet{t: t, rand: rand.New(rand.NewPCG(seed, 1)), cut: map[[2]int]bool{}}
	for i := range nodes {
		s := &forkNode{net: n, index: i, store: store.Memory(), arrive: make([]time.Duration, nodes), eras: make([]int, nodes)}
		var err error
		s.ledger, err = chain.NewLedger(s.store, chain.Config{Key: forkKey(fmt.Sprint("node", i)), Node: fmt.Sprint(i), Authority: "a"}, 1000)
		n.must(err)
		s.origin, s.archive = s.ledger.Origin(), chain.NewArchive(s.ledger)
		s.engine = gossip.NewEngine(s.at(), gossip.EngineConfig{Self: s.origin, Epoch: 1, Durable: true, Root: s.ledger.SyncRoot(), Limits: limits})
		n.nodes = append(n.nodes, s)
	}
	return n
}

func (n *forkNet) must(err error) {
	if err != nil {
		n.t.Helper()
		n.t.Fatal(err)
	}
}

func (n *forkNet) after(d time.Duration, do func()) {
	n.serial++
	heap.Push(&n.events, simEvent{n.now + d, n.serial, do})
}

func (n *forkNet) run(until time.Duration) {
	for len(n.events) > 0 && n.events[0].at <= until {
		e := heap.Pop(&n.events).(simEvent)
		n.now = e.at
		e.do()
	}
	n.now = until
}

// connect opens the streams that are not cut, and closes the others.
func (n *forkNet) connect() {
	for i, a := range n.nodes {
		for j, b := range n.nodes[:i] {
			cut := n.cut[[2]int{j, i}]
			if open := a.eras[j]%2 == 1; open == !cut {
				continue
			}
			a.eras[j], b.eras[i] = a.eras[j]+1, b.eras[i]+1
			for _, s := range []struct{ at, to *forkNode }{{a, b}, {b, a}} {
				if cut {
					s.at.engine.PeerDown(s.at.at(), s.to.origin)
				} else {
					s.at.engine.PeerUp(s.at.at(), s.to.origin)
				}
				s.at.act()
			}
		}
	}
}

func (s *forkNode) at() gossip.At {
	return gossip.At{Mono: s.net.now + time.Second, Wall: 1_700_000_000_000 + s.net.now.Milliseconds()}
}

func (s *forkNode) peer(o chain.Origin) *forkNode {
	for _, p := range s.net.nodes {
		if p.origin == o {
			return p
		}
	}
	return nil
}

func (s *forkNode) send(to *forkNode, b []byte, size int) {
	n := s.net
	era := s.eras[to.index]
	s.arrive[to.index] = max(s.arrive[to.index], n.now+time.Millisecond+time.Duration(n.rand.Int64N(int64(5*time.Millisecond))))
	n.after(s.arrive[to.index]-n.now, func() {
		if s.eras[to.index] != era {
			return
		}
		s.engine.Wrote(s.at(), to.origin, size)
		s.act()
		to.receive(s.origin, b)
	})
}

// receive does what the reader of a stream does: decode and verify, and drop
// what cannot be verified for want of a key.
func (s *forkNode) receive(from chain.Origin, b []byte) {
	f, err := gossip.DecodeFrame(b)
	s.net.must(err)
	if f, ok := f.(*gossip.Freeze); ok {
		f.Verified, err = chain.DecodeFreeze(f.Encoded)
		s.net.must(err)
		s.net.must(f.Verified.Verify())
	}
	runs := framesRuns(f)
	kept := runs[:0]
	for i := range runs {
		if r := s.verified(runs[i].Encoded); r != nil {
			h := r.Head()
			kept = append(kept, gossip.Run{Origin: r.Origin, First: r.First, Last: h.Seq, Hash: h.Hash, Encoded: runs[i].Encoded, Verified: r})
		}
	}
	switch f := f.(type) {
	case *gossip.Push:
		f.Runs = kept
	case *gossip.Served:
		f.Runs = kept
	}
	s.engine.Message(s.at(), from, f)
	s.act()
}

func (s *forkNode) verified(b []byte) *chain.Run {
	r, err := chain.DecodeRun(b)
	s.net.must(err)
	var key ed25519.PublicKey
	if r.First > 1 {
		info, ok := s.archive.Info(r.Origin)
		if !ok {
			return nil
		}
		key = info.Genesis.Key
	}
	s.net.must(r.Verify(key))
	return r
}

func (s *forkNode) act() {
	out := s.engine.Take()
	for _, c := range out.Close {
		s.net.t.Fatalf("node %d closes the stream to %s: %s", s.index, c.Peer, c.Reason)
	}
	for _, a := range out.Accept {
		s.net.after(time.Duration(s.net.rand.Int64N(int64(2*time.Millisecond))), func() { s.accept(a) })
	}
	for _, send := range out.Send {
		b := gossip.AppendFrame(nil, send.Frame)
		for _, to := range send.To {
			s.send(s.peer(to), b, send.Size)
		}
	}
	for _, r := range out.Read {
		runs, rest, err := gossip.ReadRanges(s.archive.Runs, r.Ranges, r.Bytes)
		s.net.must(err)
		s.net.after(0, func() { s.engine.ReadDone(s.at(), r, runs, rest, nil); s.act() })
	}
	for _, r := range out.Evidence {
		b, err := s.archive.Evidence(r.Origin)
		s.net.must(err)
		s.net.after(0, func() { s.engine.EvidenceRead(s.at(), r, b); s.act() })
	}
	next := max(s.engine.NextTick()-time.Second, s.net.now+time.Microsecond)
	if s.tickAt > s.net.now && s.tickAt <= next || next > s.net.now+time.Hour {
		return
	}
	s.tickAt = next
	s.net.after(next-s.net.now, func() {
		if s.tickAt == s.net.now {
			s.engine.Tick(s.at())
			s.act()
		}
	})
}

func (s *forkNode) accept(a gossip.Accept) {
	var outcomes []chain.Outcome
	for _, r := range a.Runs {
		out, err := s.ledger.Accept(r.Verified, s.at().Wall)
		s.net.must(err)
		outcomes = append(outcomes, out)
	}
	if a.Freeze != nil {
		out, err := s.ledger.AcceptFreeze(a.Freeze, s.at().Wall)
		s.net.must(err)
		outcomes = append(outcomes, out)
	}
	s.commit()
	s.engine.Outcome(s.at(), a.ID, outcomes)
	s.act()
}

// commit does what a node's writer does, in its order.
func (s *forkNode) commit() {
	batch, effects, err := s.ledger.Flush(s.at().Wall)
	s.net.must(err)
	s.net.must(s.store.Commit(batch, true))
	s.archive.Publish(s.ledger, effects)
	var ends []chain.ID
	for _, f := range effects.Frozen {
		ends = append(ends, chain.ID{Origin: f.Origin, Seq: f.After})
	}
	s.engine.Frozen(s.at(), ends)
	var own []gossip.Run
	for _, r := range effects.Own {
		h := r.Head()
		own = append(own, gossip.Run{Origin: r.Origin, First: r.First, Last: h.Seq, Hash: h.Hash, Encoded: r.Append(nil)})
	}
	s.engine.Local(s.at(), own, false)
	var heads []chain.Head
	for _, h := range effects.Heads {
		heads = append(heads, h.Received)
	}
	s.engine.Committed(s.at(), heads, s.ledger.SyncRoot())
}

func (s *forkNode) publish(subject, delta string) {
	p, err := chain.Prepare(chain.Draft{Subject: subject, Delta: []byte(delta)})
	s.net.must(err)
	_, err = s.ledger.Append(p, s.at().Wall)
	s.net.must(err)
	s.commit()
	s.act()
}

// learn gives the node's ledger runs that no stream brought.
func (s *forkNode) learn(runs []*chain.Run) {
	for _, r := range runs {
		out, err := s.ledger.Accept(s.verified(r.Append(nil)), s.at().Wall)
		s.net.must(err)
		if out.Verdict != chain.Accepted {
			s.net.t.Fatalf("node %d: %s", s.index, out.Verdict)
		}
		s.commit()
	}
	s.act()
}

// forker writes a chain that parts.
type forker struct {
	key  ed25519.PrivateKey
	tail *chain.Tail
}

func newForker(name string) *forker {
	key := forkKey(name)
	return &forker{key, &chain.Tail{Head: chain.Head{Origin: chain.OriginOf(key.Public().(ed25519.PublicKey))}}}
}

func (f *forker) part() *forker { return &forker{f.key, f.tail.Clone()} }

// write links updates and seals them in runs of at most so many.
func (f *forker) write(updates, most int, text string) (runs []*chain.Run) {
	for updates > 0 {
		r := &chain.Run{Origin: f.tail.Origin, First: f.tail.Seq + 1, Prev: f.tail.Hash}
		for range min(updates, most) {
			u := &chain.Update{Kind: chain.KindStatus, HLC: f.tail.HLC + 1<<16, Subject: "order/1", Delta: fmt.Appendf(nil, `{"%s":%d}`, text, f.tail.Seq)}
			if f.tail.Seq == 0 {
				g := chain.Genesis{Key: f.key.Public().(ed25519.PublicKey), Node: "fork", Authority: "fork"}
				u = &chain.Update{Kind: chain.KindGenesis, HLC: 1 << 32, Delta: g.AppendBody(nil)}
			}
			r.Entries = append(r.Entries, f.tail.Extend(u))
			updates--
		}
		r.Signature = chain.Sign(f.key, f.tail.Head)
		runs = append(runs, r)
	}
	return runs
}

// agreed reports what keeps nodes from telling the same, "" for nothing.
func (n *forkNet) agreed() string {
	want := n.nodes[0]
	view := func(s *forkNode) string {
		state, err := s.archive.View(context.Background(), "order/1")
		if err != nil {
			return err.Error()
		}
		return string(state.AppendView(nil))
	}
	for _, s := range n.nodes {
		switch {
		case s.ledger.SyncRoot() != want.ledger.SyncRoot():
			return fmt.Sprintf("node %d has another sync root; frozen %v and %v", s.index, s.archive.Freezes(), want.archive.Freezes())
		case s.ledger.Root() != want.ledger.Root():
			return fmt.Sprintf("node %d has another root", s.index)
		case view(s) != view(want):
			return fmt.Sprintf("node %d sees %s, not %s", s.index, view(s), view(want))
		}
	}
	return ""
}

// Whatever branches of a chain get into the mesh, where, and how long they and
// what they share are, all nodes find the fork, come to the same contents, and
// have nothing more to say to each other.
func TestForksAreFoundEverywhere(t *testing.T) {
	first, seeds := uint64(1), min(*seedsFlag, 60)
	if *seedFlag > 0 {
		first, seeds = *seedFlag, 1
	}
	for seed := first; seed < first+uint64(seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { forkSeed(t, seed) })
	}
}

func forkSeed(t *testing.T, seed uint64) {
	limits := gossip.Limits{}
	if seed%3 == 0 {
		limits = gossip.Limits{PullBytes: 16 << 10, VectorBytes: 128, FrameBytes: 4 << 10} // everything takes several pieces
	}
	n := newForkNet(t, seed, 3+int(seed%4), limits)
	pick := func() *forkNode { return n.nodes[n.rand.IntN(len(n.nodes))] }
	n.connect()
	n.run(2 * time.Second)
	f := newForker("forker")
	trunk := f.write(1+n.rand.IntN(300), 1+n.rand.IntN(50), "trunk")
	split := f.tail.Head
	pick().learn(trunk)
	n.run(n.now + time.Second)
	// Each branch comes in at another node while that one is alone.
	branches := 2 + n.rand.IntN(2)
	length := []int{1 + n.rand.IntN(400), 1 + n.rand.IntN(5), 1 + n.rand.IntN(400)}
	if n.rand.IntN(2) == 0 {
		length[1] = length[0] // of one length
	}
	order := n.rand.Perm(len(n.nodes))[:branches]
	for i := range n.nodes {
		for j := range i {
			n.cut[[2]int{j, i}] = true
		}
	}
	n.connect()
	for b, at := range order {
		branch := f.part()
		n.nodes[at].learn(branch.write(length[b], 1+n.rand.IntN(50), fmt.Sprint("branch", b)))
	}
	for i, s := range n.nodes {
		s.publish("order/1", fmt.Sprintf(`{"node%d":1}`, i))
	}
	n.run(n.now + time.Second)
	// Some streams come back at once, the others later.
	for pair := range n.cut {
		n.cut[pair] = (pair[0]+pair[1])%2 == int(seed%2)
	}
	n.connect()
	n.run(n.now + time.Duration(n.rand.IntN(4))*time.Second)
	clear(n.cut)
	n.connect()
	n.run(n.now + 40*time.Second)
	if why := n.agreed(); why != "" {
		t.Fatal(why)
	}
	for _, s := range n.nodes {
		frozen := s.archive.Frozen(split.Origin)
		if frozen == nil || frozen.After != split.Seq || s.ledger.Head(split.Origin) != split {
			t.Fatalf("node %d: frozen %v, head %v, want after %d", s.index, frozen, s.ledger.Head(split.Origin), split.Seq)
		}
	}
	// It is quiet: nobody wants, compares or sends anything any more.
	before := make([]gossip.Stats, len(n.nodes))
	for i, s := range n.nodes {
		before[i] = s.engine.Stats()
	}
	n.run(n.now + 150*time.Second)
	for i, s := range n.nodes {
		if got := s.engine.Stats(); got != before[i] {
			t.Errorf("node %d goes on: %+v after %+v", i, got, before[i])
		}
		if p := s.engine.Progress(); p.Have != p.Want {
			t.Errorf("node %d wants %d of %d", i, p.Want, p.Have)
		}
	}
}
