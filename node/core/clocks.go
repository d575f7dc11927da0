package core

import (
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// clocksLeast is how many clocks it takes to say which is wrong.
const clocksLeast = 3

// Reading is a comparison of the mesh's wall clocks, and when it was made.
type Reading struct {
	gossip.Clock
	At gossip.At
}

// Now is the comparison as it is at a later moment: what the own clock was set by
// since then counts at once, and not only at the next look.
func (r Reading) Now(at gossip.At) gossip.Clock {
	const most = int64(100 * 365 * 24 * time.Hour / time.Millisecond)
	set := at.Wall - r.At.Wall - (at.Mono - r.At.Mono).Milliseconds()
	c := r.Clock
	c.Offset += time.Duration(min(max(set, -most), most)) * time.Millisecond
	return c
}

// ClockIsOff reports whether the own clock is so far off the median of the
// mesh's, more than half of maxSkew, that this node must not publish.
func ClockIsOff(c gossip.Clock, maxSkew time.Duration) bool {
	return c.Count >= clocksLeast && c.Offset.Abs() > maxSkew/2
}

// ClocksMet reports whether a node that starts has compared enough clocks to go
// by the result: as many as it takes to say which is wrong, or those of all live
// members where these are fewer. live is their number without this node.
func ClocksMet(c gossip.Clock, live int) bool {
	return live > 0 && c.Count >= min(clocksLeast, live+1)
}

// TimeLimit is the latest time that is applied: maxSkew after the median of the
// mesh's clocks. With fewer than three clocks there is none, except while a node
// of a mesh starts: then it has not caught up with the others or not compared
// all clocks yet, and goes by its own. Times are in Unix milliseconds.
func TimeLimit(now int64, c gossip.Clock, starting bool, maxSkew time.Duration) int64 {
	switch {
	case c.Count >= clocksLeast:
		now -= c.Offset.Milliseconds()
	case !starting:
		return 0
	}
	return max(1, now+maxSkew.Milliseconds())
}

// Admissible is how far a chain that the clock holds back here is applied by
// more than half of the known members, who are given by their origins without
// this node, which is one of them and has not applied it. It is 0 where they are
// too few.
func Admissible(applied map[chain.Origin]chain.Seq, others []chain.Origin) chain.Seq {
	var seqs []chain.Seq
	for _, o := range others {
		if seq := applied[o]; seq > 0 {
			seqs = append(seqs, seq)
		}
	}
	need := (len(others)+1)/2 + 1
	if len(seqs) < need {
		return 0
	}
	slices.Sort(seqs)
	return seqs[len(seqs)-need]
}
