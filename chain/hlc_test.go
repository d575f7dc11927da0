package chain_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

// A time that is written quickly is written as its layout says, also past the
// year 9999, which RFC 3339 does not know.
func TestAppendTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := chain.HLCOf(rapid.OneOf(rapid.Int64Range(0, chain.MaxMillis), rapid.Int64Range(0, 5e12)).Draw(t, "ms"))
		require.Equal(t, h.Time().Format(chain.TimeLayout), string(h.AppendTime(nil)))
	})
}
