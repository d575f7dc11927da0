package gossip_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed of the network tests only")
	seedsFlag = flag.Int("seeds", 100, "number of seeds of the network tests")
)

var calm = simConf{delay: time.Millisecond, rate: 100e6, commit: time.Millisecond}

// converged reports whether every node has every update of every other.
func (n *simNet) converged() bool {
	for _, of := range n.nodes {
		want := chain.Seq(0)
		if l := of.logs[of.origin]; l != nil {
			want = l.head(of.origin).Seq
		}
		for _, at := range n.nodes {
			if !at.up {
				return false
			}
			if l := at.logs[of.origin]; want > 0 && (l == nil || l.head(of.origin).Seq != want) {
				return false
			}
		}
	}
	return true
}

// check is what holds at every moment: chains are contiguous and linked, and
// what is on two nodes is the same.
func (n *simNet) check() error {
	for _, at := range n.nodes {
		for _, o := range at.origins() {
			next := chain.Seq(1)
			for _, r := range at.logs[o].runs {
				if r.First > next || r.Last < next {
					return fmt.Errorf("node %d: chain %s goes on with %d to %d after %d", at.index, o, r.First, r.Last, next-1)
				}
				next = r.Last + 1
			}
		}
	}
	return nil
}

func TestCalmNetwork(t *testing.T) {
	n := newSimNet(1, 10, calm)
	n.connect(0)
	n.run(2*time.Second, nil)
	for i := range 300 {
		n.after(time.Duration(i)*3*time.Millisecond, func() { n.nodes[i%len(n.nodes)].publish(1+i%3, 200, i%7 == 0) })
	}
	n.run(3*time.Second, nil)
	if !n.converged() {
		t.Fatal("an update has not arrived a tenth of a second after it was published")
	}
	n.run(6*time.Second, nil)
	published, got := 0, 0
	for _, s := range n.nodes {
		published += int(s.logs[s.origin].head(s.origin).Seq)
		got += s.got
	}
	if copies := float64(got) / float64(published*(len(n.nodes)-1)); copies != 1 {
		t.Errorf("%.3f copies received per update and node, want 1", copies)
	}
	for _, s := range n.nodes {
		if st := s.engine.Stats(); st.Pulls > 0 || st.Gaps > 0 || st.ProtocolErrors > 0 {
			t.Errorf("node %d: %+v", s.index, st)
		}
		if live := s.live(); !s.engine.Converged(s.at(), 0, live, len(live)+1) {
			t.Errorf("node %d is not converged", s.index)
		}
		if s.caught == 0 || s.engine.CatchingUp() {
			t.Errorf("node %d never caught up", s.index)
		}
		for _, p := range s.engine.Peers() {
			if p.Behind != 0 || p.RTT == 0 {
				t.Errorf("node %d: peer behind by %d, round trip %v", s.index, p.Behind, p.RTT)
			}
		}
	}
}

// live are the other members that are up.
func (s *simNode) live() (live []chain.Origin) {
	for _, p := range s.net.nodes {
		if p != s && p.up {
			live = append(live, p.origin)
		}
	}
	return live
}

// A whole group that acknowledges: the origin hears it from every peer.
func TestAcknowledged(t *testing.T) {
	n := newSimNet(2, 5, calm)
	n.connect(0)
	n.run(time.Second, nil)
	n.nodes[0].publish(5, 100, true)
	n.run(n.now+100*time.Millisecond, nil)
	if got := n.nodes[0].engine.Acks(5); got != 4 {
		t.Fatalf("%d peers acknowledged, want 4", got)
	}
	for _, p := range n.nodes[1:] {
		if n.nodes[0].acks[p.origin] != 5 {
			t.Errorf("node %d acknowledged %d", p.index, n.nodes[0].acks[p.origin])
		}
	}
}

// An update that only one node reaches a third with comes there all the same.
func TestHealsAroundABrokenLink(t *testing.T) {
	n := newSimNet(3, 5, calm)
	n.connect(0)
	n.run(2*time.Second, nil)
	n.cut(n.link(0, 1), true)
	n.run(3*time.Second, nil)
	for i := range 20 {
		n.after(time.Duration(i)*50*time.Millisecond, func() { n.nodes[0].publish(1, 100, false) })
	}
	worst := time.Duration(0)
	for range 20 {
		start := n.now
		n.run(n.now+50*time.Millisecond, nil)
		want := n.nodes[0].log(n.nodes[0].origin).head(n.nodes[0].origin).Seq
		if !n.run(start+time.Second, func() bool {
			l := n.nodes[1].logs[n.nodes[0].origin]
			return l != nil && l.head(n.nodes[0].origin).Seq >= want
		}) {
			t.Fatalf("update %d has not arrived after a second", want)
		}
		worst = max(worst, n.now-start)
	}
	if worst > 300*time.Millisecond {
		t.Errorf("healed in %v, want 250 ms and a round trip", worst)
	}
}

// An empty node beside four that hold many chains.
func TestCatchUpOfALateNode(t *testing.T) {
	conf := calm
	conf.rate = 20e6
	n := newSimNet(4, 6, conf)
	late := n.nodes[5]
	n.eachLink(func(l *simLink) { l.cut = l.a == late.index || l.b == late.index })
	n.connect(0)
	for i := range 2000 {
		n.after(time.Duration(i)*time.Millisecond, func() { n.nodes[i%5].publish(10, 300, false) })
	}
	n.run(5*time.Second, nil)
	n.eachLink(func(l *simLink) { l.cut = false })
	n.connect(0)
	start := n.now
	if !n.run(start+10*time.Second, n.converged) {
		t.Fatalf("not caught up: %+v, %+v", late.engine.Progress(), late.engine.Stats())
	}
	if late.caught == 0 {
		n.run(n.now+time.Second, nil)
	}
	if late.caught == 0 || late.engine.Progress() != (gossip.Progress{Have: 20000, Want: 20000}) {
		t.Errorf("caught up at %v with %+v", late.caught, late.engine.Progress())
	}
	if late.got > 20400 {
		t.Errorf("%d updates came for 20,000", late.got)
	}
	t.Logf("20,000 updates, 6 MB, in %v of virtual time; %d pulls", n.now-start, late.engine.Stats().Pulls)
}

// A slow peer falls behind, costs the others nothing, and comes after.
func TestSlowPeer(t *testing.T) {
	conf := calm
	conf.limits = gossip.Limits{QueueBytes: 64 << 10}
	n := newSimNet(5, 5, conf)
	slow := n.nodes[4]
	for i := range 4 {
		n.link(i, slow.index).rate = 200e3
	}
	n.connect(0)
	n.run(time.Second, nil)
	for i := range 1000 {
		n.after(time.Duration(i)*time.Millisecond, func() { n.nodes[0].publish(4, 250, false) })
	}
	n.run(n.now+1050*time.Millisecond, nil)
	for _, s := range n.nodes[1:4] {
		if got := s.logs[n.nodes[0].origin].head(n.nodes[0].origin).Seq; got != 4000 {
			t.Errorf("node %d has %d of 4000 while another is slow", s.index, got)
		}
	}
	if n.nodes[0].engine.Stats().RunsDropped == 0 {
		t.Error("the slow peer's queue never ran over")
	}
	if !n.run(n.now+20*time.Second, n.converged) {
		t.Fatalf("the slow node never came after: %+v", slow.engine.Progress())
	}
	n.run(n.now+1100*time.Millisecond, nil) // by then a ping has said so
	start := n.now
	n.nodes[0].publish(1, 100, false)
	n.run(start+20*time.Millisecond, nil)
	if !n.converged() {
		t.Errorf("a peer that has caught up is not pushed to again: %+v, %d updates received", n.nodes[0].engine.Peers(), slow.got)
	}
}

// storm runs one seed of everything at once and returns its trace.
func storm(seed uint64) (uint64, error) {
	r := rand.New(rand.NewPCG(seed, 1))
	count := 3 + r.IntN(6)
	if r.IntN(20) == 0 {
		count = 30
	}
	conf := simConf{
		delay:     time.Duration(1+r.IntN(80)) * time.Millisecond,
		rate:      1e5 * float64(1+r.IntN(300)),
		duplicate: 0.02 * float64(r.IntN(3)),
		commit:    time.Duration(1+r.IntN(20)) * time.Millisecond,
		limits:    gossip.Limits{QueueBytes: 1 << (10 + r.IntN(12)), PullBytes: 1 << (12 + r.IntN(9)), VectorBytes: 64 << r.IntN(8)},
	}
	n := newSimNet(seed, count, conf)
	n.every = 64
	n.connect(time.Second)
	const faults = 4 * time.Second
	for range 10 * count {
		i, updates, bytes := r.IntN(count), 1+r.IntN(20), 8+r.IntN(400)
		n.after(time.Duration(r.Int64N(int64(faults))), func() {
			if s := n.nodes[i]; s.up {
				s.publish(updates, bytes, updates%3 == 0)
			}
		})
	}
	for range 3 * count {
		l := n.link(1+r.IntN(count-1), 0)
		if j, k := r.IntN(count), r.IntN(count); j != k {
			l = n.link(j, k)
		}
		again := time.Duration(1 + r.Int64N(int64(time.Second)))
		n.after(time.Duration(r.Int64N(int64(faults))), func() { n.reset(l, again) })
	}
	for range 2 {
		// A partition, or a node that some cannot reach.
		side := r.Uint64()
		at, length := time.Duration(r.Int64N(int64(faults))), time.Duration(r.Int64N(int64(faults)))
		n.after(at, func() {
			n.eachLink(func(l *simLink) { n.cut(l, side>>l.a&1 != side>>l.b&1) })
		})
		n.after(at+length, func() {
			n.eachLink(func(l *simLink) { l.cut = false })
			n.connect(500 * time.Millisecond)
		})
	}
	for range r.IntN(4) {
		s := n.nodes[r.IntN(count)]
		n.after(time.Duration(r.Int64N(int64(faults))), func() {
			if !s.up {
				return
			}
			s.crash()
			n.after(300*time.Millisecond, func() {
				s.start()
				n.connect(200 * time.Millisecond)
			})
		})
	}
	n.run(2*faults+time.Second, nil)
	if err := n.check(); err != nil {
		return 0, err
	}
	n.eachLink(func(l *simLink) { l.cut = false; l.rate = max(l.rate, 1e6) })
	n.connect(time.Second)
	healed := n.now
	if !n.run(healed+30*time.Second, n.converged) {
		for _, s := range n.nodes {
			if p := s.engine.Progress(); p.Have != p.Want || s.engine.Pulling() > 0 {
				return 0, fmt.Errorf("30 s after healing node %d has %+v: %+v", s.index, p, s.engine.Stats())
			}
		}
		return 0, fmt.Errorf("not converged 30 s after healing")
	}
	n.run(n.now+5*time.Second, nil)
	for _, s := range n.nodes {
		if live := s.live(); !s.engine.Converged(s.at(), 0, live, len(live)+1) {
			return 0, fmt.Errorf("node %d does not know that it is converged", s.index)
		}
		if st := s.engine.Stats(); st.ProtocolErrors > 0 {
			return 0, fmt.Errorf("node %d: %+v", s.index, st)
		}
	}
	return n.trace.Sum64(), n.check()
}

// Under delay, resets, partitions, crashes, duplicates, slow links and small
// queues everything reaches everyone once the faults end, and the same seed
// gives the same trace.
func TestStorms(t *testing.T) {
	first, last := uint64(1), uint64(*seedsFlag)
	if *seedFlag != 0 {
		first, last = *seedFlag, *seedFlag
	}
	for seed := first; seed <= last; seed++ {
		trace, err := storm(seed)
		if err != nil {
			t.Errorf("seed %d: %v\nreplay: go test ./gossip -run TestStorms -seed %d", seed, err, seed)
			continue
		}
		if again, err := storm(seed); err != nil || again != trace {
			t.Errorf("seed %d: trace %x, then %x, %v", seed, trace, again, err)
		}
	}
}
