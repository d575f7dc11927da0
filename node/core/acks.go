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

// Count is how many peers hold an own update.
func (a Acks) Count(seq chain.Seq) int {
	n := 0
	for _, has := range a {
		if has >= seq {
			n++
		}
	}
	return n
}
