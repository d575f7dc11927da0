package wire

import "fmt"

// Decoder reads what the Append functions write. The first failure sticks:
// later reads return zero values, so a caller may read a whole record and look
// at Err or End once. Every length is checked against what is left before
// anything is made of it. A Decoder is not safe for concurrent use.
type Decoder struct {
	b   []byte
	off int
	err error
}

// NewDecoder returns a decoder of b, which the values that it reads point
// into.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Fail makes the decoder fail, unless it has already. Callers use it for rules
// of their own. The error wraps ErrEncoding and names the place.
func (d *Decoder) Fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%s at byte %d: %w", fmt.Sprintf(format, args...), d.off, ErrEncoding)
	}
}

// Err is the first failure.
func (d *Decoder) Err() error { return d.err }

// End is the first failure, or one if anything is left.
func (d *Decoder) End() error {
	if d.err == nil && d.off != len(d.b) {
		d.Fail("%d bytes too many", d.Remaining())
	}
	return d.err
}

// Remaining is the number of bytes not yet read.
func (d *Decoder) Remaining() int { return len(d.b) - d.off }

// take returns the next n bytes, capped so that appending to them copies.
func (d *Decoder) take(n uint64) []byte {
	if d.err != nil {
		return nil
	}
	if n > uint64(d.Remaining()) {
		d.Fail("%d bytes wanted, %d left", n, d.Remaining())
		return nil
	}
	end := d.off + int(n)
	v := d.b[d.off:end:end]
	d.off = end
	return v
}

// number reads a big-endian number of n bytes that must be at least low, so
// that no shorter form would have done.
func (d *Decoder) number(n int, low uint64) uint64 {
	v := uint64(0)
	for _, c := range d.take(uint64(n)) {
		v = v<<8 | uint64(c)
	}
	if v < low {
		d.Fail("number %d is not in its shortest form", v)
	}
	return v
}

func (d *Decoder) code() byte {
	if b := d.take(1); d.err == nil {
		return b[0]
	}
	return 0
}

// Uint reads an unsigned integer.
func (d *Decoder) Uint() uint64 {
	switch c := d.code(); {
	case d.err != nil:
		return 0
	case c < 0x80:
		return uint64(c)
	case c == 0xcc:
		return d.number(1, 1<<7)
	case c == 0xcd:
		return d.number(2, 1<<8)
	case c == 0xce:
		return d.number(4, 1<<16)
	case c == 0xcf:
		return d.number(8, 1<<32)
	default:
		d.Fail("type %#02x, want an unsigned integer", c)
		return 0
	}
}

// Bin reads at most most bytes. The result points into what is decoded.
func (d *Decoder) Bin(most int) []byte {
	var n uint64
	switch c := d.code(); {
	case d.err != nil:
		return nil
	case c == 0xc4:
		n = d.number(1, 0)
	case c == 0xc5:
		n = d.number(2, 1<<8)
	case c == 0xc6:
		n = d.number(4, 1<<16)
	default:
		d.Fail("type %#02x, want binary", c)
	}
	if n > uint64(most) {
		d.Fail("%d bytes, at most %d", n, most)
	}
	return d.take(n)
}

// BinLen reads exactly n bytes.
func (d *Decoder) BinLen(n int) []byte {
	v := d.Bin(n)
	if d.err == nil && len(v) != n {
		d.Fail("%d bytes, want %d", len(v), n)
	}
	return v
}

// Array reads an array's length. Every item takes a byte at least, so the
// length is never more than what is left.
func (d *Decoder) Array() int {
	var n uint64
	switch c := d.code(); {
	case d.err != nil:
		return 0
	case c&0xf0 == 0x90:
		n = uint64(c & 0x0f)
	case c == 0xdc:
		n = d.number(2, 16)
	case c == 0xdd:
		n = d.number(4, 1<<16)
	default:
		d.Fail("type %#02x, want an array", c)
	}
	if n > uint64(d.Remaining()) {
		d.Fail("array of %d items in %d bytes", n, d.Remaining())
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

// ArrayLen reads the length of an array that must have n items.
func (d *Decoder) ArrayLen(n int) {
	if got := d.Array(); d.err == nil && got != n {
		d.Fail("array of %d items, want %d", got, n)
	}
}

// Rest reads all that is left, whatever it is.
func (d *Decoder) Rest() []byte { return d.take(uint64(d.Remaining())) }
