package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	pollFirst   = 5 * time.Second // a source is first asked within Every, and within this
	pollJitter  = 0.1             // of Every
	pollSlowest = 16              // times Every, between the questions to one that fails
	pollLongest = 5 * time.Minute // but no more than this
	// pollGrace is how long a question whose context has ended may go on when its
	// source is stopped.
	pollGrace = 5 * time.Second
)

// poller is what polls one source.
type poller struct {
	n              *Node
	name           string
	every, timeout time.Duration
	ask            func(context.Context) (publish, error)

	cancel  context.CancelFunc
	done    chan struct{} // closed when the loop has ended
	left    error         // behind, once done is closed
	pending chan answer   // of a question that did not end in time; the loop's, nil if there is none
	failing time.Time     // since when, zero if it is not; the loop's

	counts  [len(pollOutcomes)]atomic.Uint64
	refused atomic.Uint64 // states
	heard   atomic.Int64  // when it last answered, or began: the time since the node started
	logged  burst
}

type answer struct {
	publish publish
	err     error
}

// pollOutcome is what came of one question.
type pollOutcome int

const (
	pollAnswered    pollOutcome = iota
	pollFailed                  // Ask returned an error, or it or the encoding of a state panicked
	pollLate                    // Ask did not return in time, or has not since
	pollUnpublished             // this node did not take the answer
)

var pollOutcomes = [...]string{pollAnswered: "answered", pollFailed: "failed", pollLate: "late", pollUnpublished: "unpublished"}

// run asks until ctx ends.
func (p *poller) run(ctx context.Context) {
	defer close(p.done)
	defer func() { p.left = p.abandon() }()
	select {
	case <-p.n.state.appendable: // before that nothing could be published
	case <-ctx.Done():
		return
	}
	slower := backoff.ExponentialBackOff{
		InitialInterval: p.every, Multiplier: 2, RandomizationFactor: pollJitter,
		MaxInterval: max(p.every, min(pollSlowest*p.every, pollLongest)),
	}
	slower.Reset()
	timer := time.NewTimer(rand.N(min(p.every, pollFirst)))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		began := p.n.now()
		what, err := p.question(ctx)
		if ctx.Err() != nil {
			return
		}
		if what == pollAnswered {
			slower.Reset()
		}
		next := slower.NextBackOff()
		p.tell(what, err, next)
		timer.Reset(max(0, next-p.n.now().Sub(began)))
	}
}

var errHangs = errors.New("it has not returned from an earlier question, whose time is up")

// question asks once, and publishes the answer.
func (p *poller) question(ctx context.Context) (pollOutcome, error) {
	limited, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if p.pending != nil {
		select {
		case <-p.pending: // what it says is dropped
			p.pending = nil
		default:
			return pollLate, errHangs
		}
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		a.err = call(func() (err error) {
			a.publish, err = p.ask(limited)
			return err
		})
		answers <- a
	}()
	select {
	case a := <-answers:
		switch {
		case a.err != nil && limited.Err() != nil:
			return pollLate, a.err
		case a.err != nil:
			return pollFailed, a.err
		}
		var err error
		if crash := call(func() error { err = a.publish(ctx, p.refuse); return nil }); crash != nil {
			return pollFailed, fmt.Errorf("encode a state: %w", crash)
		}
		if err != nil {
			return pollUnpublished, err
		}
		return pollAnswered, nil
	case <-limited.Done():
		p.pending = answers
		return pollLate, fmt.Errorf("no answer within %s", p.timeout)
	}
}

// abandon waits for a question that goes on though its context has ended.
func (p *poller) abandon() error {
	if p.pending == nil {
		return nil
	}
	grace := time.NewTimer(pollGrace)
	defer grace.Stop()
	select {
	case <-p.pending:
		return nil
	case <-grace.C:
		p.n.log.Warn("source left behind: its Ask goes on though its context has ended; see to it that it heeds that", "source", p.name)
		return fmt.Errorf("source %q: Ask has not returned %s after its context ended, and is left behind", p.name, pollGrace)
	}
}

// tell counts what came of a question, and logs when a source begins to fail and
// when it answers again.
func (p *poller) tell(what pollOutcome, err error, next time.Duration) {
	p.counts[what].Add(1)
	now := p.n.now()
	if what == pollAnswered {
		p.heard.Store(int64(now.Sub(p.n.started)))
	}
	was := p.failing
	switch {
	case what == pollAnswered && !was.IsZero():
		p.failing = time.Time{}
		if ok, over := p.logged.allow(now); ok {
			p.n.log.Info("source answers again", "source", p.name, "failed_for", now.Sub(was), "not_logged", over)
		}
	case what != pollAnswered && was.IsZero():
		p.failing = now
		if ok, over := p.logged.allow(now); ok {
			attrs := []any{"source", p.name, "err", err, "again_in", next, "not_logged", over}
			p.n.log.Warn(pollAdvice[what], append(attrs, stackOf(err)...)...)
		}
	}
}

var pollAdvice = [...]string{
	pollFailed:      "source fails: what it said last stays published; it is asked less often until it answers",
	pollLate:        "source does not answer in time: what it said last stays published; it is asked less often until it does",
	pollUnpublished: "what a source said cannot be published now: look at why this node refuses it; it is asked again",
}

// refuse counts and logs a state that cannot be published for what it is.
func (p *poller) refuse(subject string, err error) {
	p.refused.Add(1)
	if ok, over := p.logged.allow(p.n.now()); ok {
		p.n.log.Warn("state of a source refused: what the source says of this subject has to be put right", "source", p.name, "subject", subject, "err", err, "not_logged", over)
	}
}

// stop ends the polling, and tells what it had to leave behind. It may be called
// more than once and at the same time.
func (p *poller) stop() error {
	p.cancel()
	<-p.done
	p.n.sources.forget(p)
	return p.left
}

// begin starts the loop.
func (p *poller) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.done = cancel, make(chan struct{})
	p.heard.Store(int64(p.n.now().Sub(p.n.started)))
	go p.run(ctx)
}
