package chain

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A chain's updates are a series, each behind those before it, and nothing else is of one.
func TestKeySeries(t *testing.T) {
	o := Origin{1, 2, 3}
	var last []byte
	for _, seq := range []Seq{1, 2, 255, 256, 1 << 40} {
		key := appendUpdateKey(nil, ID{o, seq})
		require.Equal(t, appendChainKey(nil, keyUpdate, o), KeySeries(key))
		require.Greater(t, string(key), string(last))
		last = key
	}
	for _, key := range [][]byte{
		appendChainKey(nil, keyChain, o), appendTableKey(nil, o, 1), appendSubjectKey(nil, keyState, "unusual"),
		{keyUpdate},
		appendIndexKey(nil, "unusual/subject/of/some/length", Stamp{ID: ID{o, 1}}),
	} {
		require.Nil(t, KeySeries(key), "%q", key)
	}
}
