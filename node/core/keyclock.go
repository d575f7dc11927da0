package core

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// keyClock is the time that idempotency keys grow old by: the wall clock, but a
// step ahead counts only once it has stood for a day or two. A clock that is
// wrong for a moment would have every key forgotten, and what is sent again
// published twice; a key that is kept for some days more harms nobody. The zero
// value is ready.
type keyClock struct {
	began  bool
	lowest int64         // of the wall clock less the time gone, since rolled, in milliseconds
	before int64         // the same of the time before rolled
	rolled time.Duration // when lowest began anew
}

// read is the time to go by, in Unix milliseconds. gone is the time since any
// fixed moment by a clock that is never set, wall what the wall clock says.
func (c *keyClock) read(gone time.Duration, wall int64) int64 {
	offset := wall - gone.Milliseconds()
	switch {
	case !c.began:
		c.began, c.lowest, c.before, c.rolled = true, offset, offset, gone
	case gone-c.rolled >= chain.KeyLife:
		c.before, c.lowest, c.rolled = c.lowest, offset, gone
	}
	c.lowest = min(c.lowest, offset)
	return gone.Milliseconds() + min(c.lowest, c.before)
}
