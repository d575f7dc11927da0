package node

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/core"
)

// reaction runs one hook, in a goroutine of its own: it takes what core.Reaction
// says is next, asks the handler, and has the writer commit what comes of it.
type reaction struct {
	n       *Node
	conf    core.ReactionConfig
	handler ReactFunc
	log     *slog.Logger
	meter   reactionMeter

	ctx    context.Context // of the handler's calls
	cancel context.CancelFunc
	done   chan struct{}

	way   *core.Reaction // from here on: the goroutine's
	saved time.Time
	tries int // that failed, of what is next
}

const (
	// saveEvery is how long a place that moved without an answer may wait to be
	// saved: what is passed over meanwhile comes again after a crash.
	saveEvery = time.Second
	// What failed is tried again after retryLeast to retryMost.
	retryLeast = 100 * time.Millisecond
	retryMost  = 30 * time.Second
)

func newReaction(n *Node, c core.ReactionConfig, handler ReactFunc) *reaction {
	r := &reaction{n: n, conf: c, handler: handler, log: n.log.With("hook", c.Hook), done: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

func (r *reaction) run() {
	defer close(r.done)
	select {
	case <-r.n.state.ready:
	case <-r.ctx.Done():
		return
	}
	for r.way == nil && r.ctx.Err() == nil {
		switch err := r.begin(); {
		case ended(err), err != nil && r.ctx.Err() != nil:
			return
		case err != nil:
			r.failed(nil, err)
		}
	}
	for r.ctx.Err() == nil {
		if ended(r.step()) {
			return
		}
	}
	if r.way != nil && r.way.Unsaved() {
		_ = r.save() // what is lost of it comes again
	}
}

// ended reports whether an error of the node's, never one of the handler's, says
// that nothing is written any more. The node says so itself.
func ended(err error) bool {
	return errors.Is(err, chain.ErrStoreFailed) || errors.Is(err, chain.ErrClosed)
}

// begin finds the place. One that is new is durable before anything is done.
func (r *reaction) begin() error {
	way, from, was, err := core.OpenReaction(r.ctx, r.conf)
	if err != nil {
		return err
	}
	if from != core.GoesOn {
		if _, err := r.n.writer.settle(way.Save(), true); err != nil {
			return err
		}
		way.Saved()
	}
	r.way, r.saved = way, r.n.now()
	r.meter.place(way)
	switch {
	case from == core.FromNow:
		r.log.Info("reaction begins with what comes now", "prefix", r.conf.Prefix)
	case from == core.FromFirst:
		r.log.Info("reaction begins with the first update", "prefix", r.conf.Prefix)
	case from == core.FromAnswers:
		r.log.Warn("this directory has no place of the reaction, and its authority has answered under it: "+
			"it begins after what was dealt with for certain, and its handler may be asked again about what got no answer", "prefix", r.conf.Prefix)
	case was != r.conf.Prefix:
		r.log.Warn("reaction has another prefix: it goes on from its place, and leaves out what that is behind",
			"prefix", r.conf.Prefix, "was", was)
	}
	return nil
}

// step deals with what is next, or waits for it. Its error is the node's.
func (r *reaction) step() error {
	watch := r.way.Watch()
	defer watch.Stop()
	t, soon, err := r.way.Next(r.ctx)
	for _, back := range r.way.Retracted() {
		r.log.Warn("updates that the reaction has passed were taken back by a freeze; what answered them stays", "origin", back.Origin, "after", back.After)
	}
	r.meter.place(r.way)
	switch {
	case r.ctx.Err() != nil:
		return nil
	case err != nil:
		r.failed(nil, err)
		return err
	case t != nil:
		err = r.answer(t)
		r.meter.place(r.way)
		return err
	}
	return r.idle(watch, soon)
}

// idle waits for something new, and saves the place meanwhile.
func (r *reaction) idle(watch *chain.FeedWatch, soon bool) error {
	ctx, cancel := r.ctx, context.CancelFunc(func() {})
	switch {
	case soon:
		ctx, cancel = context.WithTimeout(ctx, soonAgain)
	case r.way.Unsaved():
		ctx, cancel = context.WithTimeout(ctx, saveEvery-r.n.now().Sub(r.saved))
	}
	defer cancel()
	switch err := watch.Wait(ctx); {
	case err == nil:
		return r.n.archive.Failed()
	case soon || r.ctx.Err() != nil:
		return nil
	}
	return r.save()
}

// soonAgain is how long a freeze takes from the store to readers, about.
const soonAgain = 10 * time.Millisecond

// answer asks the handler, and has what it says committed. Its error is the node's.
func (r *reaction) answer(t *core.Trigger) error {
	var d *Draft
	err := call(func() (err error) {
		d, err = r.handler(r.ctx, Change{t.Update, t.Authority, t.Before, t.After})
		return err
	})
	switch {
	case err != nil && r.ctx.Err() != nil:
		return nil
	case err != nil:
		r.failed(t, err)
		return r.n.archive.Failed()
	case d == nil:
		return r.pass(outcomeNothing)
	}
	s, err := r.way.Settle(t, *d)
	if err != nil {
		r.refused(t, err)
		return r.pass(outcomeRefused)
	}
	for {
		settled, err := r.n.writer.settle(s, false)
		switch missing := (*chain.DependencyError)(nil); {
		case err != nil:
			return err
		case settled.Moved:
			r.way.Saved()
			r.saved = r.n.now()
			return r.settled(t, settled)
		case errors.As(settled.Err, &missing):
			r.failed(t, settled.Err) // the handler named it, and may think better of it
			return nil
		}
		if r.failed(t, settled.Err); r.ctx.Err() != nil {
			return nil
		}
	}
}

// settled notes what became of an answer.
func (r *reaction) settled(t *core.Trigger, s core.Settled) error {
	switch {
	case s.Err != nil:
		r.refused(t, s.Err)
		return r.pass(outcomeRefused)
	case !s.By.IsZero():
		return r.pass(outcomeAnswered)
	case s.Receipt.Unchanged:
		return r.pass(outcomeUnchanged)
	}
	return r.pass(outcomePublished)
}

// pass goes on behind what is next. A place that is not saved yet is, in a while.
func (r *reaction) pass(outcome string) error {
	r.way.Pass()
	r.tries = 0
	r.meter.passed(outcome)
	if r.way.Unsaved() && r.n.now().Sub(r.saved) >= saveEvery {
		return r.save()
	}
	return nil
}

// save has the writer keep the place.
func (r *reaction) save() error {
	if _, err := r.n.writer.settle(r.way.Save(), false); err != nil {
		return err
	}
	r.way.Saved()
	r.saved = r.n.now()
	return nil
}

// refused reports an answer that cannot be published, which nothing follows.
func (r *reaction) refused(t *core.Trigger, err error) {
	r.log.Error("answer of a reaction is refused: there is none to this update", "trigger", t.Update.ID, "subject", t.Update.Subject,
		"authority", t.Authority, "err", err)
}

// failed reports what is tried again, and waits until then.
func (r *reaction) failed(t *core.Trigger, err error) {
	wait := min(retryLeast<<min(r.tries, 16), retryMost)
	wait -= time.Duration(rand.Int64N(int64(wait)/5 + 1)) // nodes of one authority shall not keep step
	r.tries++
	r.meter.failed(r.n.now())
	attrs := []any{"err", err, "tries", r.tries, "again_in", wait}
	if t != nil {
		attrs = append(attrs, "trigger", t.Update.ID, "subject", t.Update.Subject, "authority", t.Authority)
	}
	r.log.Warn("reaction failed, and waits", append(attrs, stackOf(err)...)...)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
}
