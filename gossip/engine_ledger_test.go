package gossip_test

import (
	"testing"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// A node whose ledger takes nothing any more asks nobody for what it could not
// keep, does not count as caught up, and says that it is not converged.
func TestLedgerThatTakesNothing(t *testing.T) {
	at := gossip.At{Mono: time.Second}
	peer, origin := chain.Origin{2}, chain.Origin{3}
	e := gossip.NewEngine(at, gossip.EngineConfig{Self: chain.Origin{1}})
	e.PeerUp(at, peer)
	e.Message(at, peer, &gossip.Hello{Version: gossip.Version, Root: chain.Hash{1}})
	e.Message(at, peer, &gossip.Digest{Full: true, Heads: []chain.ID{{Origin: origin, Seq: 5}}})
	out := e.Take()
	pull, served := (*gossip.Pull)(nil), gossip.Run{Origin: origin, First: 1, Last: 5, Encoded: []byte{1}}
	for _, s := range out.Send {
		if f, ok := s.Frame.(*gossip.Pull); ok {
			pull = f
		}
	}
	if pull == nil {
		t.Fatalf("nothing is asked for: %+v", out.Send)
	}
	e.Message(at, peer, &gossip.Served{ID: pull.ID, Done: true, Runs: []gossip.Run{served}})
	out = e.Take()
	if len(out.Accept) != 1 {
		t.Fatalf("%d runs for the ledger", len(out.Accept))
	}
	e.LedgerClosed(at)
	e.Outcome(at, out.Accept[0].ID, nil)
	for range 100 {
		at.Mono += 100 * time.Millisecond
		e.Message(at, peer, &gossip.Ping{Root: chain.Hash{1}})
		e.Message(at, peer, &gossip.Push{Runs: []gossip.Run{served}})
		e.Tick(at)
		out = e.Take()
		if len(out.Accept) > 0 || out.CaughtUp {
			t.Fatalf("effects %+v", out)
		}
		for _, s := range out.Send {
			if s.Frame.Kind() == gossip.KindPull {
				t.Fatal("it goes on asking")
			}
		}
		if next := e.NextTick(); next <= at.Mono {
			t.Fatalf("busy: at %v the next tick is at %v", at.Mono, next)
		}
	}
	if e.Converged(at, 0, []chain.Origin{peer}, 2) {
		t.Error("it takes itself for converged")
	}
}
