package gossip_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// A peer that makes up chains fills no more than a bounded place, keeps nobody
// from hearing of real ones, and leaves nothing behind.
func TestMadeUpChains(t *testing.T) {
	at := gossip.At{Mono: time.Second, Wall: 1_700_000_000_000}
	e, liar, honest := besideALiar(at)
	made := 0
	for range 100 {
		f := &gossip.Heads{}
		for range 1000 {
			made++
			var o chain.Origin
			binary.BigEndian.PutUint64(o[4:], uint64(made))
			f.Heads = append(f.Heads, chain.ID{Origin: o, Seq: 1000})
		}
		e.Message(at, liar, f)
		e.Take()
	}
	if refused := e.Stats().ChainsRefused; refused < 80_000 {
		t.Errorf("%d of 100,000 made-up heads were refused", refused)
	}
	// It does not answer, and goes. What it said goes with it.
	e.PeerDown(at, liar)
	e.Take()
	if p := e.Progress(); p != (gossip.Progress{}) {
		t.Errorf("progress %+v after the liar went", p)
	}
	real := chain.Origin{3}
	e.Message(at, honest, &gossip.Heads{Heads: []chain.ID{{Origin: real, Seq: 5}}})
	out := e.Take()
	if len(out.Send) != 1 || out.Send[0].Frame.Kind() != gossip.KindPull {
		t.Errorf("a real chain is not asked for: %+v", out.Send)
	}
}

// besideALiar is an engine with two peers.
func besideALiar(at gossip.At) (e *gossip.Engine, liar, honest chain.Origin) {
	liar, honest = chain.Origin{1}, chain.Origin{2}
	e = gossip.NewEngine(at, gossip.EngineConfig{Self: chain.Origin{9}})
	for _, p := range []chain.Origin{liar, honest} {
		e.PeerUp(at, p)
		e.Message(at, p, &gossip.Hello{Version: gossip.Version, Epoch: 1})
	}
	return e, liar, honest
}

// madeUp are heads of n chains that nobody has.
func madeUp(n int) *gossip.Heads {
	f := &gossip.Heads{}
	for i := range n {
		var o chain.Origin
		binary.BigEndian.PutUint64(o[4:], uint64(i+1))
		f.Heads = append(f.Heads, chain.ID{Origin: o, Seq: 1<<63 - 1})
	}
	return f
}

// While a peer has made up more chains than are looked through at each message, what
// another has is asked for when they are looked through next, which is soon.
func TestAskedForBesideMadeUpChains(t *testing.T) {
	at := gossip.At{Mono: time.Second}
	e, liar, honest := besideALiar(at)
	e.Message(at, liar, madeUp(16_000))
	e.Take()
	at.Mono += time.Millisecond
	real := chain.Origin{3}
	e.Message(at, honest, &gossip.Heads{Heads: []chain.ID{{Origin: real, Seq: 5}}})
	for began := at.Mono; at.Mono < began+100*time.Millisecond; at.Mono = e.NextTick() {
		e.Tick(at)
		for _, s := range e.Take().Send {
			if f, ok := s.Frame.(*gossip.Pull); ok && s.To[0] == honest && f.Ranges[0].Origin == real {
				return
			}
		}
		if next := e.NextTick(); next <= at.Mono {
			t.Fatalf("busy: at %s the next tick is at %s", at.Mono, next)
		}
	}
	t.Error("a real chain is not asked for within 100 ms")
}

// That the own clock was set shows at once, though every reading of a peer's is
// from before.
func TestOwnClockIsSet(t *testing.T) {
	at := gossip.At{Mono: time.Second, Wall: 1_700_000_000_000}
	e := gossip.NewEngine(at, gossip.EngineConfig{Self: chain.Origin{9}})
	for _, p := range []chain.Origin{{1}, {2}} {
		e.PeerUp(at, p)
		e.Message(at, p, &gossip.Hello{Version: gossip.Version, Epoch: 1})
		e.Message(at, p, &gossip.Ping{Echo: uint32(at.Mono / time.Microsecond), Wall: uint64(at.Wall)})
	}
	year := 365 * 24 * time.Hour
	for _, set := range []time.Duration{0, year, -year, time.Minute} {
		later := gossip.At{Mono: at.Mono + time.Second, Wall: at.Wall + 1000 + set.Milliseconds()}
		if c := e.Clock(later, []chain.Origin{{1}, {2}}); c.Count != 3 || c.Offset != set {
			t.Errorf("a clock that was set by %v is off by %+v", set, c)
		}
	}
}

// Whoever connects has no vote on what time it is: only members
// have one, and each has one.
func TestClockCountsMembersOnly(t *testing.T) {
	at := gossip.At{Mono: time.Second, Wall: 1_700_000_000_000}
	e := gossip.NewEngine(at, gossip.EngineConfig{Self: chain.Origin{9}})
	tells := func(p chain.Origin, wall int64) {
		e.PeerUp(at, p)
		e.Message(at, p, &gossip.Hello{Version: gossip.Version, Epoch: 1})
		e.Message(at, p, &gossip.Ping{Echo: uint32(at.Mono / time.Microsecond), Wall: uint64(wall)})
	}
	members := []chain.Origin{{1}, {2}, {3}, {2}}
	for _, o := range members[:2] {
		tells(o, at.Wall)
	}
	want := gossip.Clock{Count: 3}
	for i := range byte(8) {
		tells(chain.Origin{100 + i}, at.Wall+3_600_000)
		if c := e.Clock(at, members); c != want {
			t.Fatalf("%d strangers make it %+v", i+1, c)
		}
	}
	tells(chain.Origin{3}, at.Wall+3_600_000)
	if c := e.Clock(at, members); c.Count != 4 || c.Offset != 0 {
		t.Errorf("with a third member %+v", c)
	}
	if c := e.Clock(at, members[2:]); c.Count != 3 || c.Offset != 0 {
		t.Errorf("of two members %+v", c)
	}
}

// A tick that finds nothing to do must not ask for another one at once, even
// when a peer takes nothing.
func TestNoBusyTicks(t *testing.T) {
	at := gossip.At{Mono: time.Second}
	e := gossip.NewEngine(at, gossip.EngineConfig{Self: chain.Origin{1}, Heads: []chain.Head{{Origin: chain.Origin{1}, Seq: 3}}})
	peer := chain.Origin{2}
	e.PeerUp(at, peer)
	e.Message(at, peer, &gossip.Hello{Version: gossip.Version, Root: chain.Hash{1}})
	run := gossip.Run{Origin: chain.Origin{1}, First: 4, Last: 4, Encoded: make([]byte, chain.MaxRun)}
	ticks := 0
	for at.Mono < 20*time.Second {
		e.Local(at, []gossip.Run{run}, true)
		run.First, run.Last = run.First+1, run.Last+1
		e.Take() // nothing is ever written
		for end := at.Mono + time.Second; ; {
			next := e.NextTick()
			if next > end {
				at.Mono = end
				break
			}
			at.Mono = max(at.Mono, next)
			if ticks++; ticks > 2000 {
				t.Fatalf("2000 ticks in %v", at.Mono)
			}
			e.Tick(at)
			e.Take()
		}
	}
}

// The check of contiguous chains sees a hole.
func TestCheckSeesAHole(t *testing.T) {
	n := newSimNet(1, 2, calm)
	for range 3 {
		n.nodes[0].publish(2, 10, false)
	}
	if err := n.check(); err != nil {
		t.Fatal(err)
	}
	l := n.nodes[0].logs[n.nodes[0].origin]
	l.runs = append(l.runs[:1:1], l.runs[2])
	if err := n.check(); err == nil || !strings.Contains(err.Error(), "goes on with 5 to 6 after 2") {
		t.Fatalf("a hole was not seen: %v", err)
	}
}

// Who asks and asks, and reads no answer, has few of them waiting here.
func TestQuestionsOfADeafPeer(t *testing.T) {
	self, deaf := chain.Origin{9}, chain.Origin{1}
	heads := []chain.Head{{Origin: self, Seq: 1}}
	for i := range 1000 {
		heads = append(heads, chain.Head{Origin: chain.Origin{2, byte(i), byte(i >> 8)}, Seq: 1})
	}
	for name, question := range map[string]gossip.Frame{
		"pull":           &gossip.Pull{Bytes: 1 << 20, Ranges: []gossip.Range{{Origin: self, From: 1, To: 1}}},
		"digest":         &gossip.Digest{Full: true},
		"frozen":         &gossip.Frozen{Ends: []chain.ID{{Origin: chain.Origin{7}, Seq: 1}}},
		"applied wanted": &gossip.AppliedWanted{Held: []chain.ID{{Origin: self, Seq: 1}}},
	} {
		at := gossip.At{Mono: time.Second}
		e := gossip.NewEngine(at, gossip.EngineConfig{Self: self, Heads: heads})
		e.PeerUp(at, deaf)
		e.Message(at, deaf, &gossip.Hello{Version: gossip.Version, Epoch: 1})
		waiting := 0
		for range 200_000 {
			e.Message(at, deaf, question)
			for _, s := range e.Take().Send {
				waiting += s.Size // nothing is ever written
			}
		}
		if waiting < 1<<10 || waiting > 5<<20 {
			t.Errorf("%s: %d bytes wait for a peer that does not read", name, waiting)
		}
	}
}

// A peer that makes up as many chains as fit does not slow down what goes on
// between others.
func BenchmarkBesideMadeUpChains(b *testing.B) {
	at := gossip.At{Mono: time.Second}
	e, liar, honest := besideALiar(at)
	f := madeUp(16_000)
	b.Run("a message of another", func(b *testing.B) {
		e.Message(at, liar, f)
		e.Take()
		for b.Loop() {
			e.Message(at, honest, &gossip.AckWanted{Seq: 1})
			e.Take()
		}
	})
	b.Run("they come and go", func(b *testing.B) {
		for b.Loop() {
			e.PeerDown(at, liar)
			e.Take()
			e.PeerUp(at, liar)
			e.Message(at, liar, &gossip.Hello{Version: gossip.Version, Epoch: 1})
			e.Message(at, liar, f)
			e.Take()
		}
	})
}
