package core

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tidings-mesh/tidings/chain"
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

// Encode writes them as JSON: an array of [first, last].
func (s *Spans) Encode() ([]byte, error) {
	pairs := make([][2]chain.Seq, len(s.spans))
	for i, p := range s.spans {
		pairs[i] = [2]chain.Seq{p.first, p.last}
	}
	return json.Marshal(pairs)
}

// DecodeSpans reads what Encode wrote. No bytes are none.
func DecodeSpans(b []byte) (*Spans, error) {
	s := &Spans{}
	if len(b) == 0 {
		return s, nil
	}
	var pairs [][2]chain.Seq
	if err := json.Unmarshal(b, &pairs); err != nil {
		return nil, fmt.Errorf("record of what was published again: %w: %w", chain.ErrCorrupt, err)
	}
	before := chain.Seq(0)
	for i, p := range pairs {
		// Spans that border on each other are one.
		if p[0] == 0 || p[1] < p[0] || i > 0 && (p[0] <= before || p[0]-before < 2) {
			return nil, fmt.Errorf("record of what was published again: span from %d to %d after %d: %w", p[0], p[1], before, chain.ErrCorrupt)
		}
		s.spans = append(s.spans, span{p[0], p[1]})
		before = p[1]
	}
	return s, nil
}
