package node

import (
	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/core"
)

// settling is a settlement of a reaction on its way to the writer. Each reaction
// has one at most, so they need no queue.
type settling struct {
	settlement *core.Settlement
	synced     bool // also where it has no draft
	done       chan struct{}
	settled    core.Settled // from here on: before done is closed, the writer's
	err        error
}

// settle has the writer commit a settlement, and waits for that. The error is
// [chain.ErrStoreFailed], or [chain.ErrClosed].
func (w *writer) settle(c *core.Settlement, synced bool) (core.Settled, error) {
	s := &settling{settlement: c, synced: synced, done: make(chan struct{})}
	select {
	case w.settles <- s:
	case <-w.done:
		return core.Settled{}, chain.ErrClosed
	}
	<-s.done // who takes one answers it
	return s.settled, s.err
}

func (b *batch) settle(s *settling) {
	b.settles, b.Settles = append(b.settles, s), append(b.Settles, s.settlement)
	if d := s.settlement.Draft; d != nil {
		b.size += d.Size()
	}
	b.Urgent = b.Urgent || s.synced
}
