package core

import "github.com/tidings-mesh/tidings/chain"

// Acks are how far peers hold the own chain, applied and synced.
type Acks map[chain.Origin]chain.Seq

// Note takes a peer's word, and reports whether it is news.
func (a Acks) Note(peer chain.Origin, seq chain.Seq) bool {
	if seq <= a[peer] {
		return false
	}
	a[peer] = seq
	return true
}

// Count is how many of the known members, who are given by their origins, hold an
// own update. One that lost its disk goes on under a new origin: what the old one
// acknowledged was lost with it, and the two are one node.
func (a Acks) Count(seq chain.Seq, known []chain.Origin) int {
	n := 0
	for _, o := range known {
		if a[o] >= seq {
			n++
		}
	}
	return n
}
