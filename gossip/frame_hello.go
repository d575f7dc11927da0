package gossip

import (
	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/wire"
)

// HeadHash is a seq of a chain that is clear from where it stands, and the
// hash there. Seq 0 has no hash.
type HeadHash struct {
	Seq  chain.Seq
	Hash chain.Hash
}

// Hello opens a stream, in both directions. It may come again, when what it
// says has changed: the first catch-up has ended.
type Hello struct {
	Version    uint64
	Epoch      uint64 // names the sender's storage; another one holds nothing of before
	Durable    bool   // it has a data directory
	CatchingUp bool   // it is in its first catch-up
	Sent       uint32 // sender's clock in microseconds, wrapping: what a Ping echoes
	Wall       uint64 // sender's wall clock in Unix milliseconds
	Root       chain.Hash
	Own        HeadHash // end of the sender's own chain
	Yours      HeadHash // end of what the sender holds of the receiver's chain
}

// Kind implements Frame.
func (*Hello) Kind() FrameKind { return KindHello }
func (*Hello) items() int      { return 10 }

func (f *Hello) append(dst []byte) []byte {
	dst = wire.AppendUint(dst, f.Version)
	dst = wire.AppendUint(dst, f.Epoch)
	dst = wire.AppendUint(dst, flag(0, f.Durable)|flag(1, f.CatchingUp))
	dst = wire.AppendUint(dst, uint64(f.Sent))
	dst = wire.AppendUint(dst, f.Wall)
	dst = wire.AppendBin(dst, f.Root[:])
	return f.Yours.append(f.Own.append(dst))
}

func (f *Hello) decode(d *wire.Decoder) {
	f.Version = d.Uint()
	f.Epoch = d.Uint()
	flags := decodeFlags(d, 2)
	f.Durable, f.CatchingUp = flags&1 != 0, flags&2 != 0
	f.Sent = decodeUint32(d)
	f.Wall = decodeWall(d)
	copy(f.Root[:], d.BinLen(len(f.Root)))
	f.Own = decodeHeadHash(d)
	f.Yours = decodeHeadHash(d)
}

// append writes two items.
func (h HeadHash) append(dst []byte) []byte {
	dst = wire.AppendUint(dst, uint64(h.Seq))
	if h.Seq == 0 {
		return wire.AppendBin(dst, nil)
	}
	return wire.AppendBin(dst, h.Hash[:])
}

func decodeHeadHash(d *wire.Decoder) (h HeadHash) {
	h.Seq = decodeSeq(d)
	if h.Seq == 0 {
		d.BinLen(0)
		return h
	}
	copy(h.Hash[:], d.BinLen(len(h.Hash)))
	return h
}

// Ping is what an idle stream carries each second: a sign of life, the root, a
// clock reading. It answers the last Hello or Ping of the other side, so that
// one frame each way gives both sides the round trip.
type Ping struct {
	Sent  uint32 // as in Hello
	Echo  uint32 // Sent of what was last received
	Delay uint16 // how long that was ago, in 100 µs; noDelay: too long
	Wall  uint64 // sender's wall clock in Unix milliseconds
	Root  chain.Hash
	Yours chain.Seq // end of what the sender holds of the receiver's chain
}

// noDelay says that an echo is too old to measure by.
const noDelay = 1<<16 - 1

// Kind implements Frame.
func (*Ping) Kind() FrameKind { return KindPing }
func (*Ping) items() int      { return 6 }

func (f *Ping) append(dst []byte) []byte {
	dst = wire.AppendUint(dst, uint64(f.Sent))
	dst = wire.AppendUint(dst, uint64(f.Echo))
	dst = wire.AppendUint(dst, uint64(f.Delay))
	dst = wire.AppendUint(dst, f.Wall)
	dst = wire.AppendBin(dst, f.Root[:])
	return wire.AppendUint(dst, uint64(f.Yours))
}

func (f *Ping) decode(d *wire.Decoder) {
	f.Sent = decodeUint32(d)
	f.Echo = decodeUint32(d)
	delay := d.Uint()
	if delay > noDelay {
		d.Fail("delay %d", delay)
	}
	f.Delay = uint16(delay)
	f.Wall = decodeWall(d)
	copy(f.Root[:], d.BinLen(len(f.Root)))
	f.Yours = decodeSeq(d)
}

func decodeUint32(d *wire.Decoder) uint32 {
	v := d.Uint()
	if v > 1<<32-1 {
		d.Fail("number %d", v)
	}
	return uint32(v)
}

// decodeWall bounds a wall clock to what an HLC can hold, so that differences
// between clocks cannot overflow.
func decodeWall(d *wire.Decoder) uint64 {
	v := d.Uint()
	if v > uint64(chain.MaxMillis) {
		d.Fail("wall clock %d", v)
	}
	return v
}

// Ack reports, to the origin of a chain, the end of what is applied and synced
// of it at the sender.
type Ack struct {
	Seq  chain.Seq
	Hash chain.Hash
}

// Kind implements Frame.
func (*Ack) Kind() FrameKind { return KindAck }
func (*Ack) items() int      { return 2 }

func (f *Ack) append(dst []byte) []byte {
	return HeadHash{f.Seq, f.Hash}.append(dst)
}

func (f *Ack) decode(d *wire.Decoder) {
	h := decodeHeadHash(d)
	if h.Seq == 0 {
		d.Fail("seq 0")
	}
	f.Seq, f.Hash = h.Seq, h.Hash
}

// AckWanted asks the receiver to acknowledge the sender's own chain up to a
// seq. It is sent where no Push could carry the wish.
type AckWanted struct{ Seq chain.Seq }

// Kind implements Frame.
func (*AckWanted) Kind() FrameKind { return KindAckWanted }
func (*AckWanted) items() int      { return 1 }

func (f *AckWanted) append(dst []byte) []byte { return wire.AppendUint(dst, uint64(f.Seq)) }

func (f *AckWanted) decode(d *wire.Decoder) {
	if f.Seq = decodeSeq(d); f.Seq == 0 {
		d.Fail("seq 0")
	}
}
