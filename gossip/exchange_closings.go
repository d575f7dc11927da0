package gossip

import (
	"log/slog"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// closings logs why streams are closed, for each peer and reason once in
// reportEvery: a peer of another version comes back each second. Of peers that
// are ever new no more than closingsMost are named in that time. All of them are
// counted.
type closings struct {
	mu    sync.Mutex // protects what follows
	began time.Time  // of the time in which each is logged once
	said  map[closing]struct{}
	over  int // not logged since then, because so many were
}

type closing struct {
	peer   chain.Origin
	reason string
}

// closingsMost bounds what is logged, and remembered, in reportEvery.
const closingsMost = 64

func (c *closings) warn(log *slog.Logger, peer chain.Origin, reason string, err error) {
	now := time.Now()
	key := closing{peer, reason}
	c.mu.Lock()
	if now.Sub(c.began) >= reportEvery {
		c.began, c.said = now, map[closing]struct{}{}
	}
	if _, ok := c.said[key]; ok {
		c.mu.Unlock()
		return
	}
	if len(c.said) >= closingsMost {
		c.over++
		c.mu.Unlock()
		return
	}
	over := c.over
	c.said[key], c.over = struct{}{}, 0
	c.mu.Unlock()
	log.Warn("stream closed", "peer", peer, "reason", reason, "error", err, "not_logged", over)
}
