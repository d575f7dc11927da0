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
	heads := make([]Head, len(chains))
	for i, c := range chains {
		heads[i] = c.Received
	}
	slices.SortFunc(heads, func(x, y Head) int { return x.Origin.Compare(y.Origin) })
	return appendNote(nil, heads)
}

// CheckNote returns the heads of a note that are not here: what the store has
// lost. An empty note misses nothing.
func (a *Archive) CheckNote(note []byte) ([]Head, error) {
	heads, err := decodeNote(note)
	if err != nil {
		return nil, err
	}
	var lost []Head
	for _, h := range heads {
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
	return lost, nil
}

// decodeNote reads the heads of a note.
func decodeNote(note []byte) ([]Head, error) {
	if len(note) == 0 {
		return nil, nil
	}
	d := newDecoder(note)
	n := d.Array()
	if n%3 != 0 {
		d.Fail("note of %d items", n)
	}
	var heads []Head
	for i := 0; i < n && d.Err() == nil; i += 3 {
		var h Head
		copy(h.Origin[:], d.BinLen(len(h.Origin)))
		h.Seq = Seq(d.Uint())
		copy(h.Hash[:], d.BinLen(len(h.Hash)))
		heads = append(heads, h)
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("note of heads: %w: %w", ErrCorrupt, err)
	}
	return heads, nil
}

// appendNote writes a note of heads.
func appendNote(dst []byte, heads []Head) []byte {
	dst = wire.AppendArray(dst, 3*len(heads))
	for _, h := range heads {
		dst = wire.AppendBin(dst, h.Origin[:])
		dst = wire.AppendUint(dst, uint64(h.Seq))
		dst = wire.AppendBin(dst, h.Hash[:])
	}
	return dst
}
