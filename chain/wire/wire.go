// Package wire is the subset of msgpack that Tidings' formats use: unsigned
// integers, binary and arrays, each in its shortest form only, so that equal
// values have one encoding. The Append functions write it and Decoder reads
// it; both are safe for bytes from anybody. A differential fuzz test holds the
// bytes equal to those of vmihailenco/msgpack.
package wire

import (
	"encoding/binary"
	"errors"
)

// ErrEncoding is wrapped by every failure to decode.
var ErrEncoding = errors.New("malformed encoding")

// AppendUint appends an unsigned integer: 1, 2, 3, 5 or 9 bytes.
func AppendUint(dst []byte, v uint64) []byte {
	switch {
	case v < 1<<7:
		return append(dst, byte(v))
	case v < 1<<8:
		return append(dst, 0xcc, byte(v))
	case v < 1<<16:
		return append(dst, 0xcd, byte(v>>8), byte(v))
	case v < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xcf), v)
}

// AppendBin appends bytes behind their length: 2, 3 or 5 bytes and v.
func AppendBin(dst, v []byte) []byte {
	switch n := len(v); {
	case n < 1<<8:
		dst = append(dst, 0xc4, byte(n))
	case n < 1<<16:
		dst = append(dst, 0xc5, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, 0xc6), uint32(n))
	}
	return append(dst, v...)
}

// AppendArray appends the head of an array of n items, which follow.
func AppendArray(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, 0x90|byte(n))
	case n < 1<<16:
		return append(dst, 0xdc, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xdd), uint32(n))
}

// SizeUint is the number of bytes that AppendUint appends.
func SizeUint(v uint64) int {
	switch {
	case v < 1<<7:
		return 1
	case v < 1<<8:
		return 2
	case v < 1<<16:
		return 3
	case v < 1<<32:
		return 5
	}
	return 9
}

// SizeBin is the number of bytes that AppendBin appends for n bytes.
func SizeBin(n int) int {
	switch {
	case n < 1<<8:
		return n + 2
	case n < 1<<16:
		return n + 3
	}
	return n + 5
}
