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
		b, err := s.Encode()
		require.NoError(t, err)
		back, err := DecodeSpans(b)
		require.NoError(t, err)
		require.Equal(t, s, back)
		_, err = DecodeSpans(b[:len(b)-1])
		require.ErrorIs(t, err, chain.ErrCorrupt)
	})
}

func FuzzDecodeSpans(f *testing.F) {
	s := &Spans{}
	for _, seq := range []chain.Seq{1, 2, 9, 1 << 40} {
		s.Add(seq)
	}
	b, err := s.Encode()
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte(`[[1,2],[3,4]]`))
	f.Add([]byte(`[[3,2]]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeSpans(b)
		if err != nil {
			require.ErrorIs(t, err, chain.ErrCorrupt)
			return
		}
		again, err := s.Encode()
		require.NoError(t, err)
		back, err := DecodeSpans(again)
		require.NoError(t, err)
		require.Equal(t, s, back)
		for i, p := range s.spans {
			require.True(t, p.first > 0 && p.first <= p.last && (i == 0 || s.spans[i-1].last+1 < p.first))
		}
	})
}
