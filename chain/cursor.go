package chain

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidings-mesh/tidings/chain/wire"
)

// Cursor is a consumer's place in the feed: what it has seen of each chain.
// It names updates, not a node's own order of them, so it is good on every
// node of the mesh. Its text is a version, then URL-safe characters; only the
// text that String gives is accepted, and a checksum finds damage.
type Cursor struct {
	// Frontier is what was delivered, or passed over by the filter.
	Frontier Frontier
	// Filter is a digest of the filter that the cursor was made with.
	Filter FilterHash
	// Told are the freezes that the consumer was told of: by origin, the seq
	// after which it ends, which may be 0.
	Told Frontier
}

// Clone returns a copy that shares nothing that changes. Its frontier may be
// written to.
func (c Cursor) Clone() Cursor {
	c.Frontier, c.Told = c.Frontier.Clone(), c.Told.Clone()
	if c.Frontier == nil {
		c.Frontier = Frontier{}
	}
	return c
}

// FilterHash tells filters of a feed apart. The zero value is no filter.
type FilterHash [8]byte

// Filter selects what a feed delivers. The zero value admits everything.
type Filter struct {
	Prefix      Prefix
	Authorities []string // exact names; none for all
}

// Hash is the same for filters that select the same by the same words.
func (f Filter) Hash() FilterHash {
	if f.Prefix == "" && len(f.Authorities) == 0 {
		return FilterHash{}
	}
	sum := sha256.Sum256(append([]byte("tidings filter 1\x00"), f.String()...))
	return FilterHash(sum[:8])
}

// String is the same for filters that select the same by the same words.
func (f Filter) String() string {
	names := slices.Compact(slices.Sorted(slices.Values(f.Authorities)))
	return strings.Join(append([]string{string(f.Prefix)}, names...), "\x00")
}

// Admits reports whether an update of a subject by an authority passes.
func (f Filter) Admits(subject, authority string) bool {
	return f.Prefix.Contains(subject) && (len(f.Authorities) == 0 || slices.Contains(f.Authorities, authority))
}

// ErrCursor is wrapped by every refusal of a cursor.
var ErrCursor = errors.New("bad cursor")

const (
	cursorVersion = "c1."
	cursorSum     = 6       // bytes of checksum
	maxCursor     = 4 << 20 // bytes of text: a mesh of 100,000 chains
)

// String is the cursor's text.
func (c Cursor) String() string {
	b := wire.AppendArray(nil, 3)
	b = wire.AppendBin(b, c.Filter[:])
	b = appendFrontier(b, c.Frontier, 0)
	b = appendFrontier(b, c.Told, 1)
	sum := cursorChecksum(b)
	return cursorVersion + base64.RawURLEncoding.EncodeToString(append(b, sum[:]...))
}

func cursorChecksum(b []byte) [cursorSum]byte {
	sum := sha256.Sum256(append([]byte("tidings cursor 1\x00"), b...))
	return [cursorSum]byte(sum[:])
}

// appendFrontier writes origins and seqs, each with more added, in ascending
// order of the origins. What is 0 then is not written.
func appendFrontier(dst []byte, f Frontier, more Seq) []byte {
	origins := f.Origins()
	origins = slices.DeleteFunc(origins, func(o Origin) bool { return f[o]+more == 0 })
	dst = wire.AppendArray(dst, 2*len(origins))
	for _, o := range origins {
		dst = wire.AppendBin(dst, o[:])
		dst = wire.AppendUint(dst, uint64(f[o]+more))
	}
	return dst
}

func (d *decoder) frontier(more Seq) Frontier {
	n := d.Array()
	// An origin and a seq take 19 bytes at least.
	if n%2 != 0 || n/2 > d.Remaining()/19 {
		d.Fail("frontier of %d items", n)
		return nil
	}
	f := make(Frontier, n/2)
	var last Origin
	for range n / 2 {
		var o Origin
		copy(o[:], d.BinLen(len(o)))
		seq := d.Uint()
		if d.Err() == nil && (seq == 0 || seq > maxSeq+uint64(more) || (len(f) > 0 && o.Compare(last) <= 0)) {
			d.Fail("frontier: origin %s at seq %d out of order or range", o, seq)
		}
		if d.Err() != nil {
			return nil
		}
		f[o], last = Seq(seq)-more, o
	}
	return f
}

// ParseCursor reads the text of a cursor.
func ParseCursor(s string) (Cursor, error) {
	text, ok := strings.CutPrefix(s, cursorVersion)
	if !ok {
		return Cursor{}, fmt.Errorf("%w: want a text that begins with %q", ErrCursor, cursorVersion)
	}
	if len(s) > maxCursor {
		return Cursor{}, fmt.Errorf("%w: %d bytes, at most %d", ErrCursor, len(s), maxCursor)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < cursorSum || strings.ContainsAny(text, "\r\n") {
		return Cursor{}, fmt.Errorf("%w: not base64url", ErrCursor)
	}
	b, sum := b[:len(b)-cursorSum], b[len(b)-cursorSum:]
	if cursorChecksum(b) != [cursorSum]byte(sum) {
		return Cursor{}, fmt.Errorf("%w: checksum does not match; it was cut or altered", ErrCursor)
	}
	d := newDecoder(b)
	d.ArrayLen(3)
	var c Cursor
	copy(c.Filter[:], d.BinLen(len(c.Filter)))
	c.Frontier = d.frontier(0)
	c.Told = d.frontier(1)
	if err := d.End(); err != nil {
		return Cursor{}, fmt.Errorf("%w: %w", ErrCursor, err)
	}
	return c, nil
}
