package gossip

import (
	"errors"
	"fmt"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/wire"
)

// Version is the protocol's version, which a Hello carries. PROTOCOL.md says
// what may change within it.
const Version = 1

// MaxFrame bounds a frame in bytes: the evidence of a fork is two runs. Streams
// compress frames, and hold both sides of that to this bound.
const MaxFrame = 2*chain.MaxRun + 1<<10

// FrameKind is the first item of a frame.
type FrameKind uint64

// The frames of this version. PROTOCOL.md has their bytes.
const (
	KindHello         FrameKind = 1
	KindPush          FrameKind = 2
	KindHeads         FrameKind = 3
	KindPull          FrameKind = 4
	KindServed        FrameKind = 5
	KindPing          FrameKind = 6
	KindDigest        FrameKind = 7
	KindAck           FrameKind = 8
	KindAckWanted     FrameKind = 9
	KindAppliedWanted FrameKind = 10
	KindApplied       FrameKind = 11
	KindFreeze        FrameKind = 12
	KindFrozen        FrameKind = 13
	KindHashes        FrameKind = 14
)

var frameNames = [...]string{
	KindHello: "hello", KindPush: "push", KindHeads: "heads", KindPull: "pull", KindServed: "served",
	KindPing: "ping", KindDigest: "digest", KindAck: "ack", KindAckWanted: "ack_wanted", KindAppliedWanted: "applied_wanted", KindApplied: "applied",
	KindFreeze: "freeze", KindFrozen: "frozen", KindHashes: "hashes",
}

func (k FrameKind) String() string {
	if k > 0 && uint64(k) < uint64(len(frameNames)) {
		return frameNames[k]
	}
	return "unknown"
}

// Frame is one message between two nodes. A frame is not written to once it is
// made: one value goes to many peers.
type Frame interface {
	Kind() FrameKind
	// items is the number of the frame's items after its kind.
	items() int
	// append appends those items.
	append(dst []byte) []byte
	// decode reads them. What it keeps points into the decoder's bytes.
	decode(d *wire.Decoder)
}

// ErrFrame is wrapped by every refusal of a frame's bytes.
var ErrFrame = errors.New("malformed frame")

// AppendFrame appends the frame's one encoding.
func AppendFrame(dst []byte, f Frame) []byte {
	dst = wire.AppendArray(dst, 1+f.items())
	dst = wire.AppendUint(dst, uint64(f.Kind()))
	return f.append(dst)
}

// DecodeFrame reads the one frame that fills b. The frame keeps pointing into
// b. A frame of a kind that this version does not have is an Unknown and no
// error, whatever follows its kind.
func DecodeFrame(b []byte) (Frame, error) {
	if len(b) > MaxFrame {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(b), MaxFrame, ErrFrame)
	}
	d := wire.NewDecoder(b)
	n := d.Array()
	if d.Err() == nil && n == 0 {
		d.Fail("no kind")
	}
	kind := FrameKind(d.Uint())
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("frame: %w: %w", ErrFrame, err)
	}
	f := newFrame(kind)
	if f == nil {
		return &Unknown{Type: kind, Size: len(b)}, nil
	}
	if n != 1+f.items() {
		d.Fail("%d items, want %d", n, 1+f.items())
	}
	f.decode(d)
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("%s frame: %w: %w", kind, ErrFrame, err)
	}
	return f, nil
}

func newFrame(k FrameKind) Frame {
	switch k {
	case KindHello:
		return &Hello{}
	case KindPush:
		return &Push{}
	case KindHeads:
		return &Heads{}
	case KindPull:
		return &Pull{}
	case KindServed:
		return &Served{}
	case KindPing:
		return &Ping{}
	case KindDigest:
		return &Digest{}
	case KindAck:
		return &Ack{}
	case KindAckWanted:
		return &AckWanted{}
	case KindAppliedWanted:
		return &AppliedWanted{}
	case KindApplied:
		return &Applied{}
	case KindFreeze:
		return &Freeze{}
	case KindFrozen:
		return &Frozen{}
	case KindHashes:
		return &Hashes{}
	}
	return nil
}

// Unknown stands for a frame of a kind that came with a later version. It is
// counted and otherwise ignored, and never sent.
type Unknown struct {
	Type FrameKind
	Size int
}

// Kind is the kind that nobody here knows.
func (f *Unknown) Kind() FrameKind        { return f.Type }
func (*Unknown) items() int               { return 0 }
func (*Unknown) append(dst []byte) []byte { return dst }
func (*Unknown) decode(*wire.Decoder)     {}

// maxSeq is the last seq of any chain.
const maxSeq = 1<<63 - 1

func decodeSeq(d *wire.Decoder) chain.Seq {
	v := d.Uint()
	if v > maxSeq {
		d.Fail("seq %d", v)
	}
	return chain.Seq(v)
}

// decodeFlags reads flags of which the lowest n are known.
func decodeFlags(d *wire.Decoder, n int) uint64 {
	v := d.Uint()
	if v>>n != 0 {
		d.Fail("flags %#x", v)
	}
	return v
}

func flag(bit int, on bool) uint64 {
	if on {
		return 1 << bit
	}
	return 0
}
