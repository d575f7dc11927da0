package ed25519table

import (
	"encoding/binary"
	"sync"

	"filippo.io/edwards25519"
)

// A scalar is written in digits of some bits each, windows, that are positive
// or negative. A table has the multiples of a point by 1 to half a window's
// range, for the first of every stride windows: what it takes of a scalar is
// one addition for each of these windows, without doublings between them. For
// the windows between them the sum is doubled (as ref10 multiplies its base
// point, by odd windows first: Bernstein et al., "High-speed high-security
// signatures", section 4).
const (
	// Wider windows take fewer additions and larger tables, which take longer to
	// make and are more often not in the processor's cache. As measured for a key's,
	// all windows of 5 bits, or every second one of 6, take 4 % less time to verify by
	// and 1.6 to 2 times the memory and the time to make.
	keyWindow = 5
	keyStride = 2
	// For the base point, of which there is one table: 8 bits take 3 % less time
	// and 491 KB in place of 284.
	baseWindow = 7

	// scalarBits bounds scalars: the order of the group is below 2^253.
	scalarBits = 253
	// maxDigits is how many digits a scalar has at most.
	maxDigits = scalarBits/keyWindow + 1
)

type table struct {
	window, stride int
	multiples      []addend // by 1, 2, ... for the first window, then for that a stride on
}

// expand makes the table of a point.
func expand(of *edwards25519.Point, window, stride int) *table {
	windows := scalarBits/window + 1
	firsts := make([]point, (windows+stride-1)/stride)
	p := pointOf(of)
	for i := range firsts {
		firsts[i] = p
		for range window * stride {
			p.double()
		}
	}
	half := 1 << (window - 1)
	multiples := make([]point, 0, len(firsts)*half)
	for i, q := range addends(firsts) {
		p := firsts[i]
		for range half - 1 {
			multiples = append(multiples, p)
			p.add(&q)
		}
		multiples = append(multiples, p)
	}
	return &table{window, stride, addends(multiples)}
}

// base is the table of the base point: 284 KB, made in about a millisecond when
// it is first used.
var base = sync.OnceValue(func() *table { return expand(edwards25519.NewGeneratorPoint(), baseWindow, 1) })

// expandKey makes the table of minus a key, 50 KB. It is nil for what is no key.
func expandKey(key []byte) *table {
	p, err := new(edwards25519.Point).SetBytes(key)
	if err != nil {
		return nil
	}
	return expand(p.Negate(p), keyWindow, keyStride)
}

// digits writes a scalar in digits of window bits from -half to half, the least
// first: the sum of digit i times 2^(window*i). The last window has a bit above
// those of any scalar, so that it takes the last carry.
func digits(scalar []byte, window int) (out [maxDigits]int8) {
	var limbs [5]uint64
	for i := range 4 {
		limbs[i] = binary.LittleEndian.Uint64(scalar[8*i:])
	}
	half, carry := 1<<(window-1), 0
	for i, bit := 0, 0; bit <= scalarBits; i, bit = i+1, bit+window {
		bits := limbs[bit/64]>>(bit%64) | limbs[bit/64+1]<<(64-bit%64)
		digit := int(bits)&(2*half-1) + carry
		carry = 0
		if digit > half {
			digit, carry = digit-2*half, 1
		}
		out[i] = int8(digit)
	}
	return out
}

// addMultiples adds to p what the table has for every stride-th digit from the
// first on.
func (t *table) addMultiples(p *point, digits *[maxDigits]int8, first int) {
	// Copied first, some multiples come from memory at once, where in the additions
	// each would be waited for: 23 µs in place of 27 for a signature whose tables no
	// near cache has.
	var q [8]addend
	for i := first; i < maxDigits; {
		n := 0
		for ; i < maxDigits && n < len(q); i += t.stride {
			row := i / t.stride << (t.window - 1)
			switch digit := int(digits[i]); {
			case digit > 0:
				q[n] = t.multiples[row+digit-1]
				n++
			case digit < 0:
				q[n] = t.multiples[row-digit-1]
				q[n].negate()
				n++
			}
		}
		for j := range n {
			p.add(&q[j])
		}
	}
}

// addMultiple adds to p, which is the identity unless the stride is 1, the
// table's point times a scalar.
func (t *table) addMultiple(p *point, scalar []byte) {
	digits := digits(scalar, t.window)
	for first := t.stride - 1; first > 0; first-- {
		t.addMultiples(p, &digits, first)
		for range t.window {
			p.double()
		}
	}
	t.addMultiples(p, &digits, 0)
}
