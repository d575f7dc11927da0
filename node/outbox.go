package node

import (
	"context"
	"errors"
	"sync"

	"github.com/tidings-mesh/tidings/chain"
)

// ErrBusy is returned by Enqueue while the outbox is full.
var ErrBusy = errors.New("outbox is full")

// Ack is a draft on its way to the chain. It is safe for concurrent use.
type Ack struct {
	prepared *chain.Prepared
	done     chan struct{}
	receipt  chain.Receipt // from here on: before done is closed, the writer's
	err      error
}

// Done is closed once the outcome is known.
func (p *Ack) Done() <-chan struct{} { return p.done }

// Result is the outcome, after Done. Without an error the update is committed
// on this node: durably where it has a data directory.
func (p *Ack) Result() (chain.Receipt, error) {
	select {
	case <-p.done:
		return p.receipt, p.err
	default:
		return chain.Receipt{}, errors.New("the outcome is not known yet")
	}
}

// Wait waits for the outcome. A context that ends first gives up the waiting,
// not the draft.
func (p *Ack) Wait(ctx context.Context) (chain.Receipt, error) {
	select {
	case <-p.done:
		return p.receipt, p.err
	case <-ctx.Done():
		return chain.Receipt{}, ctx.Err()
	}
}

func (p *Ack) resolve(r chain.Receipt, err error) {
	p.receipt, p.err = r, err
	close(p.done)
}

// outbox is the bounded queue of drafts before the writer.
type outbox struct {
	queue chan *Ack

	closing sync.Once
	quit    chan struct{} // closed when nothing is taken any more

	mu     sync.RWMutex // held for reading while something is put in
	closed bool
}

func newOutbox(size int) *outbox {
	return &outbox{queue: make(chan *Ack, size), quit: make(chan struct{})}
}

func newAck(d chain.Draft) *Ack {
	p := &Ack{done: make(chan struct{})}
	prepared, err := chain.Prepare(d)
	if err != nil {
		p.resolve(chain.Receipt{}, err)
		return p
	}
	p.prepared = prepared
	return p
}

// offer puts a draft into the queue if there is room.
func (o *outbox) offer(p *Ack) error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.closed {
		return chain.ErrClosed
	}
	select {
	case o.queue <- p:
		return nil
	default:
		return ErrBusy
	}
}

// put puts a draft into the queue and waits for room until ctx ends.
func (o *outbox) put(ctx context.Context, p *Ack) error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.closed {
		return chain.ErrClosed
	}
	select {
	case o.queue <- p:
		return nil
	case <-o.quit:
		return chain.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close refuses drafts from now on, also those that wait for room: a writer that
// may not append makes none. Those in the queue stay the writer's.
func (o *outbox) close() {
	o.closing.Do(func() { close(o.quit) })
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}
