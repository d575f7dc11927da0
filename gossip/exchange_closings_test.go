package gossip

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// A peer that is refused each second is named once a minute; another peer, or
// another reason, is news.
func TestClosingsAreLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		var c closings
		log := slog.New(slog.NewTextHandler(&b, nil))
		a, other := chain.Origin{1}, chain.Origin{2}
		for range 120 {
			c.warn(log, a, "protocol version", nil)
			c.warn(log, a, "frame", errors.New("bad"))
			c.warn(log, other, "protocol version", nil)
			time.Sleep(time.Second)
		}
		require.Equal(t, 2*3, strings.Count(b.String(), "stream closed"))
		for i := range 2 * closingsMost {
			c.warn(log, chain.Origin{3, byte(i), byte(i >> 8)}, "frame", nil)
		}
		require.LessOrEqual(t, len(c.last), closingsMost)
	})
}
