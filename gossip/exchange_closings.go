package gossip

import (
	"log/slog"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// closings logs why streams are closed, for each peer and reason once in
// reportEvery: a peer of another version comes back each second. All of them are
// counted.
type closings struct {
	mu   sync.Mutex // protects last
	last map[closing]time.Time
}

type closing struct {
	peer   chain.Origin
	reason string
}

// closingsMost bounds what is remembered; beyond it all is forgotten, and may be
// logged again.
const closingsMost = 1024

func (c *closings) warn(log *slog.Logger, peer chain.Origin, reason string, err error) {
	now := time.Now()
	c.mu.Lock()
	if last, ok := c.last[closing{peer, reason}]; ok && now.Sub(last) < reportEvery {
		c.mu.Unlock()
		return
	}
	if c.last == nil || len(c.last) >= closingsMost {
		c.last = map[closing]time.Time{}
	}
	c.last[closing{peer, reason}] = now
	c.mu.Unlock()
	log.Warn("stream closed", "peer", peer, "reason", reason, "error", err)
}
