package node_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node"
)

// Whatever was there before, a status that is merged in is there alone, and
// leaves all else as it is.
func TestStatusReplacesTheOneBefore(t *testing.T) {
	text := rapid.OneOf(rapid.Just(""), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		draw := func() node.Status {
			return node.Status{
				State: text.Draw(t, "state"), Reason: text.Draw(t, "reason"), Message: text.Draw(t, "message"), URL: text.Draw(t, "url"),
			}
		}
		keys := rapid.SliceOfN(rapid.String(), 0, 2).Draw(t, "keys")
		before := chain.Value{}
		for _, delta := range [][]byte{[]byte(`{"other":1}`), draw().Delta(keys...)} {
			v, err := chain.ParseValue(delta)
			require.NoError(t, err)
			before = chain.Merge(before, v)
		}
		want := draw()
		delta, err := chain.ParseValue(want.Delta(keys...))
		require.NoError(t, err)
		after := chain.Merge(before, delta)
		if other, _ := before.Get("other"); len(keys) == 0 || keys[0] != "other" {
			kept, ok := after.Get("other")
			require.True(t, ok && kept.Equal(other))
		}
		for _, key := range keys {
			after, _ = after.Get(key)
		}
		var got node.Status
		require.NoError(t, json.Unmarshal([]byte(after.String()), &got))
		require.Equal(t, want, got)
	})
}
