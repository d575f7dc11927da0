package node

import (
	"sync"
	"time"
)

// burst bounds the log lines that peers can cause: whoever holds the mesh key
// can make up chains and acknowledgements without end.
type burst struct {
	mu    sync.Mutex // protects what follows
	began time.Time
	lines int
	over  int // not logged
}

const (
	burstLines = 32
	burstEvery = time.Minute
)

// allow reports whether one more line may be logged, and how many were not
// since the last one that was.
func (b *burst) allow(now time.Time) (ok bool, over int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.began) >= burstEvery {
		b.began, b.lines = now, 0
	}
	if b.lines >= burstLines {
		b.over++
		return false, 0
	}
	b.lines++
	over, b.over = b.over, 0
	return true, over
}
