package node

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/core"
)

// Change is an update of another authority that a reaction is asked about.
type Change struct {
	// Update is the trigger. It must not be written to.
	Update *chain.Update
	// Authority wrote it.
	Authority string
	// Before and After are the update's subject as the reaction has come to it: all
	// updates of it that the reaction has passed, of every authority, and then this
	// one besides. Before has no updates where this is the first. They hold the part
	// of each authority, see [chain.State.StatusOf]. They are the handler's.
	Before, After *chain.State
}

// ReactFunc is a handler: it answers a change: with a draft, or with nil if there is nothing to say.
// Its context ends with the reaction. It is called from one goroutine at a time.
type ReactFunc func(ctx context.Context, c Change) (*Draft, error)

// ReactOption places a reaction.
type ReactOption func(*core.ReactionConfig)

// FromStart has a reaction whose name is new to the node begin with the first
// update that is here, rather than with what comes. What the authority has answered
// under that name is left out.
func FromStart() ReactOption { return func(c *core.ReactionConfig) { c.FromStart = true } }

// ErrReaction is wrapped by React where the reaction is at fault: its name, its
// prefix, a name that runs already.
var ErrReaction = errors.New("invalid reaction")

// React has a handler answer what other authorities change about the subjects that
// a prefix selects: so a service compensates its own status. It gets each update
// once the node has applied it, in causal order, one after the other, with the view
// before and after. The draft that it returns is published with the update as Cause,
// which makes it a dependency, and with hook as Hook.
//
// Each update is answered once for each node and hook: the draft is committed
// together with the reaction's place, or neither is. The handler itself may be
// called again for an update that got no answer: after an error, after a crash for
// those of the last second, and where the directory was lost; and it is called by
// every other node of the authority that runs the hook. A node leaves out what it
// sees that its authority has answered under the hook; two that answer in the same
// instant may both publish.
//
// The place is kept under the hook's name (1 to 64 bytes) in the data directory. A
// new name begins with what is applied after React returned, and after the node was
// ready, unless it is told [FromStart], or the authority has answered under it before,
// as where the directory was lost, or another node of the authority ran the hook
// first: then it begins, on each chain, after the last update
// that was answered and all that answered ones depend on, and where that is nothing,
// after the first in stitched order that was answered of all chains. So what came too
// late for an answer gets one, and what got none on purpose is asked about again. Under
// another prefix a hook goes on from its place. The first call comes once the node is
// ready.
//
// An error of the handler is logged and counted, and it is called again, after 0.1 s
// at first and 30 s at most; so is a panic, which is recovered. Until then that
// reaction stands still, and no other does. A draft that is refused for good, such
// as one that would be the 17th in a chain of reactions, is logged and counted, and
// the reaction goes on. One that changes nothing is no update.
//
// stop ends the reaction and waits for the handler, whose context is cancelled; what
// it returns without an error is still committed. Close stops all. Neither may be
// called by the handler. The name may be used again then.
//
// Errors: [ErrReaction], [chain.ErrClosed], and those of the store.
func (n *Node) React(hook string, prefix chain.Prefix, handler ReactFunc, options ...ReactOption) (stop func(), err error) {
	switch {
	case handler == nil:
		return nil, fmt.Errorf("%w: %q has no handler", ErrReaction, hook)
	case chain.CheckHook(hook) != nil:
		return nil, fmt.Errorf("%w: name: %w", ErrReaction, chain.CheckHook(hook))
	case chain.CheckPrefix(string(prefix)) != nil:
		return nil, fmt.Errorf("%w: prefix of %q: %w", ErrReaction, hook, chain.CheckPrefix(string(prefix)))
	}
	c := core.ReactionConfig{Archive: n.archive, Authority: n.info.Authority, Hook: hook, Prefix: prefix}
	for _, o := range options {
		o(&c)
	}
	r := newReaction(n, c, handler)
	if err := n.reactions.add(r); err != nil {
		return nil, err
	}
	select {
	case <-n.state.ready:
		if err := r.begin(); err != nil {
			close(r.done)
			n.reactions.end(r)
			if r.ctx.Err() != nil {
				err = chain.ErrClosed
			}
			return nil, fmt.Errorf("reaction %q: %w", hook, err)
		}
	default:
	}
	go r.run()
	return func() { n.reactions.end(r) }, nil
}

// reactions are those that run.
type reactions struct {
	mu     sync.Mutex // protects what follows
	byHook map[string]*reaction
	closed bool
}

func newReactions() *reactions { return &reactions{byHook: map[string]*reaction{}} }

func (s *reactions) add(r *reaction) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return chain.ErrClosed
	case s.byHook[r.conf.Hook] != nil:
		return fmt.Errorf("%w: %q runs already: stop it first, or give this one a name of its own", ErrReaction, r.conf.Hook)
	}
	s.byHook[r.conf.Hook] = r
	return nil
}

// end stops a reaction and waits for it, and then lets go of its name.
func (s *reactions) end(r *reaction) {
	r.cancel()
	<-r.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byHook[r.conf.Hook] == r {
		delete(s.byHook, r.conf.Hook)
	}
}

// all are the reactions that run, in no particular order.
func (s *reactions) all() []*reaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*reaction, 0, len(s.byHook))
	for _, r := range s.byHook {
		out = append(out, r)
	}
	return out
}

// close lets no more in, and ends all side by side.
func (s *reactions) close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	all := s.all()
	for _, r := range all {
		r.cancel()
	}
	for _, r := range all {
		s.end(r)
	}
	return nil
}
