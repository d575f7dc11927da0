package gossip

import (
	"context"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// flushLook is how often Flush looks.
const flushLook = 2 * time.Millisecond

// Flush returns once every connected peer has all of the own chain, as far as
// it has said so or acknowledged it, or ctx ends: then with its error. A node
// that leaves calls it first, for nobody can fetch from it afterwards.
func (x *Exchange) Flush(ctx context.Context) error {
	var own chain.Seq
	x.ask(func(at At) {
		own = x.engine.own.head.Seq
		if own > 0 {
			x.engine.WantAck(at, own)
		}
	})
	tick := time.NewTicker(flushLook)
	defer tick.Stop()
	for {
		left := false
		x.ask(func(At) {
			for _, p := range x.engine.ranked {
				if p.ready() && p.knows(x.engine.own) < own && p.ack.acked.Seq < own {
					left = true
				}
			}
		})
		if !left {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
