package main

import (
	"context"
	"time"
)

// feeder gathers the lines that are published through one node into batches,
// and hands over one batch after the other: a batch costs one signature, one
// commit and one frame for each peer, however many lines it has.
type feeder struct {
	// deliver publishes lines in their order and tells of each what became of
	// it. The error is about the node, and so about all of them.
	deliver func(ctx context.Context, lines []*replayLine) ([]replayAnswer, error)
	// patience is for how long a line is tried again that the node does not
	// take for now; 0 is for ever.
	patience time.Duration

	queue chan *feederLine
	stop  context.CancelFunc
	done  chan struct{}
}

// feederLine is a line on its way, with a place for its answer.
type feederLine struct {
	line   *replayLine
	answer chan feederAnswer // has room for one
}

type feederAnswer struct {
	replayAnswer
	err error
}

// replayAnswer is what a node said to a line: an outcome, or that it does not
// take it for now.
type replayAnswer struct {
	replayOutcome
	later error
}

// feederGather is how long lines gather after the first of a batch. A replay
// has hundreds of subjects on their way at any time, so this costs it little,
// and without it a node that is idle would make a batch of each line.
const feederGather = 25 * time.Millisecond

// start begins to deliver, until close is called.
func (f *feeder) start() {
	ctx, stop := context.WithCancel(context.Background())
	f.queue, f.stop, f.done = make(chan *feederLine, maxBatchLines), stop, make(chan struct{})
	go f.run(ctx)
}

// close breaks off what is on its way. Nothing may be published any more.
func (f *feeder) close() {
	f.stop()
	<-f.done
}

// publish hands over a line and waits for what becomes of it.
func (f *feeder) publish(ctx context.Context, l *replayLine) (replayOutcome, error) {
	began := time.Now()
	for pause := retryFirst; ; pause = min(2*pause, retryLast) {
		a, err := f.offer(ctx, l)
		switch {
		case err != nil:
			return replayOutcome{}, err
		case a.later == nil:
			return a.replayOutcome, nil
		case f.patience > 0 && time.Since(began)+pause > f.patience:
			return replayOutcome{refused: a.later}, nil
		}
		if err := sleep(ctx, pause); err != nil {
			return replayOutcome{}, err
		}
	}
}

func (f *feeder) offer(ctx context.Context, l *replayLine) (replayAnswer, error) {
	waiting := &feederLine{l, make(chan feederAnswer, 1)}
	select {
	case f.queue <- waiting:
	case <-ctx.Done():
		return replayAnswer{}, ctx.Err()
	}
	select {
	case a := <-waiting.answer:
		return a.replayAnswer, a.err
	case <-ctx.Done():
		return replayAnswer{}, ctx.Err()
	}
}

func (f *feeder) run(ctx context.Context) {
	defer close(f.done)
	for {
		batch := f.gather(ctx)
		if batch == nil {
			return
		}
		lines := make([]*replayLine, len(batch))
		for i, w := range batch {
			lines[i] = w.line
		}
		answers, err := f.deliver(ctx, lines)
		for i, w := range batch {
			if err != nil {
				w.answer <- feederAnswer{err: err}
			} else {
				w.answer <- feederAnswer{replayAnswer: answers[i]}
			}
		}
	}
}

// gather waits for a line and takes what comes soon after it, nil once ctx
// ends.
func (f *feeder) gather(ctx context.Context) (batch []*feederLine) {
	select {
	case w := <-f.queue:
		batch = append(batch, w)
	case <-ctx.Done():
		return nil
	}
	timer := time.NewTimer(feederGather)
	defer timer.Stop()
	for size := 0; len(batch) < maxBatchLines && size < maxBatchBytes; {
		select {
		case w := <-f.queue:
			batch, size = append(batch, w), size+len(w.line.subject)+len(w.line.delta)
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return nil
		}
	}
	return batch
}
