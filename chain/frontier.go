package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math/bits"
	"slices"
)

// Head is the end of what is here of a chain: its newest update and that
// update's hash.
type Head struct {
	Origin Origin
	Seq    Seq
	Hash   Hash
}

// Frontier is, per origin, the highest seq up to which everything is there.
// An origin that is absent stands at 0.
type Frontier map[Origin]Seq

// Clone returns a copy.
func (f Frontier) Clone() Frontier { return maps.Clone(f) }

// Has reports whether the frontier covers the update.
func (f Frontier) Has(id ID) bool { return f[id.Origin] >= id.Seq }

// clamp lowers what f says of an origin to at most seq.
func (f Frontier) clamp(o Origin, seq Seq) {
	switch {
	case f[o] <= seq:
	case seq == 0:
		delete(f, o)
	default:
		f[o] = seq
	}
}

// Covers reports whether f is at or above other for every origin.
func (f Frontier) Covers(other Frontier) bool {
	for o, seq := range other {
		if f[o] < seq {
			return false
		}
	}
	return true
}

// Origins returns the origins of f in ascending order.
func (f Frontier) Origins() []Origin {
	return slices.SortedFunc(maps.Keys(f), Origin.Compare)
}

// Root is a digest of a set of heads that can be kept up to date one chain at
// a time: the sum, modulo 2^256, of a SHA-256 for each element. Equal sets
// have equal roots in whatever order they were built. The sum of hashes is the
// incremental set hash of Bellare and Micciancio ("A New Paradigm for
// Collision-free Hashing", 1997); whoever can grind chains might make two sets
// collide, and would thereby only slow down the exchange with himself. The
// zero value is the empty set.
type Root [4]uint64

// Add and Remove put a head into the set, and take one out that is in it.
func (r *Root) Add(h Head)    { r.add(headTerm(h)) }
func (r *Root) Remove(h Head) { r.sub(headTerm(h)) }

// Replace moves one chain's head: was, unless it is at seq 0, gives way to is.
func (r *Root) Replace(was, is Head) {
	if was.Seq > 0 {
		r.Remove(was)
	}
	if is.Seq > 0 {
		r.Add(is)
	}
}

// Hash is the root as it is shown and sent.
func (r Root) Hash() Hash {
	var h Hash
	for i, word := range r {
		binary.LittleEndian.PutUint64(h[8*i:], word)
	}
	return h
}

func headTerm(h Head) [4]uint64 {
	buf := make([]byte, 0, 80)
	buf = append(buf, "tidings head 1\x00"...)
	buf = append(buf, h.Origin[:]...)
	buf = binary.BigEndian.AppendUint64(buf, uint64(h.Seq))
	buf = append(buf, h.Hash[:]...)
	return words(sha256.Sum256(buf))
}

func words(sum [32]byte) (w [4]uint64) {
	for i := range w {
		w[i] = binary.LittleEndian.Uint64(sum[8*i:])
	}
	return w
}

func (r *Root) add(t [4]uint64) {
	var carry uint64
	for i := range r {
		r[i], carry = bits.Add64(r[i], t[i], carry)
	}
}

func (r *Root) sub(t [4]uint64) {
	var borrow uint64
	for i := range r {
		r[i], borrow = bits.Sub64(r[i], t[i], borrow)
	}
}
