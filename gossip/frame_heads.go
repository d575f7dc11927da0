package gossip

import (
	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/wire"
)

// Heads tells what the sender has received: per origin, the last seq. It is
// the beacon, and the answer to a Digest.
type Heads struct {
	End   bool       // the last frame that answers a Digest
	Heads []chain.ID // ascending by origin, one for each
}

// Kind implements Frame.
func (*Heads) Kind() FrameKind { return KindHeads }
func (*Heads) items() int      { return 2 }

func (f *Heads) append(dst []byte) []byte {
	dst = wire.AppendUint(dst, flag(0, f.End))
	return appendVector(dst, f.Heads)
}

func (f *Heads) decode(d *wire.Decoder) {
	f.End = decodeFlags(d, 1) != 0
	f.Heads = decodeVector(d)
}

// Digest compares heads: the receiver answers with what it has beyond them,
// and learns what the sender has.
type Digest struct {
	// Full says that Heads are all that the sender has of the origins above
	// After and up to UpTo; zeros are the ends of the range. Otherwise they are
	// those that changed since the roots were last equal.
	Full  bool
	After chain.Origin
	UpTo  chain.Origin
	Heads []chain.ID
}

// Kind implements Frame.
func (*Digest) Kind() FrameKind { return KindDigest }
func (*Digest) items() int      { return 4 }

func (f *Digest) append(dst []byte) []byte {
	dst = wire.AppendUint(dst, flag(0, f.Full))
	dst = appendBound(dst, f.After)
	dst = appendBound(dst, f.UpTo)
	return appendVector(dst, f.Heads)
}

func (f *Digest) decode(d *wire.Decoder) {
	f.Full = decodeFlags(d, 1) != 0
	f.After = decodeBound(d)
	f.UpTo = decodeBound(d)
	f.Heads = decodeVector(d)
	if d.Err() != nil {
		return
	}
	if !f.Full && (!f.After.IsZero() || !f.UpTo.IsZero()) {
		d.Fail("bounds without a full vector")
	}
	checkRange(d, f.After, f.UpTo, f.Heads)
}

// checkRange checks that a vector lies within its bounds, of which zeros are
// none.
func checkRange(d *wire.Decoder, after, upTo chain.Origin, heads []chain.ID) {
	switch n := len(heads); {
	case d.Err() != nil:
	case !upTo.IsZero() && after.Compare(upTo) >= 0:
		d.Fail("empty range")
	case n > 0 && !after.IsZero() && heads[0].Origin.Compare(after) <= 0,
		n > 0 && !upTo.IsZero() && heads[n-1].Origin.Compare(upTo) > 0:
		d.Fail("heads outside the range")
	}
}

func appendBound(dst []byte, o chain.Origin) []byte {
	if o.IsZero() {
		return wire.AppendBin(dst, nil)
	}
	return wire.AppendBin(dst, o[:])
}

func decodeBound(d *wire.Decoder) (o chain.Origin) {
	b := d.Bin(len(o))
	switch {
	case len(b) == len(o):
		if copy(o[:], b); o.IsZero() {
			d.Fail("zero origin")
		}
	case len(b) != 0:
		d.Fail("origin of %d bytes", len(b))
	}
	return o
}

// A vector is an array of origin and seq in turn. Origins ascend, and each is
// written without the bytes that it shares with the one before: what is
// written of it is its last bytes, so their number tells how many those are.
func appendVector(dst []byte, heads []chain.ID) []byte {
	dst = wire.AppendArray(dst, 2*len(heads))
	var before chain.Origin
	for i := range heads {
		shared := 0
		if i > 0 {
			shared = sharedPrefix(before, heads[i].Origin)
		}
		before = heads[i].Origin
		dst = wire.AppendBin(dst, before[shared:])
		dst = wire.AppendUint(dst, uint64(heads[i].Seq))
	}
	return dst
}

func decodeVector(d *wire.Decoder) []chain.ID {
	n := d.Array()
	// An origin's length, one byte of it and a seq are the least there can be.
	if n%2 != 0 || n/2 > d.Remaining()/4 {
		d.Fail("%d items for heads in %d bytes", n, d.Remaining())
	}
	if d.Err() != nil || n == 0 {
		return nil
	}
	heads := make([]chain.ID, n/2)
	var before chain.Origin
	for i := range heads {
		suffix := d.Bin(len(before))
		shared := len(before) - len(suffix)
		if d.Err() == nil && (len(suffix) == 0 || (i == 0 && shared != 0) || (i > 0 && suffix[0] <= before[shared])) {
			d.Fail("origins out of order")
		}
		if d.Err() != nil {
			return nil
		}
		copy(before[shared:], suffix)
		heads[i] = chain.ID{Origin: before, Seq: decodeSeq(d)}
		if heads[i].Seq == 0 {
			d.Fail("seq 0")
		}
	}
	return heads
}

func sharedPrefix(a, b chain.Origin) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

// maxHeadSize is the most bytes that one head takes in a vector.
const maxHeadSize = 2 + 16 + 9
