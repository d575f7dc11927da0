package node

import (
	"crypto/ed25519"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// books are the node's chains as gossip sees them.
type books struct{ n *Node }

var _ gossip.Ledger = books{}

func (b books) Heads() []chain.Head {
	chains := b.n.archive.Chains()
	heads := make([]chain.Head, len(chains))
	for i, c := range chains {
		heads[i] = c.Received
	}
	return heads
}

func (b books) Applied() []chain.Head {
	chains := b.n.archive.Chains()
	heads := make([]chain.Head, len(chains))
	for i, c := range chains {
		heads[i] = c.Applied
	}
	return heads
}

func (b books) SyncRoot() chain.Hash { return b.n.archive.Summary().SyncRoot }

func (b books) Key(o chain.Origin) (ed25519.PublicKey, bool) {
	c, ok := b.n.archive.Info(o)
	if !ok {
		return nil, false
	}
	return c.Genesis.Key, true
}

func (b books) Serve(o chain.Origin, from chain.Seq, size int) ([][]byte, error) {
	return b.n.archive.Runs(o, from, size)
}

// Frozen are the chains that were ended, also those of which nothing is here.
func (b books) Frozen() []chain.ID {
	freezes := b.n.archive.Freezes()
	ends := make([]chain.ID, len(freezes))
	for i, f := range freezes {
		ends[i] = chain.ID{Origin: f.Origin, Seq: f.After}
	}
	return ends
}

func (b books) Evidence(o chain.Origin) ([]byte, error) { return b.n.archive.Evidence(o) }

func (b books) AcceptFreeze(from chain.Origin, f *chain.Freeze, reply func([]chain.Outcome, error)) {
	a := &arrival{from: from, freeze: f, cost: 1, reply: reply}
	for _, proof := range f.Proof {
		a.cost += len(proof)
	}
	b.arrive(a)
}

func (b books) Await(from chain.Origin) { b.n.writer.inbox.await(from) }

func (b books) Accept(from chain.Origin, runs []*chain.Run, ackWanted bool, reply func([]chain.Outcome, error)) {
	a := &arrival{from: from, runs: runs, urgent: ackWanted, reply: reply}
	for _, r := range runs {
		a.cost += r.Cost()
	}
	b.arrive(a)
}

func (b books) SyncSoon() { b.n.writer.inbox.hurry() }

// arrive queues what came for the writer's loop.
func (b books) arrive(a *arrival) {
	if !b.n.writer.inbox.put(a) {
		a.reply(nil, chain.ErrClosed)
	}
}
