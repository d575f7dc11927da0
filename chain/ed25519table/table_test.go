package ed25519table

import (
	"bytes"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"filippo.io/edwards25519"
	"github.com/stretchr/testify/require"
)

func bigOf(little []byte) *big.Int {
	b := bytes.Clone(little)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

func littleOf(n *big.Int) []byte {
	b := n.FillBytes(make([]byte, 32))
	slices.Reverse(b)
	return b
}

// scalars are those that make digits of every kind for a window, and as many
// that come at random: all of them below 2^253, and below the order of the group
// where that is asked for.
func scalars(window int, belowOrder bool) [][]byte {
	end := new(big.Int).Lsh(big.NewInt(1), scalarBits)
	if belowOrder {
		end = bigOf(order[:])
	}
	var all [][]byte
	add := func(n *big.Int) {
		if n.Sign() >= 0 && n.Cmp(end) < 0 {
			all = append(all, littleOf(n))
		}
	}
	for _, by := range []int64{-2, -1, 0, 1, 2} {
		add(big.NewInt(by))
		add(new(big.Int).Add(end, big.NewInt(by)))
		add(new(big.Int).Add(new(big.Int).Rsh(end, 1), big.NewInt(by)))
	}
	half := int64(1) << (window - 1)
	for at := 0; at < scalarBits; at++ { // ones, alone, up to one bit and from it on
		one := new(big.Int).Lsh(big.NewInt(1), uint(at))
		add(one)
		add(new(big.Int).Sub(one, big.NewInt(1)))
		add(new(big.Int).Sub(end, one))
	}
	for _, digit := range []int64{1, half - 1, half, half + 1, 2*half - 1} {
		n, alone := new(big.Int), new(big.Int)
		for at := 0; at < scalarBits; at += window { // the same digit in every window, and in one
			alone.Lsh(big.NewInt(digit), uint(at))
			add(alone)
			n.Add(n, alone)
			add(n)
			add(new(big.Int).Mod(n, end))
		}
	}
	random := rand.New(rand.NewPCG(1, uint64(window)))
	for range 100 {
		n := new(big.Int)
		for range 4 {
			n.Lsh(n, 64)
			n.Or(n, new(big.Int).SetUint64(random.Uint64()))
		}
		add(n.Mod(n, end))
	}
	return all
}

// The digits are in their range and make up the scalar, for all scalars below
// 2^253; each digit that there is comes about.
func TestDigits(t *testing.T) {
	for _, window := range []int{keyWindow, 6, baseWindow} {
		half := 1 << (window - 1)
		seen := map[int8]bool{}
		for _, s := range scalars(window, false) {
			sum := new(big.Int)
			digits := digits(s, window)
			for i, digit := range slices.Backward(digits[:]) {
				if int(digit) > half || int(digit) <= -half || i > scalarBits/window && digit != 0 {
					t.Fatalf("digit %d of %x is %d", i, s, digit)
				}
				seen[digit] = true
				sum.Lsh(sum, uint(window))
				sum.Add(sum, big.NewInt(int64(digit)))
			}
			require.Zero(t, sum.Cmp(bigOf(s)), "%x", s)
		}
		require.Len(t, seen, 2*half, "window %d", window)
	}
}

// A table multiplies as the library does: points of prime, mixed and small
// order, by scalars of all kinds of digits.
func TestTablesMultiply(t *testing.T) {
	random, err := new(edwards25519.Point).SetBytes(public(testKey("point")))
	require.NoError(t, err)
	points := smallOrder(t)
	points = append(points[:3], random, new(edwards25519.Point).Add(random, points[1]), edwards25519.NewGeneratorPoint())
	for i, of := range points {
		for _, shape := range []struct{ window, stride int }{{keyWindow, keyStride}, {baseWindow, 1}, {6, 3}} {
			table := expand(of, shape.window, shape.stride)
			for n, s := range scalars(shape.window, true) {
				if n%3 != i%3 {
					continue
				}
				k, err := edwards25519.NewScalar().SetCanonicalBytes(s)
				require.NoError(t, err)
				p := identity()
				table.addMultiple(&p, s)
				got := p.encode()
				want := new(edwards25519.Point).ScalarMult(k, of).Bytes()
				require.Equal(t, want, got[:], "point %d, window %d, scalar %x", i, shape.window, s)
			}
		}
	}
}

// Every entry of a table is the multiple that it stands for.
func TestTablesHoldMultiples(t *testing.T) {
	of, err := new(edwards25519.Point).SetBytes(public(testKey("multiples")))
	require.NoError(t, err)
	table := expand(of, keyWindow, keyStride)
	require.Len(t, table.multiples, 26*16)
	first := new(edwards25519.Point).Set(of)
	for row := range 26 {
		sum := edwards25519.NewIdentityPoint()
		for i := range 16 {
			sum.Add(sum, first)
			p := identity()
			q := table.multiples[16*row+i]
			p.add(&q)
			got := p.encode()
			require.Equal(t, sum.Bytes(), got[:])
			q.negate()
			p.add(&q)
			got = p.encode()
			require.Equal(t, edwards25519.NewIdentityPoint().Bytes(), got[:])
		}
		for range keyWindow * keyStride {
			first.Add(first, first)
		}
	}
}

// Sums that meet the identity, equal points and opposite ones on their way take
// no special case.
func TestAdditionIsComplete(t *testing.T) {
	random, err := new(edwards25519.Point).SetBytes(public(testKey("complete")))
	require.NoError(t, err)
	points := append(smallOrder(t), random, new(edwards25519.Point).Negate(random), new(edwards25519.Point).Add(random, smallOrder(t)[3]))
	for _, a := range points {
		for _, b := range points {
			q := addends([]point{pointOf(b)})[0]
			for _, negative := range []bool{false, true} {
				p := pointOf(a)
				if negative {
					q.negate()
				}
				p.add(&q)
				got := p.encode()
				want := new(edwards25519.Point).Add(a, b)
				if negative {
					want.Subtract(a, b)
				}
				require.Equal(t, want.Bytes(), got[:])
			}
		}
		p := pointOf(a)
		p.double()
		got := p.encode()
		require.Equal(t, new(edwards25519.Point).Add(a, a).Bytes(), got[:])
	}
}
