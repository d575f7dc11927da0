package node

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/room"
)

// ErrBusy is returned by Enqueue while the outbox is full.
var ErrBusy = errors.New("outbox is full")

// outbox holds the drafts that wait to be committed: those that linger for
// company, those in the queue before the writer, and those that it is
// committing. They are bounded together, in number and in bytes.
type outbox struct {
	queue  chan *Ack
	room   *room.Room // a draft has one place or more; as large as the queue, which so never blocks
	drafts atomic.Int64
	linger time.Duration

	// subjects counts the drafts that wait by a hash of their subject.
	subjects [1 << 10]atomic.Int32
	seed     maphash.Seed
	refused  atomic.Uint64 // by offer, for want of room
	failed   atomic.Uint64 // of those that offer took

	closing sync.Once
	quit    chan struct{} // closed when nothing is taken any more
	lost    lost

	mu     sync.RWMutex // held for reading while something is put in
	closed bool

	order     sync.Mutex // protects what follows, and keeps drafts in the order of calls where they may linger
	lingering []*Ack
	timer     *time.Timer // ends the lingering of the first
}

// placeBytes is what a draft may take in memory for one place in the outbox: a
// delta of some 4 KiB. A larger one takes as many more.
const placeBytes = 16 << 10

func newOutbox(size int, linger time.Duration) *outbox {
	return &outbox{
		queue: make(chan *Ack, size), room: room.New(size), linger: linger,
		seed: maphash.MakeSeed(), quit: make(chan struct{}),
	}
}

// offer takes a draft if there is room. It may linger.
func (o *outbox) offer(p *Ack) error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.closed {
		return chain.ErrClosed
	}
	p.places = placesOf(p.prepared)
	if !o.room.TryTake(p.places) {
		o.flush() // nothing is won by waiting for more
		o.refused.Add(1)
		return ErrBusy
	}
	o.enter(p)
	if o.linger == 0 {
		o.queue <- p
		return nil
	}
	o.order.Lock()
	defer o.order.Unlock()
	o.lingering = append(o.lingering, p)
	switch {
	case len(o.lingering) >= maxBatchDrafts || o.room.Full():
		o.release() // nothing is won by waiting for more
	case len(o.lingering) == 1:
		o.timer = time.AfterFunc(o.linger, o.flush)
	}
	return nil
}

// put takes a draft, which does not linger, and waits for room until ctx ends.
func (o *outbox) put(ctx context.Context, p *Ack) error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.closed {
		return chain.ErrClosed
	}
	p.places = placesOf(p.prepared)
	if !o.takeRoom(ctx, p) {
		if o.isClosing() {
			return chain.ErrClosed
		}
		return ctx.Err()
	}
	o.enter(p)
	if o.linger == 0 {
		o.queue <- p
		return nil
	}
	o.order.Lock()
	defer o.order.Unlock()
	o.release()
	o.queue <- p
	return nil
}

// takeRoom waits for room until ctx ends or the outbox is closed. It reports whether
// there is.
func (o *outbox) takeRoom(ctx context.Context, p *Ack) bool {
	if o.room.TryTake(p.places) {
		return true
	}
	o.flush() // nothing is won by waiting for more
	return o.room.Take(p.places, ctx.Done(), o.quit)
}

// flush ends the lingering of all.
func (o *outbox) flush() {
	o.order.Lock()
	defer o.order.Unlock()
	o.release()
}

// release is flush for who holds the lock.
func (o *outbox) release() {
	if len(o.lingering) == 0 {
		return
	}
	o.timer.Stop()
	for _, p := range o.lingering {
		o.queue <- p
	}
	o.lingering = nil
}

// enter counts a draft for which there is room.
func (o *outbox) enter(p *Ack) {
	p.outbox = o
	o.drafts.Add(1)
	o.about(p.prepared.Subject()).Add(1)
}

// leave makes room again once a draft's outcome is known. It is the writer's.
func (o *outbox) leave(p *Ack, err error) {
	if err != nil && p.draft != nil {
		o.failed.Add(1)
		if o.isClosing() || errors.Is(err, chain.ErrStoreFailed) {
			o.lost.add(p.draft, err)
		}
	}
	o.about(p.prepared.Subject()).Add(-1)
	o.drafts.Add(-1)
	o.room.Give(p.places)
}

func placesOf(d *chain.Prepared) int { return 1 + d.Size()/placeBytes }

func (o *outbox) about(subject string) *atomic.Int32 {
	return &o.subjects[maphash.String(o.seed, subject)%uint64(len(o.subjects))]
}

// settled reports whether no draft about the subject waits. It may say no
// though none does.
func (o *outbox) settled(subject string) bool { return o.about(subject).Load() == 0 }

// depth is the number of drafts that wait.
func (o *outbox) depth() int { return int(o.drafts.Load()) }

func (o *outbox) isClosing() bool {
	select {
	case <-o.quit:
		return true
	default:
		return false
	}
}

// close refuses drafts from now on, also those that wait for room: a writer that
// may not append makes none. Those that were taken stay the writer's.
func (o *outbox) close() {
	o.closing.Do(func() { close(o.quit) })
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.flush()
}
