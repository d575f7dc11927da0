package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node/core"
)

func TestStart(t *testing.T) {
	for _, c := range []struct {
		name string
		s    core.Start
		want core.Step
	}{
		{"in memory, alone", core.Start{}, core.Append},
		{"as it was left, knowing nobody", core.Start{Durable: true, Unchanged: true, Mesh: true}, core.Append},
		{"as it was left, in a mesh", core.Start{Durable: true, Unchanged: true, Mesh: true, Known: 1}, core.Ask},
		{"moved, in a mesh", core.Start{Durable: true, Mesh: true}, core.Ask},
		{"the end of its log lost", core.Start{Durable: true, Unchanged: true, EndLost: true, Mesh: true}, core.Ask},
		{"moved, with nobody to ask", core.Start{Durable: true}, core.NewOrigin},
		{"frozen", core.Start{Durable: true, Unchanged: true, Frozen: true, Mesh: true, Known: 1}, core.NewOrigin},
	} {
		require.Equal(t, c.want, c.s.Step(), c.name)
	}
}

// book is what is here of the own chain: the hash of seq n is {n}.
type book struct {
	self chain.Origin
	have chain.Seq
}

func (b book) Info(o chain.Origin) (chain.ChainInfo, bool) {
	h := chain.Head{Origin: o, Seq: b.have, Hash: chain.Hash{byte(b.have)}}
	return chain.ChainInfo{Received: h, Applied: h}, b.have > 0
}

func (b book) Update(id chain.ID) (*chain.Update, error) {
	if id.Seq == 0 || id.Seq > b.have {
		return nil, chain.ErrNotFound
	}
	return &chain.Update{ID: id, Hash: chain.Hash{byte(id.Seq)}}, nil
}

func TestRecovery(t *testing.T) {
	self, a, b := chain.Origin{1}, chain.Origin{2}, chain.Origin{3}
	at := time.Unix(1_700_000_000, 0)
	const wait = 10 * time.Second
	says := func(peer chain.Origin, seq chain.Seq, hash byte, catchingUp bool) gossip.OwnHead {
		return gossip.OwnHead{Peer: peer, Head: chain.Head{Origin: self, Seq: seq, Hash: chain.Hash{hash}}, CatchingUp: catchingUp}
	}
	both := []chain.Origin{a, b}
	for _, c := range []struct {
		name    string
		have    chain.Seq
		peers   core.Peers
		early   core.Step // before the wait is over
		late    core.Step // after it, in an unchanged directory
		changed core.Step // after it, in another one
	}{
		{"nobody is there", 5, core.Peers{}, core.Ask, core.Append, core.NewOrigin},
		{"all say what is here", 5, core.Peers{Live: both, OwnHeads: []gossip.OwnHead{says(a, 5, 5, false), says(b, 4, 4, false)}, KnownHead: 5}, core.Append, core.Append, core.Append},
		{"one has not answered", 5, core.Peers{Live: both, OwnHeads: []gossip.OwnHead{says(a, 5, 5, false)}, KnownHead: 5}, core.Ask, core.Append, core.NewOrigin},
		{"one is catching up itself", 5, core.Peers{Live: both, OwnHeads: []gossip.OwnHead{says(a, 5, 5, false), says(b, 2, 2, true)}, KnownHead: 5}, core.Ask, core.Append, core.NewOrigin},
		{"one has nothing of a chain that is here", 5, core.Peers{Live: both, OwnHeads: []gossip.OwnHead{says(a, 5, 5, false), says(b, 0, 0, false)}, KnownHead: 5}, core.Ask, core.Append, core.NewOrigin},
		{"nothing is here, and all say so", 0, core.Peers{Live: both, OwnHeads: []gossip.OwnHead{says(a, 0, 0, false), says(b, 0, 0, false)}}, core.Append, core.Append, core.Append},
		{"nothing is here, but one is catching up", 0, core.Peers{Live: both, OwnHeads: []gossip.OwnHead{says(a, 0, 0, false), says(b, 0, 0, true)}}, core.Ask, core.Append, core.NewOrigin},
		{"nothing is here, and one has it", 0, core.Peers{Live: both, OwnHeads: []gossip.OwnHead{says(a, 0, 0, false), says(b, 3, 3, false)}, KnownHead: 3}, core.Ask, core.Ask, core.NewOrigin},
		{"one has more", 5, core.Peers{Live: both, OwnHeads: []gossip.OwnHead{says(a, 5, 5, false), says(b, 7, 7, false)}, KnownHead: 7}, core.Ask, core.Ask, core.NewOrigin},
		{"one claims another update", 5, core.Peers{Live: both, OwnHeads: []gossip.OwnHead{says(a, 5, 5, false), says(b, 4, 9, false)}, KnownHead: 5}, core.Ask, core.Append, core.NewOrigin},
	} {
		here := book{self, c.have}
		r := core.NewRecovery(self, true, wait, at)
		require.Equal(t, c.early, r.Look(at.Add(time.Second), c.peers, here).Step, c.name)
		require.Equal(t, c.late, r.Look(at.Add(wait), c.peers, here).Step, "%s, late", c.name)
		r = core.NewRecovery(self, false, wait, at)
		require.Equal(t, c.changed, r.Look(at.Add(wait), c.peers, here).Step, "%s, changed", c.name)
	}

	// A peer that was seen to have more, and went away, still has it.
	r := core.NewRecovery(self, true, wait, at)
	r.Look(at, core.Peers{Live: both, OwnHeads: []gossip.OwnHead{says(a, 7, 7, false)}, KnownHead: 7}, book{self, 5})
	l := r.Look(at.Add(wait), core.Peers{}, book{self, 5})
	require.Equal(t, core.Ask, l.Step)
	require.True(t, l.Waits)
	require.False(t, r.Look(at.Add(wait), core.Peers{}, book{self, 5}).Waits, "it is said once")

	// A claim is put to the proof, and again if none comes.
	r = core.NewRecovery(self, true, wait, at)
	claim := core.Peers{Live: []chain.Origin{a}, OwnHeads: []gossip.OwnHead{says(a, 4, 9, false)}, KnownHead: 5}
	require.Equal(t, []core.Claim{{Peer: a, Seq: 4}}, r.Look(at, claim, book{self, 5}).Fetch)
	require.Empty(t, r.Look(at.Add(time.Second), claim, book{self, 5}).Fetch)
	require.Len(t, r.Look(at.Add(2*time.Second), claim, book{self, 5}).Fetch, 1)
}
