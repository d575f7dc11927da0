package gossip

import (
	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/wire"
)

// Run is a run as gossip carries it: opaque bytes, and where they belong. A
// decoded frame has only Encoded; the reader of a stream fills in the rest once
// it has verified the run.
type Run struct {
	Origin  chain.Origin
	First   chain.Seq
	Last    chain.Seq
	Hash    chain.Hash // at Last
	Encoded []byte

	// Verified is the decoded run where it came from a stream, for the ledger.
	// The engine only carries it along.
	Verified *chain.Run
}

// Updates is the number of updates in the run.
func (r *Run) Updates() int { return int(r.Last - r.First + 1) }

// Cover is the interval of members, by origin, that the receiver of a pushed
// frame passes it on to. The zero value is none: the sender reaches all itself.
type Cover struct{ From, To chain.Origin }

// Push carries runs that their receiver has not asked for, in commit order.
type Push struct {
	AckWanted bool // acknowledge the sender's own chain up to its last run here
	Cover     Cover
	Runs      []Run
}

// Kind implements Frame.
func (*Push) Kind() FrameKind { return KindPush }
func (*Push) items() int      { return 3 }

func (f *Push) append(dst []byte) []byte {
	dst = wire.AppendUint(dst, flag(0, f.AckWanted))
	if f.Cover == (Cover{}) {
		dst = wire.AppendArray(dst, 0)
	} else {
		dst = wire.AppendArray(dst, 2)
		dst = wire.AppendBin(dst, f.Cover.From[:])
		dst = wire.AppendBin(dst, f.Cover.To[:])
	}
	return appendRuns(dst, f.Runs)
}

func (f *Push) decode(d *wire.Decoder) {
	f.AckWanted = decodeFlags(d, 1) != 0
	switch n := d.Array(); n {
	case 0:
	case 2:
		copy(f.Cover.From[:], d.BinLen(len(f.Cover.From)))
		copy(f.Cover.To[:], d.BinLen(len(f.Cover.To)))
		if d.Err() == nil && (f.Cover == Cover{} || f.Cover.From.Compare(f.Cover.To) > 0) {
			d.Fail("cover from %s to %s", f.Cover.From, f.Cover.To)
		}
	default:
		d.Fail("cover of %d items", n)
	}
	f.Runs = decodeRuns(d)
}

// Range asks for the updates of one chain from From to To, both included.
type Range struct {
	Origin chain.Origin
	From   chain.Seq
	To     chain.Seq
}

// maxRanges bounds the ranges of one Pull.
const maxRanges = 1024

// Pull asks for ranges, to be served in their order until Bytes are.
type Pull struct {
	ID     uint64 // the asker's, in every Served that answers it
	Bytes  uint64
	Ranges []Range
}

// Kind implements Frame.
func (*Pull) Kind() FrameKind { return KindPull }
func (*Pull) items() int      { return 3 }

func (f *Pull) append(dst []byte) []byte {
	dst = wire.AppendUint(dst, f.ID)
	dst = wire.AppendUint(dst, f.Bytes)
	dst = wire.AppendArray(dst, 3*len(f.Ranges))
	for i := range f.Ranges {
		r := &f.Ranges[i]
		dst = wire.AppendBin(dst, r.Origin[:])
		dst = wire.AppendUint(dst, uint64(r.From))
		dst = wire.AppendUint(dst, uint64(r.To))
	}
	return dst
}

func (f *Pull) decode(d *wire.Decoder) {
	f.ID = d.Uint()
	f.Bytes = d.Uint()
	n := d.Array()
	if n == 0 || n%3 != 0 || n > 3*maxRanges {
		d.Fail("%d items for ranges", n)
	}
	if d.Err() != nil {
		return
	}
	f.Ranges = make([]Range, n/3)
	for i := range f.Ranges {
		r := &f.Ranges[i]
		copy(r.Origin[:], d.BinLen(len(r.Origin)))
		r.From = decodeSeq(d)
		r.To = decodeSeq(d)
		if d.Err() == nil && (r.From == 0 || r.To < r.From) {
			d.Fail("range %d to %d", r.From, r.To)
		}
	}
}

// Served carries runs that were asked for: one or several answer a Pull. A run
// may begin before its range and end after it.
type Served struct {
	ID   uint64
	Done bool // the last frame that answers the Pull
	Runs []Run
}

// Kind implements Frame.
func (*Served) Kind() FrameKind { return KindServed }
func (*Served) items() int      { return 3 }

func (f *Served) append(dst []byte) []byte {
	dst = wire.AppendUint(dst, f.ID)
	dst = wire.AppendUint(dst, flag(0, f.Done))
	return appendRuns(dst, f.Runs)
}

func (f *Served) decode(d *wire.Decoder) {
	f.ID = d.Uint()
	f.Done = decodeFlags(d, 1) != 0
	f.Runs = decodeRuns(d)
}

func appendRuns(dst []byte, runs []Run) []byte {
	dst = wire.AppendArray(dst, len(runs))
	for i := range runs {
		dst = wire.AppendBin(dst, runs[i].Encoded)
	}
	return dst
}

// minRun is fewer bytes than any run takes: origin, previous hash, signature.
const minRun = 16 + 32 + 64

func decodeRuns(d *wire.Decoder) []Run {
	n := d.Array()
	if n > d.Remaining()/minRun {
		d.Fail("%d runs in %d bytes", n, d.Remaining())
	}
	if d.Err() != nil || n == 0 {
		return nil
	}
	runs := make([]Run, n)
	for i := range runs {
		runs[i].Encoded = d.Bin(chain.MaxRun)
		if len(runs[i].Encoded) < minRun {
			d.Fail("run of %d bytes", len(runs[i].Encoded))
		}
	}
	return runs
}

// PeekRun reads where an encoded run of the own log belongs, without its
// entries and without its hash. It is for runs that were verified when they
// came in.
func PeekRun(b []byte) (Run, error) {
	d := wire.NewDecoder(b)
	d.ArrayLen(5)
	r := Run{Encoded: b}
	copy(r.Origin[:], d.BinLen(len(r.Origin)))
	r.First = decodeSeq(d)
	d.BinLen(len(chain.Hash{}))
	d.BinLen(64)
	n := d.Array()
	if d.Err() == nil && (n == 0 || n%2 != 0) {
		d.Fail("%d items for entries", n)
	}
	r.Last = r.First + chain.Seq(n/2) - 1
	return r, d.Err()
}
