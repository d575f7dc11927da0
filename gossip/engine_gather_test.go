package gossip_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// gathering is an engine beside peers that have said hello, and what it does.
type gathering struct {
	t      *testing.T
	e      *gossip.Engine
	at     gossip.At
	peers  []chain.Origin
	head   chain.Head
	frames []gossip.Send        // as they were sent
	busy   map[chain.Origin]int // bytes with the writers that do not get on
}

func newGathering(t *testing.T, peers string) *gathering {
	return newGatheringAs(t, "a", peers, gossip.Limits{})
}

func newGatheringAs(t *testing.T, self, peers string, limits gossip.Limits) *gathering {
	g := &gathering{t: t, at: gossip.At{Mono: time.Minute}, head: chain.Head{Origin: scriptOrigin(self)}, busy: map[chain.Origin]int{}}
	g.e = gossip.NewEngine(g.at, gossip.EngineConfig{Self: g.head.Origin, Epoch: 1, Durable: true, Limits: limits})
	for _, name := range strings.Fields(peers) {
		g.connect(name)
	}
	g.frames = nil
	return g
}

func (g *gathering) connect(name string) {
	o := scriptOrigin(name)
	g.peers = append(g.peers, o)
	g.e.PeerUp(g.at, o)
	g.act()
	g.e.Message(g.at, o, &gossip.Hello{Version: gossip.Version, Epoch: 1})
	g.act()
}

// waits tells of pushes of some peers that waited so long.
func (g *gathering) waits(d time.Duration, peers ...string) {
	for range 40 { // so that the smoothed one is as long
		for _, name := range peers {
			g.e.Waited(g.at, scriptOrigin(name), d)
		}
	}
	g.act()
}

func (g *gathering) publish(size int, ackWanted bool) {
	r := scriptRun(originName(g.head.Origin), g.head, 1, size, "")
	g.head.Seq, g.head.Hash = r.Last, r.Hash
	g.e.Local(g.at, []gossip.Run{r}, ackWanted)
	g.act()
}

// stall lets the stream to a peer get on no more.
func (g *gathering) stall(name string) { g.busy[scriptOrigin(name)] = 0 }

// unstall lets it get on again.
func (g *gathering) unstall(name string) {
	o := scriptOrigin(name)
	g.e.Wrote(g.at, o, g.busy[o])
	delete(g.busy, o)
	g.act()
}

// commit is the ledger's answer to what it was given.
func (g *gathering) commit(head chain.Head) {
	for _, a := range g.e.Take().Accept {
		g.e.Committed(g.at, []chain.Head{head}, chain.Hash{})
		g.e.Outcome(g.at, a.ID, []chain.Outcome{{Verdict: chain.Accepted}})
	}
	g.act()
}

// act carries out what the engine wants: a frame is written at once, unless its stream is busy.
func (g *gathering) act() {
	for {
		out := g.e.Take()
		if len(out.Send) == 0 {
			break
		}
		g.frames = append(g.frames, out.Send...)
		for _, s := range out.Send {
			for _, to := range s.To {
				if _, busy := g.busy[to]; busy {
					g.busy[to] += s.Size
				} else {
					g.e.Wrote(g.at, to, s.Size)
				}
			}
		}
	}
	if next := g.e.NextTick(); next <= g.at.Mono {
		g.t.Fatalf("busy: at %v the next tick is at %v", g.at.Mono, next)
	}
}

// pass lets time pass.
func (g *gathering) pass(d time.Duration) {
	until := g.at.Mono + d
	for next := g.e.NextTick(); next <= until; next = g.e.NextTick() {
		g.at.Mono = next
		g.e.Tick(g.at)
		g.act()
	}
	g.at.Mono = until
	g.e.Tick(g.at)
	g.act()
}

// pushed returns what was pushed since it was last asked, each run with its peers.
func (g *gathering) pushed() string {
	var out []string
	for _, s := range g.frames {
		if f, ok := s.Frame.(*gossip.Push); ok {
			to := ""
			for _, o := range s.To {
				to += originName(o)
			}
			for _, r := range f.Runs {
				out = append(out, fmt.Sprintf("%d-%d to %s", r.First, r.Last, to))
			}
		}
	}
	g.frames = nil
	return strings.Join(out, ", ")
}

func TestOwnRunsGatherWhileTheNodeIsBehind(t *testing.T) {
	g := newGathering(t, "b c d e f")
	g.publish(100, false)
	g.publish(100, false)
	require.Equal(t, "1-1 to bcdef, 2-2 to bcdef", g.pushed(), "it is not behind")

	g.pass(time.Second)
	g.waits(30*time.Millisecond, "b", "c", "d")
	g.publish(100, false)
	require.Equal(t, "3-3 to bcdef", g.pushed(), "nothing was pushed for long")
	g.publish(100, false)
	g.publish(100, false)
	require.Equal(t, "4-4 to bcd, 5-5 to bcd", g.pushed(), "three have each at once")
	g.pass(89 * time.Millisecond)
	require.Empty(t, g.pushed())
	g.pass(time.Millisecond)
	require.Equal(t, "4-5 to ef", g.pushed(), "in one run")
	require.Equal(t, uint64(1), g.e.Stats().Gathers)
	require.InDelta(t, 30*time.Millisecond, g.e.PushWait(g.at), float64(time.Millisecond))

	g.waits(10*time.Second, "b", "c", "d")
	g.publish(100, false)
	require.Equal(t, "6-6 to bcd", g.pushed())
	g.pass(249 * time.Millisecond)
	require.Empty(t, g.pushed())
	g.pass(time.Millisecond)
	require.Equal(t, "6-6 to ef", g.pushed(), "that is the most")

	g.pass(time.Second - 250*time.Millisecond)
	g.publish(100, false)
	g.publish(100, false)
	require.Equal(t, "7-7 to bcdef, 8-8 to bcdef", g.pushed(), "nothing came for a second")
	require.Zero(t, g.e.PushWait(g.at))
}

// Who is behind is a matter of more than half of its peers, two at least: one that floods
// it with pushes, or publishes alone, is not enough. And of three peers each is early.
func TestNobodyGathersForOnePeer(t *testing.T) {
	for _, test := range []struct {
		peers, waiting string
		behind         bool
	}{
		{"b", "b", false},
		{"b c", "b c", false},
		{"b c d", "b c d", false},
		{"b c d e", "b", false},
		{"b c d e", "b c", false},
		{"b c d e", "b c d", true},
		{"b c d e", "c d e", true},
		{"b c d e", "b c d e", true},
		{"b c d e f", "b c", false},
		{"b c d e f", "d e f", true},
		{"b c d e f g", "b c d", false},
		{"b c d e f g", "b c d g", true},
	} {
		g := newGathering(t, test.peers)
		g.waits(time.Second, strings.Fields(test.waiting)...)
		g.publish(100, false)
		g.publish(100, false)
		require.Equal(t, test.behind, g.e.Stats().Gathers > 0, "pushes of %s wait, of %s", test.waiting, test.peers)
		require.Equal(t, !test.behind, strings.HasSuffix(g.pushed(), "2-2 to "+strings.ReplaceAll(test.peers, " ", "")))
	}
}

// Early are those that follow this node in the order of origins, in a ring, and push themselves.
func TestEarlyPeers(t *testing.T) {
	for _, test := range []struct{ self, waiting, early string }{
		{"a", "b c d e f g", "bcd"},
		{"a", "b d e f g", "bde"},
		{"a", "c d f g", "cdf"},
		{"d", "a b c e f g", "efg"},
		{"e", "a b c d f g", "fga"},
		{"f", "a b c e", "abc"},
		{"g", "a b c d e f", "abc"},
	} {
		g := newGatheringAs(t, test.self, strings.ReplaceAll("a b c d e f g", test.self, ""), gossip.Limits{})
		g.waits(time.Second, strings.Fields(test.waiting)...)
		g.publish(100, false)
		g.pushed()
		g.publish(100, false)
		require.Equal(t, "2-2 to "+test.early, g.pushed(), "%s, and pushes of %s wait", test.self, test.waiting)
	}
}

// Where an early peer cannot be sent what there is, the next one in the ring is, at once and
// with all that gathered.
func TestNextPeerIsEarly(t *testing.T) {
	begin := func(waiting string) *gathering {
		g := newGathering(t, "b c d e f g")
		g.waits(time.Second, strings.Fields(waiting)...)
		g.publish(100, false)
		g.publish(100, false)
		g.publish(100, false)
		require.Equal(t, "1-1 to bcdefg, 2-2 to bcd, 3-3 to bcd", g.pushed())
		return g
	}

	g := begin("b c d e f g")
	g.e.PeerDown(g.at, scriptOrigin("c"))
	g.act()
	require.Equal(t, "2-3 to e", g.pushed(), "it is gone")
	g.publish(100, false)
	require.Equal(t, "4-4 to bde", g.pushed())
	g.connect("c")
	require.Contains(t, g.pushed(), "2-4 to fg", "its hello told of all, and all have it")

	g = begin("b c d e f g")
	g.stall("b")
	g.publish(100, false)
	require.Equal(t, "4-4 to bcd", g.pushed())
	g.publish(100, false)
	require.Equal(t, "5-5 to cd, 2-5 to e", g.pushed(), "its stream is busy")
	g.unstall("b")
	require.Equal(t, "5-5 to b", g.pushed(), "and was given what there is when it was not")
	g.publish(100, false)
	require.Equal(t, "6-6 to bcd", g.pushed())

	g = begin("b c d e f g")
	for _, name := range []string{"b", "c", "d", "e"} {
		g.stall(name)
	}
	g.publish(100, false)
	require.Equal(t, "4-4 to bcd", g.pushed())
	g.publish(100, false)
	require.Equal(t, "2-5 to efg", g.pushed())
	g.publish(100, false)
	require.Equal(t, "6-6 to fg", g.pushed(), "two are fewer than three, so nobody waits")
	for _, name := range []string{"b", "c", "d", "e"} {
		g.unstall(name)
	}
	require.Equal(t, "5-6 to b, 5-6 to c, 5-6 to d, 6-6 to e", g.pushed())

	g = begin("b c d f")
	g.pass(time.Second)
	g.pushed()
	g.waits(time.Second, "c", "d", "f", "g")
	g.publish(100, false)
	g.pushed()
	g.publish(100, false)
	require.Equal(t, "5-5 to cdf", g.pushed(), "it pushes no more")

	g = newGatheringAs(t, "a", "b c d e f", gossip.Limits{QueueRuns: 12})
	g.stall("c")
	for range 14 {
		g.publish(100, false)
	}
	g.waits(time.Second, "b", "c", "d", "e", "f")
	g.publish(100, false)
	g.pushed()
	g.publish(100, false)
	require.Equal(t, "16-16 to bde", g.pushed(), "it lags")
}

// Small runs gather up to a quarter of the queue's, or who waits for them would lag.
func TestGatheringLeavesRoomInQueues(t *testing.T) {
	g := newGatheringAs(t, "a", "b c d e f", gossip.Limits{QueueRuns: 8})
	g.waits(time.Second, "b", "c", "d", "e", "f")
	for range 5 {
		g.publish(100, false)
	}
	require.Equal(t, "1-1 to bcdef, 2-2 to bcd, 3-3 to bcd, 2-3 to ef, 4-4 to bcd, 5-5 to bcd, 4-5 to ef", g.pushed())
}

// What gathers goes at once when there is enough of it, or somebody is about to miss it.
func TestGatheringEnds(t *testing.T) {
	for name, end := range map[string]func(g *gathering){
		"bytes": func(g *gathering) { g.publish(16<<10, false) },
		"ack":   func(g *gathering) { g.publish(100, true) },
		"want ack": func(g *gathering) {
			g.publish(100, false)
			g.e.WantAck(g.at, g.head.Seq)
		},
		"hello": func(g *gathering) {
			g.publish(100, false)
			g.e.PeerUp(g.at, scriptOrigin("g"))
		},
		"digest of a peer": func(g *gathering) {
			g.publish(100, false)
			g.e.Message(g.at, g.peers[4], &gossip.Digest{Full: true})
		},
		"own digest": func(g *gathering) {
			g.publish(100, false)
			g.e.PeerUp(g.at, scriptOrigin("g"))
			g.act()
			g.publish(100, false)
			g.e.Message(g.at, scriptOrigin("g"), &gossip.Hello{Version: gossip.Version, Epoch: 1, Root: chain.Hash{1}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGathering(t, "b c d e f")
			g.waits(time.Second, "b", "c", "d", "e", "f")
			g.publish(100, false)
			g.publish(100, false)
			require.Equal(t, "1-1 to bcdef, 2-2 to bcd", g.pushed())
			end(g)
			g.act()
			require.Contains(t, g.pushed(), "2-3 to ef")
			for _, p := range g.e.Peers() {
				require.Zero(t, p.Queued)
			}
		})
	}
}

// That one peer fetched what gathers is no reason to push it to others before its time.
func TestServedIsNoReasonToPush(t *testing.T) {
	g := newGathering(t, "b c d e f")
	g.waits(20*time.Millisecond, "b", "c", "d", "e", "f")
	g.publish(100, false)
	g.publish(100, false)
	g.pushed()
	ranges := []gossip.Range{{Origin: g.head.Origin, From: 2, To: 2}}
	g.e.Message(g.at, scriptOrigin("e"), &gossip.Pull{ID: 1, Bytes: 1 << 10, Ranges: ranges})
	read := g.e.Take().Read[0]
	run := scriptRun("a", chain.Head{Origin: g.head.Origin, Seq: 1}, 1, 100, "")
	g.e.ReadDone(g.at, read, []gossip.Run{run}, nil, nil)
	g.act()
	require.Empty(t, g.pushed())
	g.pass(time.Second)
	require.Equal(t, "2-2 to ef", g.pushed())
}

// However long pushes wait, and whatever else goes on, each own run leaves within the bound
// for every peer whose stream takes it, and once. And always it has left for three peers, or
// for as many as could be sent to.
func TestGatheringIsBounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 26))
	names := strings.Fields("b c d e f g h")
	name := func() string { return names[rng.IntN(len(names))] }
	for range 50 {
		g := newGathering(t, strings.Join(names, " "))
		committed, has, down := map[chain.Seq]time.Duration{}, map[chain.Origin]chain.Seq{}, map[string]bool{}
		look := func() {
			for _, s := range g.frames {
				if f, ok := s.Frame.(*gossip.Push); ok {
					for _, to := range s.To {
						require.Equal(t, has[to]+1, f.Runs[0].First)
						has[to] = f.Runs[len(f.Runs)-1].Last
					}
				}
			}
			g.frames = nil
			have, wait := 0, 0
			for _, p := range g.e.Peers() {
				switch next := has[p.Origin] + 1; {
				case !p.Connected || p.Lagging:
				case next > g.head.Seq:
					have++
				case p.InFlight == 0:
					wait++
					require.Less(t, g.at.Mono-committed[next], 250*time.Millisecond)
				}
			}
			require.True(t, have >= 3 || wait == 0, "%d peers have all that there is, and %d wait", have, wait)
		}
		for range 400 {
			switch rng.IntN(10) {
			case 0:
				g.waits(time.Duration(rng.Int64N(int64(time.Second))), names[:4+rng.IntN(4)]...)
			case 1:
				if seq := g.head.Seq; seq > 2 && rng.IntN(4) == 0 {
					g.e.WantAck(g.at, seq-2)
				}
			case 2:
				g.e.Message(g.at, g.peers[rng.IntN(len(names))], &gossip.Ping{})
			case 3, 4:
				g.pass(time.Duration(rng.Int64N(int64(40 * time.Millisecond))))
			case 5:
				if name := name(); !down[name] {
					g.stall(name)
				}
			case 6:
				for _, name := range names {
					if _, busy := g.busy[scriptOrigin(name)]; busy && rng.IntN(2) == 0 {
						g.unstall(name)
					}
				}
			case 7:
				switch name := name(); {
				case down[name]:
					g.e.PeerUp(g.at, scriptOrigin(name))
					g.act()
					o := scriptOrigin(name)
					g.e.Message(g.at, o, &gossip.Hello{Version: gossip.Version, Epoch: 1, Yours: gossip.HeadHash{Seq: has[o]}})
					delete(down, name)
				case rng.IntN(4) == 0:
					g.e.PeerDown(g.at, scriptOrigin(name))
					delete(g.busy, scriptOrigin(name))
					down[name] = true
				}
			default:
				committed[g.head.Seq+1] = g.at.Mono
				g.publish(rng.IntN(2000), false)
			}
			g.act()
			look()
		}
		require.NotZero(t, g.e.Stats().Gathers)
	}
}

// What leaves because somebody wants it acknowledged is a push like any: what comes after
// it gathers from then on.
func TestAcknowledgedPushesCount(t *testing.T) {
	g := newGathering(t, "b c d e f")
	g.waits(30*time.Millisecond, "b", "c", "d")
	g.publish(100, true)
	require.Equal(t, "1-1 to bcdef", g.pushed())
	g.pass(time.Millisecond)
	g.publish(100, false)
	require.Equal(t, "2-2 to bcd", g.pushed())
	g.pass(88 * time.Millisecond)
	require.Empty(t, g.pushed())
	g.pass(time.Millisecond)
	require.Equal(t, "2-2 to ef", g.pushed())
}

// A hello that tells the own head goes with what it tells, in the same Take.
func TestHelloBringsWhatItTells(t *testing.T) {
	g := newGathering(t, "")
	h := scriptOrigin("h")
	g.e.PeerUp(g.at, h)
	g.e.Message(g.at, h, &gossip.Hello{Version: gossip.Version, Epoch: 1, Root: chain.Hash{1}})
	g.act()
	for name := range strings.SplitSeq("b c d e", " ") {
		g.connect(name)
	}
	require.True(t, g.e.CatchingUp())
	g.waits(30*time.Millisecond, "b", "c", "d")
	g.publish(100, false)
	g.pushed()
	g.publish(100, false)
	require.Equal(t, "2-2 to bcd", g.pushed())

	g.e.Message(g.at, h, &gossip.Ping{}) // with an equal root, so all is here
	told := map[gossip.FrameKind]int{}
	for _, s := range g.e.Take().Send {
		told[s.Frame.Kind()] += len(s.To)
	}
	require.False(t, g.e.CatchingUp())
	require.Equal(t, 5, told[gossip.KindHello])
	require.Equal(t, 2, told[gossip.KindPush])
}

// What an early peer tells of is not fetched while the origin may still push it: for a grace,
// and where this node is behind, or fetched the last too early, for as long as it may gather.
func TestFetchWaitsForWhatGathers(t *testing.T) {
	const grace = 50 * time.Millisecond
	a, b := scriptOrigin("a"), scriptOrigin("b")
	heads := []chain.Head{{Origin: a}}
	run := func(seq chain.Seq) gossip.Run {
		for len(heads) <= int(seq) {
			r := scriptRun("a", heads[len(heads)-1], 1, 100, "")
			heads = append(heads, chain.Head{Origin: a, Seq: r.Last, Hash: r.Hash})
		}
		return scriptRun("a", heads[seq-1], 1, 100, "")
	}
	begin := func() *gathering { return newGatheringAs(t, "e", "a b c d", gossip.Limits{}) }
	// fetched is how long it takes until a seq is asked for that b tells of. Then it comes.
	fetched := func(g *gathering, seq chain.Seq) time.Duration {
		began := g.at.Mono
		g.frames = nil
		g.e.Message(g.at, b, &gossip.Heads{Heads: []chain.ID{{Origin: a, Seq: seq}}})
		g.act()
		for g.at.Mono < began+time.Second {
			for _, s := range g.frames {
				if f, ok := s.Frame.(*gossip.Pull); ok {
					require.Equal(t, []gossip.Range{{Origin: a, From: seq, To: seq}}, f.Ranges)
					took := g.at.Mono - began
					g.e.Message(g.at, b, &gossip.Served{ID: f.ID, Done: true, Runs: []gossip.Run{run(seq)}})
					g.commit(heads[seq])
					return took
				}
			}
			g.pass(time.Millisecond)
		}
		t.Fatalf("a.%d was not asked for", seq)
		return 0
	}

	g := begin()
	require.Equal(t, grace, fetched(g, 1))
	g.waits(9*time.Millisecond, "a", "b", "c", "d")
	require.Equal(t, grace, fetched(g, 2))

	g.waits(20*time.Millisecond, "a", "b", "c", "d")
	require.Equal(t, grace+250*time.Millisecond, fetched(g, 3), "it is behind")
	g.pass(time.Second)
	require.Equal(t, grace, fetched(g, 4), "nothing was pushed for a second")

	g.e.Message(g.at, a, &gossip.Push{Runs: []gossip.Run{run(4)}})
	g.commit(heads[4])
	require.Equal(t, grace+250*time.Millisecond, fetched(g, 5), "the last was fetched too early")
	g.e.Message(g.at, a, &gossip.Push{Runs: []gossip.Run{run(6)}})
	g.commit(heads[6])
	g.pass(10 * time.Second)
	require.Equal(t, grace, fetched(g, 7), "long ago")

	g.waits(20*time.Millisecond, "a", "b", "c", "d")
	g.e.Message(g.at, a, &gossip.Push{Runs: []gossip.Run{run(7)}})
	g.commit(heads[7])
	g.e.PeerDown(g.at, a)
	require.Zero(t, fetched(g, 8), "its origin is gone")

	g = newGatheringAs(t, "e", "a b c", gossip.Limits{})
	g.waits(20*time.Millisecond, "a", "b", "c")
	require.Equal(t, grace, fetched(g, 1), "in a mesh of four nothing gathers")

	g = begin()
	g.waits(20*time.Millisecond, "a", "b", "c", "d")
	require.Equal(t, grace+250*time.Millisecond, fetched(g, 1))
	g.e.Message(g.at, a, &gossip.Push{Runs: []gossip.Run{run(3)}})
	g.frames = nil
	g.act()
	require.Equal(t, gossip.KindPull, g.frames[0].Frame.Kind(), "what is pushed after a gap tells that it is none of this")
}
