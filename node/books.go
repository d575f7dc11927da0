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

func (b books) AcceptFreeze(_ chain.Origin, f *chain.Freeze, reply func([]chain.Outcome, error)) {
	a := &arrival{freeze: f, reply: reply}
	for _, proof := range f.Proof {
		a.size += len(proof)
	}
	b.arrive(a)
}

func (b books) Accept(_ chain.Origin, runs []*chain.Run, ackWanted bool, reply func([]chain.Outcome, error)) {
	a := &arrival{runs: runs, urgent: ackWanted, reply: reply}
	for _, r := range runs {
		for i := range r.Entries {
			a.size += arrivalOverhead + len(r.Entries[i].Header) + len(r.Entries[i].Body)
		}
	}
	b.arrive(a)
}

// arrive queues what came for the writer's loop.
func (b books) arrive(a *arrival) {
	w, in := b.n.writer, b.n.intake
	if !in.enter(a.size, w.quit) {
		a.reply(nil, chain.ErrClosed)
		return
	}
	reply := a.reply
	a.reply = func(outcomes []chain.Outcome, err error) {
		in.leave(a.size)
		reply(outcomes, err)
	}
	select {
	case w.inbox <- a:
		select {
		case <-w.done:
			w.turnAway() // the loop may have ended before it saw this one
		default:
		}
	case <-w.quit:
		a.reply(nil, chain.ErrClosed)
	}
}
