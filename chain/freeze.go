package chain

import (
	"fmt"

	"github.com/tidings-mesh/tidings/chain/wire"
)

// FreezeReason tells why a chain was stopped.
type FreezeReason uint8

const (
	// FreezeFork: its key signed two updates of one seq.
	FreezeFork FreezeReason = 1
	// FreezeInvalid: its key signed an update that breaks a rule.
	FreezeInvalid FreezeReason = 2
)

func (r FreezeReason) String() string {
	switch r {
	case FreezeFork:
		return "fork"
	case FreezeInvalid:
		return "invalid update"
	}
	return fmt.Sprintf("reason-%d", uint8(r))
}

// Freeze stops a chain: nothing after a seq is accepted any more, and a
// dependency on what comes after counts as met.
type Freeze struct {
	Origin Origin
	After  Seq
	Reason FreezeReason
	Detail string // what was found, for people
	// Proof is an encoded run that is at odds with the chain as it is kept, or
	// with the rules. It is empty where an update's time is not above that of
	// one that it depends on: both are in the log.
	Proof []byte
}

func (f *Freeze) String() string {
	return fmt.Sprintf("%s after seq %d: %s", f.Reason, f.After, f.Detail)
}

const maxFreezeDetail = 1 << 10

func appendFreeze(dst []byte, f *Freeze) []byte {
	dst = wire.AppendArray(dst, 5)
	dst = wire.AppendUint(dst, 1) // version
	dst = wire.AppendUint(dst, uint64(f.After))
	dst = wire.AppendUint(dst, uint64(f.Reason))
	dst = wire.AppendBin(dst, []byte(f.Detail[:min(len(f.Detail), maxFreezeDetail)]))
	return wire.AppendBin(dst, f.Proof)
}

func decodeFreeze(o Origin, b []byte) (*Freeze, error) {
	d := newDecoder(b)
	d.ArrayLen(5)
	if v := d.Uint(); d.Err() == nil && v != 1 {
		d.Fail("freeze version %d", v)
	}
	f := &Freeze{Origin: o, After: Seq(d.Uint()), Reason: FreezeReason(d.Uint())}
	f.Detail = string(d.Bin(maxFreezeDetail))
	f.Proof = append([]byte(nil), d.Bin(MaxRun)...)
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("freeze of %s: %w: %w", o, ErrCorrupt, err)
	}
	return f, nil
}
