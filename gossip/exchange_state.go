package gossip

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// MemberState is a member, joined with what streams tell of it.
type MemberState struct {
	Member
	Self      bool
	Connected bool
	Root      chain.Hash    // its sync root when it last told
	Behind    uint64        // updates that are here and that it has not said it has
	Heard     time.Duration // since it was last heard; negative: never
	Lagging   bool          // it pulls, as it fell too far behind to be pushed to
	Acked     chain.Seq     // how far it acknowledged the own chain
	Offset    time.Duration // of its wall clock from the own, if Measured
	Measured  bool
}

// Members returns the members by origin, this node included.
func (x *Exchange) Members() []MemberState {
	members := x.known()
	peers := map[chain.Origin]PeerState{}
	var now time.Duration
	x.ask(func(at At) {
		now = at.Mono
		for _, p := range x.engine.Peers() {
			peers[p.Origin] = p
		}
	})
	states := make([]MemberState, len(members))
	for i, m := range members {
		s := MemberState{Member: m, Self: m.Origin == x.self, Heard: -1}
		if s.Self {
			s.Root, s.Heard = x.ledger.SyncRoot(), 0
		}
		if p, ok := peers[m.Origin]; ok {
			s.Connected, s.Root, s.Behind, s.Heard = p.Connected, p.Root, p.Behind, now-p.Heard
			s.Lagging, s.Acked = p.Lagging, p.Acked.Seq
			s.Offset, s.Measured = p.Offset, p.Measured && p.Connected
			if p.RTT > 0 {
				s.RTT = p.RTT
			}
		}
		states[i] = s
	}
	return states
}

// known is the transport's last word about the members.
func (x *Exchange) known() []Member {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]Member(nil), x.members...)
}

// membership reports whether the transport tells of a node; changed is closed
// when that may not be so any more.
func (x *Exchange) membership(o chain.Origin) (member bool, changed <-chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.origins[o], x.changed
}

func (x *Exchange) isMember(o chain.Origin) bool {
	member, _ := x.membership(o)
	return member
}

// Converged answers rule 9: held is the number of updates held here, known the
// number of members that the node knows of, this one included. Of more of them
// that membership knows it takes account itself.
func (x *Exchange) Converged(held, known int) (converged bool) {
	var live []chain.Origin
	there := 0
	for _, m := range x.known() {
		if m.Status != StatusLeft {
			there++
		}
		if m.Status == StatusAlive && m.Origin != x.self {
			live = append(live, m.Origin)
		}
	}
	x.ask(func(at At) { converged = x.engine.Converged(at, held, live, max(known, there)) })
	return converged
}

// OwnHeads returns what each connected peer says of the own chain.
func (x *Exchange) OwnHeads() (heads []OwnHead) {
	x.ask(func(At) { heads = x.engine.OwnHeads() })
	return heads
}

// ClockHeld tells what is held by the clock, and returns how far which peers
// have applied those chains: see Engine.ClockHeld.
func (x *Exchange) ClockHeld(held []chain.ID) (applied map[chain.Origin]map[chain.Origin]chain.Seq) {
	x.ask(func(at At) { applied = x.engine.ClockHeld(at, held) })
	return applied
}

// Clock compares the wall clocks of the members that have not left.
func (x *Exchange) Clock() (c Clock) {
	var members []chain.Origin
	for _, m := range x.known() {
		if m.Status != StatusLeft {
			members = append(members, m.Origin)
		}
	}
	x.ask(func(at At) { c = x.engine.Clock(at, members) })
	return c
}

// Progress returns the progress of catching up.
func (x *Exchange) Progress() (p Progress) {
	x.ask(func(At) { p = x.engine.Progress() })
	return p
}

// KnownHead is the highest seq of a chain that this node or a connected peer
// has.
func (x *Exchange) KnownHead(o chain.Origin) (seq chain.Seq) {
	x.ask(func(At) { seq = x.engine.KnownHead(o) })
	return seq
}

// Fetch asks a peer for a range of a chain, whatever is here of it: see
// Engine.Fetch.
func (x *Exchange) Fetch(peer chain.Origin, r Range) {
	x.post(func(at At) { x.engine.Fetch(at, peer, r) })
}

// Stats returns the engine's counters.
func (x *Exchange) Stats() (s Stats) {
	x.ask(func(At) { s = x.engine.Stats() })
	return s
}

// Forget drops a member that failed or left from every node's list. The errors
// to be told apart are ErrNoMember and ErrMemberAlive.
func (x *Exchange) Forget(name string) error { return x.conf.Transport.Forget(name) }
