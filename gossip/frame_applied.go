package gossip

import (
	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/wire"
)

// AppliedWanted asks how far chains are applied at the receiver. Each names the
// update that the sender holds back because of its time.
type AppliedWanted struct {
	Held []chain.ID // ascending by origin, one for each
}

// Kind implements Frame.
func (*AppliedWanted) Kind() FrameKind { return KindAppliedWanted }
func (*AppliedWanted) items() int      { return 1 }

func (f *AppliedWanted) append(dst []byte) []byte { return appendVector(dst, f.Held) }
func (f *AppliedWanted) decode(d *wire.Decoder)   { f.Held = decodeVector(d) }

// Applied answers an AppliedWanted: per chain that was asked about, the last
// seq that is applied. A chain of which nothing is applied is left out.
type Applied struct {
	Heads []chain.ID // ascending by origin, one for each
}

// Kind implements Frame.
func (*Applied) Kind() FrameKind { return KindApplied }
func (*Applied) items() int      { return 1 }

func (f *Applied) append(dst []byte) []byte { return appendVector(dst, f.Heads) }
func (f *Applied) decode(d *wire.Decoder)   { f.Heads = decodeVector(d) }
