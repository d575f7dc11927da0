package gossip

import (
	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/wire"
)

// Freeze carries the evidence that ends a chain.
type Freeze struct {
	Encoded []byte

	// Verified is the decoded freeze where it came from a stream. The reader of
	// the stream fills it in once it has verified it.
	Verified *chain.Freeze
}

// Kind implements Frame.
func (*Freeze) Kind() FrameKind { return KindFreeze }
func (*Freeze) items() int      { return 1 }

func (f *Freeze) append(dst []byte) []byte { return wire.AppendBin(dst, f.Encoded) }
func (f *Freeze) decode(d *wire.Decoder)   { f.Encoded = d.Bin(chain.MaxFreeze) }

// Frozen tells all freezes that the sender knows of the origins above After and
// up to UpTo; zeros are the ends of the range.
type Frozen struct {
	Answer bool // it answers a Frozen, and is not answered
	After  chain.Origin
	UpTo   chain.Origin
	Ends   []chain.ID // per origin, the seq after which it ends; ascending by origin
}

// Kind implements Frame.
func (*Frozen) Kind() FrameKind { return KindFrozen }
func (*Frozen) items() int      { return 4 }

func (f *Frozen) append(dst []byte) []byte {
	dst = wire.AppendUint(dst, flag(0, f.Answer))
	dst = appendBound(dst, f.After)
	dst = appendBound(dst, f.UpTo)
	// A vector holds no seq 0, and a chain may end there.
	return appendVector(dst, shifted(f.Ends, 1))
}

func (f *Frozen) decode(d *wire.Decoder) {
	f.Answer = decodeFlags(d, 1) != 0
	f.After, f.UpTo = decodeBound(d), decodeBound(d)
	f.Ends = shifted(decodeVector(d), ^chain.Seq(0))
	checkRange(d, f.After, f.UpTo, f.Ends)
}

func shifted(ids []chain.ID, by chain.Seq) []chain.ID {
	if len(ids) == 0 {
		return nil
	}
	out := make([]chain.ID, len(ids))
	for i, id := range ids {
		out[i] = chain.ID{Origin: id.Origin, Seq: id.Seq + by}
	}
	return out
}

// Hashes tells the heads of the origins above After and up to UpTo with their
// hashes, where sync roots differ though nobody wants anything.
type Hashes struct {
	After chain.Origin
	UpTo  chain.Origin
	Heads []chain.Head // ascending by origin
}

// Kind implements Frame.
func (*Hashes) Kind() FrameKind { return KindHashes }
func (*Hashes) items() int      { return 4 }

func (f *Hashes) append(dst []byte) []byte {
	dst = appendBound(dst, f.After)
	dst = appendBound(dst, f.UpTo)
	ids := make([]chain.ID, len(f.Heads))
	hashes := make([]byte, 0, len(f.Heads)*len(chain.Hash{}))
	for i, h := range f.Heads {
		ids[i] = chain.ID{Origin: h.Origin, Seq: h.Seq}
		hashes = append(hashes, h.Hash[:]...)
	}
	return wire.AppendBin(appendVector(dst, ids), hashes)
}

func (f *Hashes) decode(d *wire.Decoder) {
	f.After, f.UpTo = decodeBound(d), decodeBound(d)
	ids := decodeVector(d)
	checkRange(d, f.After, f.UpTo, ids)
	hashes := d.BinLen(len(ids) * len(chain.Hash{}))
	if d.Err() != nil || len(ids) == 0 {
		return
	}
	f.Heads = make([]chain.Head, len(ids))
	for i, id := range ids {
		f.Heads[i] = chain.Head{Origin: id.Origin, Seq: id.Seq}
		hashes = hashes[copy(f.Heads[i].Hash[:], hashes):]
	}
}

// maxHashSize is the most bytes that one head takes with its hash.
const maxHashSize = maxHeadSize + 32
