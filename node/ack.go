package node

import (
	"context"
	"errors"

	"github.com/tidings-mesh/tidings/chain"
)

// Ack is a draft on its way to the chain. It is safe for concurrent use.
type Ack struct {
	prepared *chain.Prepared // nil once the outcome is known: whoever waits for it keeps no content
	draft    *chain.Draft    // of Enqueue, whose caller may not wait for the outcome
	outbox   *outbox         // which took it
	places   int             // in there
	done     chan struct{}
	receipt  chain.Receipt // from here on: before done is closed, the writer's
	err      error
}

// newAck checks a draft. Where it is at fault the outcome is known, and there
// is nothing prepared.
func newAck(d chain.Draft) *Ack {
	prepared, err := chain.Prepare(d)
	p := &Ack{prepared: prepared, done: make(chan struct{})}
	if err != nil {
		p.resolve(chain.Receipt{}, err)
	}
	return p
}

// Done is closed once the outcome is known.
func (p *Ack) Done() <-chan struct{} { return p.done }

// Result is the outcome, after Done; before, it is an error that says so. Without an
// error the update is committed on this node: durably where it has a data directory.
// The errors are those of [Node.Publish].
func (p *Ack) Result() (chain.Receipt, error) {
	select {
	case <-p.done:
		return p.receipt, p.err
	default:
		return chain.Receipt{}, errors.New("the outcome is not known yet")
	}
}

// Wait waits for the outcome. A context that ends first gives up the waiting,
// not the draft. The errors are those of [Node.Publish], and that of ctx.
func (p *Ack) Wait(ctx context.Context) (chain.Receipt, error) {
	select {
	case <-p.done:
		return p.receipt, p.err
	case <-ctx.Done():
		return chain.Receipt{}, ctx.Err()
	}
}

func (p *Ack) resolve(r chain.Receipt, err error) {
	if p.outbox != nil {
		p.outbox.leave(p, err)
	}
	p.prepared, p.draft = nil, nil
	p.receipt, p.err = r, err
	close(p.done)
}
