package gossip_test

import (
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/gossip"
)

// gathering is an engine beside peers that have said hello, and what it does.
type gathering struct {
	t      *testing.T
	e      *gossip.Engine
	at     gossip.At
	peers  []chain.Origin
	head   chain.Head
	frames []gossip.Send // as they were sent
}

func newGathering(t *testing.T, peers string) *gathering {
	g := &gathering{t: t, at: gossip.At{Mono: time.Minute}, head: chain.Head{Origin: scriptOrigin("a")}}
	g.e = gossip.NewEngine(g.at, gossip.EngineConfig{Self: g.head.Origin, Epoch: 1, Durable: true})
	for name := range strings.SplitSeq(peers, " ") {
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
	r := scriptRun("a", g.head, 1, size, "")
	g.head.Seq, g.head.Hash = r.Last, r.Hash
	g.e.Local(g.at, []gossip.Run{r}, ackWanted)
	g.act()
}

// act carries out what the engine wants: every frame is written at once.
func (g *gathering) act() {
	for {
		out := g.e.Take()
		if len(out.Send) == 0 {
			break
		}
		g.frames = append(g.frames, out.Send...)
		for _, s := range out.Send {
			for _, to := range s.To {
				g.e.Wrote(g.at, to, s.Size)
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

// pushed returns what was pushed since it was last asked, each run with the number of its peers.
func (g *gathering) pushed() string {
	var out []string
	for _, s := range g.frames {
		if f, ok := s.Frame.(*gossip.Push); ok {
			for _, r := range f.Runs {
				out = append(out, fmt.Sprintf("%d-%d to %d", r.First, r.Last, len(s.To)))
			}
		}
	}
	g.frames = nil
	return strings.Join(out, ", ")
}

func TestOwnRunsGatherWhileTheNodeIsBehind(t *testing.T) {
	g := newGathering(t, "b c d")
	g.publish(100, false)
	g.publish(100, false)
	require.Equal(t, "1-1 to 3, 2-2 to 3", g.pushed(), "it is not behind")

	g.pass(time.Second)
	g.waits(30*time.Millisecond, "b", "c")
	g.publish(100, false)
	require.Equal(t, "3-3 to 3", g.pushed(), "nothing was pushed for long")
	g.publish(100, false)
	g.publish(100, false)
	g.pass(89 * time.Millisecond)
	require.Empty(t, g.pushed())
	g.pass(time.Millisecond)
	require.Equal(t, "4-5 to 3", g.pushed(), "in one run")
	require.Equal(t, uint64(1), g.e.Stats().Gathers)
	require.InDelta(t, 30*time.Millisecond, g.e.PushWait(g.at), float64(time.Millisecond))

	g.waits(10*time.Second, "b", "c")
	g.publish(100, false)
	g.pass(249 * time.Millisecond)
	require.Empty(t, g.pushed())
	g.pass(time.Millisecond)
	require.Equal(t, "6-6 to 3", g.pushed(), "that is the most")

	g.pass(time.Second - 250*time.Millisecond)
	g.publish(100, false)
	g.publish(100, false)
	require.Equal(t, "7-7 to 3, 8-8 to 3", g.pushed(), "nothing came for a second")
	require.Zero(t, g.e.PushWait(g.at))
}

// Who is behind is a matter of more than half of its peers, two at least: one that floods
// it with pushes, or publishes alone, is not enough.
func TestNobodyGathersForOnePeer(t *testing.T) {
	for _, test := range []struct {
		peers, waiting string
		behind         bool
	}{
		{"b", "b", false},
		{"b c", "b", false},
		{"b c", "b c", true},
		{"b c d", "b", false},
		{"b c d", "c d", true},
		{"b c d e", "b c", false},
		{"b c d e", "b c d", true},
	} {
		g := newGathering(t, test.peers)
		g.waits(time.Second, strings.Fields(test.waiting)...)
		g.publish(100, false)
		g.publish(100, false)
		require.Equal(t, test.behind, g.e.Stats().Gathers > 0, "pushes of %s wait, of %s", test.waiting, test.peers)
		require.Equal(t, !test.behind, strings.Contains(g.pushed(), "2-2"))
	}
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
			g.e.PeerUp(g.at, scriptOrigin("e"))
		},
		"digest of a peer": func(g *gathering) {
			g.publish(100, false)
			g.e.Message(g.at, g.peers[0], &gossip.Digest{Full: true})
		},
		"own digest": func(g *gathering) {
			g.publish(100, false)
			g.e.PeerUp(g.at, scriptOrigin("e"))
			g.act()
			g.publish(100, false)
			g.e.Message(g.at, scriptOrigin("e"), &gossip.Hello{Version: gossip.Version, Epoch: 1, Root: chain.Hash{1}})
		},
		"served": func(g *gathering) {
			g.publish(100, false)
			ranges := []gossip.Range{{Origin: g.head.Origin, From: 2, To: 3}}
			g.e.Message(g.at, g.peers[0], &gossip.Pull{ID: 1, Bytes: 1 << 10, Ranges: ranges})
			read := g.e.Take().Read[0]
			run := scriptRun("a", chain.Head{Origin: g.head.Origin, Seq: 1}, 2, 100, "")
			g.e.ReadDone(g.at, read, []gossip.Run{run}, nil, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGathering(t, "b c d")
			g.waits(time.Second, "b", "c", "d")
			g.publish(100, false)
			g.publish(100, false)
			require.Equal(t, "1-1 to 3", g.pushed())
			end(g)
			g.act()
			require.Contains(t, g.pushed(), "2-3 to 3")
			for _, p := range g.e.Peers() {
				require.Zero(t, p.Queued)
			}
		})
	}
}

// However long pushes wait, and whatever else goes on, each own run leaves within the bound
// for every peer whose stream takes it, and once.
func TestGatheringIsBounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 26))
	for range 50 {
		g := newGathering(t, "b c d e")
		committed, has := map[chain.Seq]time.Duration{}, map[chain.Origin]chain.Seq{}
		for range 300 {
			switch rng.IntN(8) {
			case 0:
				g.waits(time.Duration(rng.Int64N(int64(time.Second))), "b", "c", "d", "e")
			case 1:
				if seq := g.head.Seq; seq > 2 && rng.IntN(4) == 0 {
					g.e.WantAck(g.at, seq-2)
				}
			case 2:
				g.e.Message(g.at, g.peers[rng.IntN(4)], &gossip.Ping{})
			case 3, 4:
				g.pass(time.Duration(rng.Int64N(int64(40 * time.Millisecond))))
			default:
				committed[g.head.Seq+1] = g.at.Mono
				g.publish(rng.IntN(2000), false)
			}
			for _, s := range g.frames {
				if f, ok := s.Frame.(*gossip.Push); ok {
					for _, to := range s.To {
						require.Equal(t, has[to]+1, f.Runs[0].First)
						has[to] = f.Runs[len(f.Runs)-1].Last
					}
				}
			}
			g.frames = nil
			for _, p := range g.peers {
				if next := has[p] + 1; next <= g.head.Seq {
					require.Less(t, g.at.Mono-committed[next], 250*time.Millisecond)
				}
			}
		}
		require.NotZero(t, g.e.Stats().Gathers)
	}
}

// What leaves as one run is to a receiver's ledger what the runs are that it was made of,
// from the genesis on.
func TestGatheredRunsAreTheSameChain(t *testing.T) {
	key := forkKey("gathers")
	open := func(key string) (*chain.Ledger, chain.Store) {
		s := store.Memory()
		l, err := chain.NewLedger(s, chain.Config{Key: forkKey(key), Node: key, Authority: "a"}, 1000)
		require.NoError(t, err)
		return l, s
	}
	commit := func(l *chain.Ledger, s chain.Store) *chain.Effects {
		batch, effects, err := l.Flush(1000)
		require.NoError(t, err)
		require.NoError(t, s.Commit(batch, true))
		return effects
	}
	origin, disk := open("gathers")
	e := gossip.NewEngine(gossip.At{}, gossip.EngineConfig{Self: origin.Origin(), Epoch: 1})
	var single []gossip.Run
	for i := range 20 {
		p, err := chain.Prepare(chain.Draft{Subject: "order/1", Delta: fmt.Appendf(nil, `{"n":%d}`, i)})
		require.NoError(t, err)
		_, err = origin.Append(p, 1000)
		require.NoError(t, err)
		for _, r := range commit(origin, disk).Own {
			h := r.Head()
			single = append(single, gossip.Run{Origin: r.Origin, First: r.First, Last: h.Seq, Hash: h.Hash, Encoded: r.Append(nil)})
		}
	}
	require.Len(t, single, 20)
	require.Equal(t, chain.Seq(1), single[0].First)
	e.Local(gossip.At{}, single, false)
	e.PeerUp(gossip.At{}, scriptOrigin("b"))
	e.Message(gossip.At{}, scriptOrigin("b"), &gossip.Hello{Version: gossip.Version})
	var joined []gossip.Run
	for _, s := range e.Take().Send {
		if f, ok := s.Frame.(*gossip.Push); ok {
			joined = f.Runs
		}
	}
	require.Len(t, joined, 1)
	last := single[len(single)-1]
	require.Equal(t, gossip.Run{Origin: last.Origin, First: 1, Last: last.Last, Hash: last.Hash, Encoded: joined[0].Encoded}, joined[0])

	type receiver struct {
		ledger  *chain.Ledger
		archive *chain.Archive
	}
	receive := func(runs []gossip.Run) receiver {
		l, s := open("receiver")
		archive := chain.NewArchive(l)
		for _, of := range runs {
			r, err := chain.DecodeRun(of.Encoded)
			require.NoError(t, err)
			require.Equal(t, of.Encoded, r.Append(nil), "it is canonical")
			require.NoError(t, r.Verify(key.Public().(ed25519.PublicKey)))
			require.Equal(t, of.Hash, r.Head().Hash)
			out, err := l.Accept(r, 1000)
			require.NoError(t, err)
			require.Equal(t, chain.Accepted, out.Verdict)
			archive.Publish(l, commit(l, s))
		}
		return receiver{l, archive}
	}
	one, each := receive(joined), receive(single)
	require.Equal(t, each.ledger.SyncRoot(), one.ledger.SyncRoot())
	require.Equal(t, each.ledger.Root(), one.ledger.Root())
	want, updates, seals, err := each.archive.Page(origin.Origin(), 1, 100)
	require.NoError(t, err)
	have, same, seal, err := one.archive.Page(origin.Origin(), 1, 100)
	require.NoError(t, err)
	require.Equal(t, want, have)
	require.Equal(t, updates, same)
	require.Len(t, seals, 20)
	require.Equal(t, seals[19:], seal, "but for the seals between")
}

// Engines that are all behind gather, and nobody fetches what only gathers elsewhere.
func TestGatheringMakesNoCopies(t *testing.T) {
	conf := calm
	conf.commit = 15 * time.Millisecond
	n := newSimNet(26, 6, conf)
	n.connect(0)
	n.run(2*time.Second, nil)
	for i := range 6000 {
		n.after(time.Duration(i)*time.Millisecond/2, func() { n.nodes[i%len(n.nodes)].publish(1, 100, false) })
	}
	n.run(n.now+3*time.Second, nil)
	if !n.run(n.now+time.Second, n.converged) {
		t.Fatal("an update has not arrived a second after it was published")
	}
	for _, s := range n.nodes {
		st := s.engine.Stats()
		if st.Gathers == 0 || st.RunsPushed > 5*1000/4 || st.Pulls > 0 || st.Duplicates > 0 {
			t.Errorf("node %d: %+v", s.index, st)
		}
	}
	t.Logf("%d frames of runs", n.frames[gossip.KindPush])
}

// Exchanges whose ledgers are slow gather, lose nothing and fetch nothing twice, and whoever
// publishes does not wait for it. One that leaves has all pushed before.
func TestExchangesGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := gossip.NewHub()
		var nodes []*memLedger
		for i := range 4 {
			l := newMemLedger(i)
			l.slow = 20 * time.Millisecond
			l.onHub(t, hub)
			nodes = append(nodes, l)
		}
		time.Sleep(time.Second)
		for range 200 {
			for _, l := range nodes {
				began := time.Now()
				l.publish(1, false)
				if took := time.Since(began); took > 20*time.Millisecond {
					t.Errorf("a publish took %v", took)
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
		if err := nodes[3].x.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		nodes[3].x.Close()
		for i, at := range nodes[:3] {
			if got := at.has(nodes[3].origin); got != 201 {
				t.Errorf("node %d has %d of 201 updates of the one that left", i, got)
			}
		}
		time.Sleep(time.Second)
		for i, at := range nodes[:3] {
			for _, of := range nodes {
				if got := at.has(of.origin); got != 201 {
					t.Errorf("node %d has %d of 201 updates of a chain", i, got)
				}
			}
			if s := at.x.Stats(); s.Gathers == 0 || at.dups > 0 || s.Pulls > 0 {
				t.Errorf("node %d has %d updates twice: %+v", i, at.dups, s)
			}
			at.x.Close()
		}
	})
}

// What leaves because somebody wants it acknowledged is a push like any: what comes after
// it gathers from then on.
func TestAcknowledgedPushesCount(t *testing.T) {
	g := newGathering(t, "b c d")
	g.waits(30*time.Millisecond, "b", "c")
	g.publish(100, true)
	require.Equal(t, "1-1 to 3", g.pushed())
	g.pass(time.Millisecond)
	g.publish(100, false)
	g.pass(88 * time.Millisecond)
	require.Empty(t, g.pushed())
	g.pass(time.Millisecond)
	require.Equal(t, "2-2 to 3", g.pushed())
}

// A hello that tells the own head goes with what it tells, in the same Take.
func TestHelloBringsWhatItTells(t *testing.T) {
	g := &gathering{t: t, at: gossip.At{Mono: time.Minute}, head: chain.Head{Origin: scriptOrigin("a")}}
	g.e = gossip.NewEngine(g.at, gossip.EngineConfig{Self: g.head.Origin, Epoch: 1, Durable: true})
	d := scriptOrigin("d")
	g.e.PeerUp(g.at, d)
	g.e.Message(g.at, d, &gossip.Hello{Version: gossip.Version, Epoch: 1, Root: chain.Hash{1}})
	g.act()
	g.connect("b")
	g.connect("c")
	require.True(t, g.e.CatchingUp())
	g.waits(30*time.Millisecond, "b", "c")
	g.publish(100, false)
	g.pushed()
	g.publish(100, false)
	require.Empty(t, g.pushed())

	g.e.Message(g.at, d, &gossip.Ping{}) // with an equal root, so all is here
	told := map[gossip.FrameKind]bool{}
	for _, s := range g.e.Take().Send {
		told[s.Frame.Kind()] = true
	}
	require.False(t, g.e.CatchingUp())
	require.True(t, told[gossip.KindHello])
	require.True(t, told[gossip.KindPush])
}
