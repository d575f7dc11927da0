package core

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

// Spans hold what was added, in as few pieces as that takes, and read back.
func TestSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, want := &Spans{}, map[chain.Seq]bool{}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			seq := chain.Seq(rapid.Uint64Range(1, 40).Draw(t, "seq"))
			s.Add(seq)
			want[seq] = true
		}
		pieces := 0
		for seq := chain.Seq(1); seq <= 41; seq++ {
			require.Equal(t, want[seq], s.Has(seq), seq)
			if want[seq] && !want[seq-1] {
				pieces++
			}
		}
		require.Len(t, s.spans, pieces)
		b := s.Append(nil)
		back, err := DecodeSpans(b)
		require.NoError(t, err)
		require.Equal(t, b, back.Append(nil))
		if len(b) > 1 {
			_, err = DecodeSpans(b[:len(b)-1])
			require.ErrorIs(t, err, chain.ErrCorrupt)
		}
	})
}

func FuzzDecodeSpans(f *testing.F) {
	s := &Spans{}
	for _, seq := range []chain.Seq{1, 2, 9, 1 << 40} {
		s.Add(seq)
	}
	f.Add(s.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeSpans(b)
		if err != nil {
			require.ErrorIs(t, err, chain.ErrCorrupt)
			return
		}
		if len(b) > 0 {
			require.Equal(t, b, s.Append(nil))
		}
	})
}
