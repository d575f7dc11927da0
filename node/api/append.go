package api

import (
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// appendTime appends an HLC's wall clock in quotes.
func appendTime(dst []byte, h chain.HLC) []byte {
	return append(h.AppendTime(append(dst, '"')), '"')
}

// appendHLC appends an HLC's 16 hex digits in quotes.
func appendHLC(dst []byte, h chain.HLC) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hex[h>>shift&0xf])
	}
	return append(dst, '"')
}

func appendID(dst []byte, id chain.ID) []byte {
	dst = append(dst, '"')
	dst = append(dst, id.String()...)
	return append(dst, '"')
}

func appendIDs(dst []byte, ids []chain.ID) []byte {
	dst = append(dst, '[')
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendID(dst, id)
	}
	return append(dst, ']')
}

// wholeMillis bounds a duration for a header: never negative.
func wholeMillis(d time.Duration) int64 { return max(d.Milliseconds(), 0) }

// maxPooled bounds the buffers that are kept for reuse, in bytes.
const maxPooled = 1 << 20

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

// putBuffer takes back a buffer that nothing points into any more.
func putBuffer(b *[]byte) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}
