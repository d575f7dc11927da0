package chain

import (
	"math/big"
	"strings"
)

// numberEqual compares two JSON number literals by their exact decimal value,
// in memory of the order of their lengths, however large their exponents.
func numberEqual(a, b string) bool {
	if a == b {
		return true
	}
	x, y := numberParse(a), numberParse(b)
	if x.digits == "" || y.digits == "" {
		return x.digits == y.digits // -0 is 0
	}
	return x.negative == y.negative && x.digits == y.digits && numberSameScale(x, y)
}

// number is ±0.digits × 10^(exponent+shift).
type number struct {
	negative bool
	digits   string // without zeros at either end, empty for zero
	exponent string // as written, with its sign
	shift    int    // at most the literal's length, either way
}

// numberLength is the length of the number that sound JSON text begins with.
func numberLength(text string) int {
	n := 0
	for n < len(text) && numberByte[text[n]] {
		n++
	}
	return n
}

// numberByte marks the bytes that a number is made of.
var numberByte = func() (is [256]bool) {
	for _, c := range []byte("0123456789+-.eE") {
		is[c] = true
	}
	return is
}()

func numberParse(s string) (n number) {
	s, n.negative = strings.CutPrefix(s, "-")
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		s, n.exponent = s[:i], s[i+1:]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	digits := whole + fraction
	significant := strings.TrimLeft(digits, "0")
	n.shift = len(whole) - (len(digits) - len(significant))
	n.digits = strings.TrimRight(significant, "0")
	return n
}

// append writes the one text of a number's value: its digits, and the power of
// ten of the last of them where that is not 0.
func (n number) append(dst []byte) []byte {
	if n.digits == "" {
		return append(dst, '0')
	}
	if n.negative {
		dst = append(dst, '-')
	}
	dst = append(dst, n.digits...)
	negative, digits := numberExponent(n.exponent)
	if scale := numberScale(negative, digits, n.shift-len(n.digits)); scale.Sign() != 0 {
		dst = scale.Append(append(dst, 'e'), 10)
	}
	return dst
}

// numberSameScale compares the powers of ten.
func numberSameScale(x, y number) bool {
	xNegative, xDigits := numberExponent(x.exponent)
	yNegative, yDigits := numberExponent(y.exponent)
	const small = 18 // digits that an int64 surely holds
	if len(xDigits) > small && len(yDigits) > small {
		// Shifts are far below 10^18: they change neither the sign of such an
		// exponent nor its length by more than one digit.
		if d := len(xDigits) - len(yDigits); xNegative != yNegative || d < -1 || d > 1 {
			return false
		}
	}
	return numberScale(xNegative, xDigits, x.shift).Cmp(numberScale(yNegative, yDigits, y.shift)) == 0
}

func numberExponent(s string) (negative bool, digits string) {
	digits, negative = strings.CutPrefix(s, "-")
	return negative, strings.TrimLeft(strings.TrimPrefix(digits, "+"), "0")
}

func numberScale(negative bool, digits string, shift int) *big.Int {
	e := new(big.Int)
	if digits != "" {
		e.SetString(digits, 10)
	}
	if negative {
		e.Neg(e)
	}
	return e.Add(e, big.NewInt(int64(shift)))
}
