package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// outlet is the node that an authority's lines are published through. Its
// methods are safe for concurrent use.
type outlet interface {
	// publish hands over a line and waits for what becomes of it. The error is
	// the node's; a line that the node refuses is an outcome.
	publish(ctx context.Context, l *replayLine) (replayOutcome, error)
	// await returns once the update is applied there.
	await(ctx context.Context, id chain.ID) error
	// root is a digest of all that is applied there.
	root(ctx context.Context) (string, error)
	// status is a subject's status as JSON, nil if nothing was ever said of it.
	status(ctx context.Context, subject string) ([]byte, error)
	// name is what people know it by.
	name() string
}

// replayOutcome is what became of a line.
type replayOutcome struct {
	id        chain.ID // the update that says what the line does, zero if none does
	unchanged bool
	repeated  bool
	refused   error // why it was not published
}

// replayCount is how many lines ended in which way.
type replayCount struct {
	published, unchanged, repeated, failed int64
}

func (c replayCount) lines() int64 { return c.published + c.unchanged + c.repeated + c.failed }

const (
	// replayWindow bounds the lines that are read and not finished, and so
	// what a replay holds of a file of any length. Batches, signatures and
	// syncs are shared by what is on its way: less is slower.
	replayWindow = 8192
	// replayPatience is how long an update may take to another node, and how
	// long nodes may differ without a move of any, before the replay gives up.
	replayPatience = time.Minute
	// replayGrace is what lines on their way get once a signal came.
	replayGrace = 2 * time.Second
)

// replayer publishes lines: those of one subject one after the other, each
// through its own authority's node and once that has applied the one before;
// those of different subjects side by side.
type replayer struct {
	outlet func(ctx context.Context, authority string) (outlet, error)
	report func(*badLine)
	// said, if not nil, is told each line that the mesh knows now: those of one
	// subject in their order, others side by side.
	said func(*replayLine)

	soft  context.Context // ends with the first signal or failure: nothing new is begun
	work  context.Context // ends a moment after a signal, or with the first failure
	fail  func(error)     // ends both; the first error is the cause
	lines chan struct{}   // a place for each line on its way
	wg    sync.WaitGroup

	mu       sync.Mutex // protects what follows, and the courses
	count    replayCount
	subjects map[string]*course
	used     map[outlet]bool
}

// course is the way of one subject's lines.
type course struct {
	waiting []*replayLine
	running bool
	last    chain.ID // newest update of the subject in the order of the file
	at      outlet   // where that was published
}

// newReplayer begins a replay. Its end releases it.
func newReplayer(soft context.Context, open func(context.Context, string) (outlet, error), report func(*badLine)) *replayer {
	work, fail := context.WithCancelCause(context.WithoutCancel(soft))
	soft, stop := context.WithCancel(soft)
	return &replayer{
		outlet: open, report: report, soft: soft, work: work, fail: func(err error) { fail(err); stop() },
		lines: make(chan struct{}, replayWindow), subjects: map[string]*course{}, used: map[outlet]bool{},
	}
}

// take begins with a line, after those that were taken before. It waits while
// too many are on their way. Its error ends the replay.
func (r *replayer) take(l *replayLine, bad *badLine) error {
	if bad != nil {
		r.refuse(bad)
		return nil
	}
	select {
	case r.lines <- struct{}{}:
	case <-r.soft.Done():
		return r.soft.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.subjects[l.subject]
	if c == nil {
		c = &course{}
		r.subjects[l.subject] = c
	}
	c.waiting = append(c.waiting, l)
	if !c.running {
		c.running = true
		r.wg.Go(func() { r.run(c) })
	}
	return nil
}

func (r *replayer) refuse(bad *badLine) {
	r.mu.Lock()
	r.count.failed++
	r.mu.Unlock()
	r.report(bad)
}

// run publishes a subject's lines until none waits.
func (r *replayer) run(c *course) {
	for {
		r.mu.Lock()
		if len(c.waiting) == 0 || r.soft.Err() != nil {
			c.waiting, c.running = nil, false
			r.mu.Unlock()
			return
		}
		l := c.waiting[0]
		c.waiting = c.waiting[1:]
		last, at := c.last, c.at
		r.mu.Unlock()
		if err := r.publish(c, l, last, at); err != nil {
			r.fail(fmt.Errorf("line %d: %w", l.number, err))
			return
		}
		<-r.lines
	}
}

// publish publishes one line, once its predecessor is applied at its node.
func (r *replayer) publish(c *course, l *replayLine, last chain.ID, at outlet) error {
	o, err := r.outlet(r.work, l.authority)
	if err != nil {
		return err
	}
	if at != nil && at != o {
		if err := r.await(o, at, last); err != nil {
			return err
		}
	}
	out, err := o.publish(r.work, l)
	if err != nil {
		return err
	}
	r.mu.Lock()
	switch {
	case out.refused != nil:
		r.count.failed++
	case out.repeated:
		r.count.repeated++
	case out.unchanged:
		r.count.unchanged++
	default:
		r.count.published++
	}
	if out.refused == nil {
		r.used[o] = true
		// What changed nothing may name an update that is older than the last.
		if !out.unchanged {
			c.last, c.at = out.id, o
		}
	}
	r.mu.Unlock()
	switch {
	case out.refused != nil:
		r.report(&badLine{l.number, out.refused})
	case r.said != nil:
		r.said(l)
	}
	return nil
}

// await waits until a node has applied what another one has published.
func (r *replayer) await(o, at outlet, id chain.ID) error {
	ctx, cancel := context.WithTimeout(r.work, replayPatience)
	defer cancel()
	switch err := o.await(ctx, id); {
	case err == nil:
		return nil
	case r.work.Err() != nil:
		return context.Cause(r.work)
	case ctx.Err() != nil:
		return fmt.Errorf("%s has not applied %s after %s: is it in one mesh with %s?", o.name(), id, replayPatience, at.name())
	default:
		return err
	}
}

// end waits for the lines on their way, and says why the replay broke off, if
// it did.
func (r *replayer) end() error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.wg.Wait()
	}()
	select {
	case <-done:
	case <-r.soft.Done():
		timer := time.NewTimer(replayGrace)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
			r.fail(r.soft.Err())
		}
	}
	<-done
	err := context.Cause(r.work)
	if err == nil {
		err = r.soft.Err()
	}
	r.fail(nil) // releases the contexts
	return err
}

// so is how far the replay is.
func (r *replayer) so() (c replayCount) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// spoken is the number of subjects that have an update, and of the nodes that
// were published through.
func (r *replayer) spoken() (subjects, nodes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.subjects {
		if c.at != nil {
			subjects++
		}
	}
	return subjects, len(r.used)
}
