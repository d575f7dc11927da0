package gossip

import (
	"bytes"
	"errors"
	"fmt"
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
	})
}

// Peers that are ever new, each refused, do not fill a disk with lines.
func TestClosingsOfEverNewPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		var c closings
		log := slog.New(slog.NewTextHandler(&b, nil))
		for i := range 10 * closingsMost {
			c.warn(log, chain.Origin{3, byte(i), byte(i >> 8)}, "frame", nil)
		}
		require.Equal(t, closingsMost, strings.Count(b.String(), "stream closed"))
		time.Sleep(reportEvery)
		c.warn(log, chain.Origin{4}, "frame", nil)
		require.Contains(t, b.String(), fmt.Sprintf("not_logged=%d", 9*closingsMost))
	})
}
