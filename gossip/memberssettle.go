package gossip

import (
	"cmp"
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// settleMembers makes one member of the starts of one node, and lets a node
// supersede another one of its name that is gone. It returns the members by
// origin and the starts that were superseded. The order of its input does not
// count.
//
// Of one origin, one that runs goes before one that does not, then the later
// one. Of one name, several that run are all members (one of them is about to
// find out that it is a twin, or gone); as soon as one runs, those that do not
// are superseded; of several that do not, the latest one stays.
func settleMembers(starts []Member) (members, superseded []Member) {
	starts = slices.Clone(starts)
	slices.SortFunc(starts, func(a, b Member) int {
		return cmp.Or(a.Origin.Compare(b.Origin), -comparePresence(a, b))
	})
	latest := make([]Member, 0, len(starts))
	for i, m := range starts {
		if i > 0 && m.Origin == starts[i-1].Origin {
			superseded = append(superseded, m)
			continue
		}
		latest = append(latest, m)
	}
	best := make(map[string]Member, len(latest))
	for _, m := range latest {
		if b, ok := best[m.Name]; !ok || comparePresence(m, b) > 0 {
			best[m.Name] = m
		}
	}
	members = latest[:0]
	for _, m := range latest {
		if !m.Status.running() && best[m.Name].Origin != m.Origin {
			superseded = append(superseded, m)
			continue
		}
		members = append(members, m)
	}
	return members, superseded
}

// comparePresence orders by who supersedes whom.
func comparePresence(a, b Member) int {
	rank := func(s Status) int {
		switch s {
		case StatusAlive:
			return 2
		case StatusLeaving:
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(rank(a.Status), rank(b.Status)),
		cmp.Compare(a.Epoch, b.Epoch),
		a.Origin.Compare(b.Origin),
	)
}

// sameMembers reports whether two lists say the same, estimates apart.
func sameMembers(a, b []Member) bool {
	return slices.EqualFunc(a, b, func(x, y Member) bool {
		x.RTT, y.RTT = 0, 0
		return x == y
	})
}

// nodeStart names one start of one node.
type nodeStart struct {
	origin chain.Origin
	epoch  uint64
}

func (m Member) start() nodeStart { return nodeStart{m.Origin, m.Epoch} }
