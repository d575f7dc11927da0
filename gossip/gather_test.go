package gossip_test

import (
	"crypto/ed25519"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/gossip"
)

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

// Engines that are behind gather, and hardly anything is fetched that only gathers elsewhere:
// neither by engines that are behind themselves, nor by others.
func TestGatheringMakesNoCopies(t *testing.T) {
	for _, test := range []struct {
		nodes, behind int
		lag           time.Duration
		most          float64 // copies for each delivery of what engines that are behind published
	}{
		{6, 6, 40 * time.Millisecond, 0},
		{16, 16, 15 * time.Millisecond, 0},
		{16, 16, 100 * time.Millisecond, 0},
		{16, 1, 20 * time.Millisecond, 0.05},
		{16, 1, 100 * time.Millisecond, 0.05},
		{16, 8, 40 * time.Millisecond, 0.05},
		{16, 8, 100 * time.Millisecond, 0.05},
		{16, 15, 100 * time.Millisecond, 0.05},
	} {
		t.Run(fmt.Sprintf("%d of %d by %v", test.behind, test.nodes, test.lag), func(t *testing.T) {
			const updates = 6000
			n := newSimNet(26, test.nodes, calm)
			for _, s := range n.nodes[:test.behind] {
				s.lag = test.lag
			}
			n.connect(0)
			n.run(2*time.Second, nil)
			for i := range updates {
				n.after(time.Duration(i)*time.Millisecond, func() { n.nodes[i%len(n.nodes)].publish(1, 100, false) })
			}
			n.run(n.now+updates*time.Millisecond, nil)
			if !n.run(n.now+time.Second, n.converged) {
				t.Fatal("an update has not arrived a second after it was published")
			}
			each, others, got := updates/test.nodes, test.nodes-1, 0
			for i, s := range n.nodes {
				st := s.engine.Stats()
				if behind := i < test.behind; behind != (st.Gathers > 0) || !behind && st.RunsPushed < uint64(each*others) || behind && st.RunsPushed > uint64(each*others*4/5) {
					t.Errorf("node %d, behind: %v: %+v", i, behind, st)
				}
				got += s.got
			}
			copies := float64(got-updates*others) / float64(each*others*test.behind)
			t.Logf("%d frames of runs, %.3f copies", n.frames[gossip.KindPush], copies)
			if copies > test.most {
				t.Errorf("%.3f copies", copies)
			}
		})
	}
}

// Exchanges whose ledgers are slow gather, lose nothing and fetch nothing twice, and whoever
// publishes does not wait for it. One that leaves has all pushed before.
func TestExchangesGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := gossip.NewHub()
		var nodes []*memLedger
		for i := range 6 {
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
		if err := nodes[5].x.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		nodes[5].x.Close()
		for i, at := range nodes[:5] {
			if got := at.has(nodes[5].origin); got != 201 {
				t.Errorf("node %d has %d of 201 updates of the one that left", i, got)
			}
		}
		time.Sleep(time.Second)
		for i, at := range nodes[:5] {
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
