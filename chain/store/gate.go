package store

import (
	"sync"
	"sync/atomic"
	"time"
)

// gate counts the calls and iterators that are inside a store, so that Close
// can refuse new ones and wait for the others without a lock on the read path.
type gate struct {
	n    atomic.Int64 // inside; far below zero once shut
	idle chan struct{}
	once sync.Once
}

const shut = -1 << 40

func newGate() *gate { return &gate{idle: make(chan struct{})} }

// enter reports whether the caller may go in. If so it must leave.
func (g *gate) enter() bool {
	if g.n.Add(1) > 0 {
		return true
	}
	g.leave()
	return false
}

func (g *gate) leave() {
	if g.n.Add(-1) == shut {
		g.once.Do(func() { close(g.idle) })
	}
}

// shut refuses all who come from now on. It is called once.
func (g *gate) shut() {
	if g.n.Add(shut) == shut {
		g.once.Do(func() { close(g.idle) })
	}
}

// wait returns how many are still inside after at most d.
func (g *gate) wait(d time.Duration) int64 {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-g.idle:
		return 0
	case <-t.C:
		return max(0, g.n.Load()-shut)
	}
}
