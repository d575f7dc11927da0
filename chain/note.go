package chain

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tidings-mesh/tidings/chain/wire"
)

// HeadsNote is the note to keep beside a store: the received heads, all of
// which must be durable. CheckNote tells what is missing of them.
func (a *Archive) HeadsNote() []byte {
	chains := a.Chains()
	slices.SortFunc(chains, func(x, y ChainInfo) int { return x.Received.Origin.Compare(y.Received.Origin) })
	b := wire.AppendArray(nil, 3*len(chains))
	for _, c := range chains {
		b = wire.AppendBin(b, c.Received.Origin[:])
		b = wire.AppendUint(b, uint64(c.Received.Seq))
		b = wire.AppendBin(b, c.Received.Hash[:])
	}
	return b
}

// CheckNote returns the heads of a note that are not here: what the store has
// lost. An empty note misses nothing.
func (a *Archive) CheckNote(note []byte) ([]Head, error) {
	if len(note) == 0 {
		return nil, nil
	}
	d := newDecoder(note)
	n := d.Array()
	if n%3 != 0 {
		d.Fail("note of %d items", n)
	}
	var lost []Head
	for i := 0; i < n && d.Err() == nil; i += 3 {
		var h Head
		copy(h.Origin[:], d.BinLen(len(h.Origin)))
		h.Seq = Seq(d.Uint())
		copy(h.Hash[:], d.BinLen(len(h.Hash)))
		if d.Err() != nil {
			break
		}
		if f := a.Frozen(h.Origin); f != nil && h.Seq > f.After {
			continue // noted before the freeze took it back
		}
		r, err := a.record(ID{h.Origin, h.Seq})
		switch {
		case errors.Is(err, ErrNotFound):
			lost = append(lost, h)
		case err != nil:
			return nil, err
		case r.hash != h.Hash:
			return nil, fmt.Errorf("chain %s at seq %d has hash %s, and was noted with %s: %w", h.Origin, h.Seq, r.hash, h.Hash, ErrCorrupt)
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("note of heads: %w: %w", ErrCorrupt, err)
	}
	return lost, nil
}
