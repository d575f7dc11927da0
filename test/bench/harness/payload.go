package harness

import (
	"encoding/hex"
	"math/rand/v2"
)

// A payload is a JSON object with one field: {"p":"<16 hex digits><noise>"}.
// Every peer carries the same bytes. The digits are the update's number; the
// noise is fresh for each update, six random bits a byte, so that no peer that
// compresses gains by finding an earlier payload again.
const (
	payloadHead = `{"p":"`
	payloadTail = `"}`
	digitsFrom  = len(payloadHead)
	digitsTo    = digitsFrom + 16
	minPayload  = digitsTo + len(payloadTail)
)

const noiseAlphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// NewPayload makes the payload of update id, of size bytes.
func NewPayload(size int, id int64) []byte {
	size = max(size, minPayload)
	b := make([]byte, size)
	copy(b, payloadHead)
	var number [8]byte
	for i := range number {
		number[i] = byte(id >> (56 - 8*i))
	}
	hex.Encode(b[digitsFrom:digitsTo], number[:])
	noise := b[digitsTo : size-len(payloadTail)]
	for i := 0; i < len(noise); {
		for bits, left := rand.Uint64(), 10; left > 0 && i < len(noise); left-- {
			noise[i] = noiseAlphabet[bits&63]
			bits >>= 6
			i++
		}
	}
	copy(b[size-len(payloadTail):], payloadTail)
	return b
}

// PayloadID is the part of a payload that tells updates apart, for peers that
// need an identifier of their own.
func PayloadID(payload []byte) []byte {
	if len(payload) < minPayload {
		return nil
	}
	return payload[digitsFrom:digitsTo]
}

// payloadNumber reads the number back, -1 if these are no digits of ours.
func payloadNumber(payload []byte) int64 {
	var number [8]byte
	if n, err := hex.Decode(number[:], PayloadID(payload)); err != nil || n != len(number) {
		return -1
	}
	id := int64(0)
	for _, b := range number {
		id = id<<8 | int64(b)
	}
	return id
}
