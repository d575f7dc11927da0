package core

import (
	"fmt"
	"slices"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/wire"
)

// Spans are seqs of one chain: which of its updates were published again. A
// freeze may turn out to be lower than it was, so they need not be in one piece.
// The zero value is none.
type Spans struct{ spans []span }

// span holds its ends.
type span struct{ first, last chain.Seq }

// Has reports whether a seq is among them.
func (s *Spans) Has(seq chain.Seq) bool {
	return slices.ContainsFunc(s.spans, func(p span) bool { return p.first <= seq && seq <= p.last })
}

// Add puts a seq among them.
func (s *Spans) Add(seq chain.Seq) {
	if s.Has(seq) {
		return
	}
	i, _ := slices.BinarySearchFunc(s.spans, seq, func(p span, seq chain.Seq) int {
		if p.last < seq {
			return -1
		}
		return 1
	})
	s.spans = slices.Insert(s.spans, i, span{seq, seq})
	if i+1 < len(s.spans) && s.spans[i+1].first == seq+1 {
		s.spans[i].last = s.spans[i+1].last
		s.spans = slices.Delete(s.spans, i+1, i+2)
	}
	if i > 0 && s.spans[i-1].last+1 == seq {
		s.spans[i-1].last = s.spans[i].last
		s.spans = slices.Delete(s.spans, i, i+1)
	}
}

// Append writes them as an array of first and last in turn.
func (s *Spans) Append(dst []byte) []byte {
	dst = wire.AppendArray(dst, 2*len(s.spans))
	for _, p := range s.spans {
		dst = wire.AppendUint(wire.AppendUint(dst, uint64(p.first)), uint64(p.last))
	}
	return dst
}

// DecodeSpans reads what Append wrote. No bytes are none.
func DecodeSpans(b []byte) (*Spans, error) {
	s := &Spans{}
	if len(b) == 0 {
		return s, nil
	}
	d := wire.NewDecoder(b)
	n := d.Array()
	if n%2 != 0 || n > d.Remaining() {
		d.Fail("%d items for spans", n)
	}
	before := uint64(0)
	for range n / 2 {
		first, last := d.Uint(), d.Uint()
		// Spans that border on each other are one.
		if d.Err() == nil && (first < before+2 && before > 0 || first == 0 || last < first || last > 1<<63-1) {
			d.Fail("span from %d to %d", first, last)
		}
		if d.Err() != nil {
			break
		}
		s.spans = append(s.spans, span{chain.Seq(first), chain.Seq(last)})
		before = last
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("record of what was published again: %w: %w", chain.ErrCorrupt, err)
	}
	return s, nil
}
