package gossip_test

import (
	"errors"
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

// A node that cannot read its log does not answer: told that there is nothing, the
// other would take it that there never was, and itself for converged.
func TestLogThatCannotBeRead(t *testing.T) {
	at := gossip.At{Mono: time.Second}
	peer := chain.Origin{2}
	e := gossip.NewEngine(at, gossip.EngineConfig{Self: chain.Origin{1}, Heads: []chain.Head{{Origin: chain.Origin{1}, Seq: 5}}})
	e.PeerUp(at, peer)
	e.Message(at, peer, &gossip.Hello{Version: gossip.Version, Root: chain.Hash{1}})
	e.Message(at, peer, &gossip.Pull{ID: 7, Bytes: 1 << 16, Ranges: []gossip.Range{{Origin: chain.Origin{1}, From: 1, To: 5}}})
	out := e.Take()
	if len(out.Read) != 1 {
		t.Fatalf("effects %+v", out)
	}
	e.ReadDone(at, out.Read[0], nil, nil, errors.New("damaged"))
	e.Message(at, peer, &gossip.Pull{ID: 8, Bytes: 1 << 16, Ranges: []gossip.Range{{Origin: chain.Origin{1}, From: 5, To: 5}}})
	out = e.Take()
	for _, s := range out.Send {
		if s.Frame.Kind() == gossip.KindServed {
			t.Errorf("it served %+v", s.Frame)
		}
	}
	if len(out.Read) != 1 {
		t.Error("it does not go on with the next request")
	}
}

// A node that was converged when its ledger was closed does not stay so: it hears of
// nothing more.
func TestNotConvergedOnceTheLedgerIsClosed(t *testing.T) {
	at := gossip.At{Mono: time.Second}
	peer := chain.Origin{2}
	e := gossip.NewEngine(at, gossip.EngineConfig{Self: chain.Origin{1}})
	e.PeerUp(at, peer)
	e.Message(at, peer, &gossip.Hello{Version: gossip.Version})
	for _, s := range e.Take().Send {
		if f, ok := s.Frame.(*gossip.Ping); ok {
			e.Message(at, peer, &gossip.Ping{Echo: f.Sent})
		}
	}
	if !e.Converged(at, 0, []chain.Origin{peer}, 2) {
		t.Fatal("not converged at first")
	}
	e.LedgerClosed(at)
	e.Message(at, peer, &gossip.Heads{Heads: []chain.ID{{Origin: peer, Seq: 12}}})
	if e.Converged(at, 0, []chain.Origin{peer}, 2) {
		t.Error("converged, with nothing taken any more")
	}
}

// A process that was stopped does not know what its peers have done meanwhile,
// though what they sent at first says that they agree: until they have heard of it
// again, it is not converged.
func TestConvergedAfterAPause(t *testing.T) {
	at := gossip.At{Mono: time.Second}
	peer := chain.Origin{2}
	e := gossip.NewEngine(at, gossip.EngineConfig{Self: chain.Origin{1}})
	converged := func() bool { return e.Converged(at, 0, []chain.Origin{peer}, 2) }
	ping := func() *gossip.Ping {
		for _, s := range e.Take().Send {
			if f, ok := s.Frame.(*gossip.Ping); ok {
				return f
			}
		}
		t.Fatal("no ping")
		return nil
	}
	e.PeerUp(at, peer)
	e.Take()
	e.Message(at, peer, &gossip.Hello{Version: gossip.Version})
	sent := ping()
	e.Message(at, peer, &gossip.Ping{Echo: sent.Sent})
	if !converged() {
		t.Fatal("not converged at first")
	}
	for range 3 { // time passes as it does
		at.Mono += time.Second
		e.Tick(at)
		sent = ping()
		e.Message(at, peer, &gossip.Ping{Echo: sent.Sent})
	}
	if !converged() {
		t.Fatal("not converged while nothing happens")
	}
	at.Mono += 5 * time.Second
	e.Message(at, peer, &gossip.Ping{Echo: sent.Sent, Delay: 10}) // it lay there all the while
	if converged() {
		t.Error("converged by what was sent before the pause")
	}
	e.Tick(at)
	sent = ping()
	at.Mono += 5 * time.Millisecond
	e.Message(at, peer, &gossip.Ping{Echo: sent.Sent})
	if !converged() {
		t.Error("not converged though the peer has heard of it again")
	}
}
