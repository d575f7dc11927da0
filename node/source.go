package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// Source is a service that can only be asked: what it answers is tracked.
type Source[T any] struct {
	// Name tells the source from the node's others, in metrics and in the log.
	Name string
	// Every is the time from one question to the next, give or take a tenth, so
	// that the sources of many nodes do not ask at once. Required.
	Every time.Duration
	// Timeout bounds a question: what is answered later is dropped. Default: Every.
	Timeout time.Duration
	// Ask returns the states of subjects, all it knows or some. What an answer
	// leaves out stays as it is; [Track.End] ends it. Ask is called from one
	// goroutine at a time, and should return once ctx ends: until it does, it is
	// not called again. A panic is recovered, and counts as an error. It must not call
	// the source's stop.
	Ask func(ctx context.Context) (map[string]T, error)
}

// One makes an Ask for a source that answers for one subject.
func One[T any](subject string, ask func(context.Context) (T, error)) func(context.Context) (map[string]T, error) {
	return func(ctx context.Context) (map[string]T, error) {
		state, err := ask(ctx)
		if err != nil {
			return nil, err
		}
		return map[string]T{subject: state}, nil
	}
}

// Poll asks a source over and over, beginning within Every, 5 s at most, and
// sets what it answers as a [Track] does: nothing goes out where nothing
// changed. A source that fails is asked less and less often, down to every 16
// times Every (but 5 minutes at most, or Every if that is longer). Each source
// has a goroutine of its own, so a slow one delays nobody. Which ones fail is in
// the log and in the metrics tidings_source_*.
//
// The source is polled until stop is called or the node closes. Both wait for
// Ask to return, 5 s at most. stop may be called at any time, more than once.
//
// Errors: [ErrConfig] where the source is not complete or its name is taken, and
// [chain.ErrClosed].
func Poll[T any](n *Node, s Source[T]) (stop func(), err error) {
	switch err := chain.CheckName(s.Name); {
	case err != nil:
		return nil, fmt.Errorf("%w: source: Name: %w", ErrConfig, err)
	case s.Every <= 0:
		return nil, fmt.Errorf("%w: source %q: Every: %s, and it must be positive", ErrConfig, s.Name, s.Every)
	case s.Timeout < 0:
		return nil, fmt.Errorf("%w: source %q: Timeout: %s is negative", ErrConfig, s.Name, s.Timeout)
	case s.Ask == nil:
		return nil, fmt.Errorf("%w: source %q: Ask: required", ErrConfig, s.Name)
	case s.Timeout == 0:
		s.Timeout = s.Every
	}
	tracks := map[string]*Track[T]{}
	p := &poller{
		n: n, name: s.Name, every: s.Every, timeout: s.Timeout,
		ask: func(ctx context.Context) (publish, error) {
			answer, err := s.Ask(ctx)
			return func(ctx context.Context, refused func(string, error)) error {
				maps.DeleteFunc(tracks, func(subject string, _ *Track[T]) bool {
					_, ok := answer[subject]
					return !ok
				})
				return setAll(ctx, n, tracks, answer, refused)
			}, err
		},
	}
	if err := n.sources.start(p); err != nil {
		return nil, err
	}
	return func() { _ = p.stop() }, nil
}

// publish publishes an answer, and tells of each subject whose state is refused
// for what it is. Its error is why no more of the answer is published.
type publish func(ctx context.Context, refused func(subject string, err error)) error

// setAll sets what changed, in the order of the subjects. Many share a sync.
func setAll[T any](ctx context.Context, n *Node, tracks map[string]*Track[T], answer map[string]T, refused func(string, error)) error {
	type sent struct {
		subject string
		ack     *Ack
	}
	const most = 1024 // that wait at a time
	for subjects := range slices.Chunk(slices.Sorted(maps.Keys(answer)), most) {
		var waiting []sent
		for _, subject := range subjects {
			if tracks[subject] == nil {
				tracks[subject] = TrackOf[T](n, subject)
			}
			ack, err := tracks[subject].set(ctx, answer[subject])
			if err := unlessDraft(err, subject, refused); err != nil {
				return err
			}
			if ack != nil {
				waiting = append(waiting, sent{subject, ack})
			}
		}
		for _, w := range waiting {
			_, err := w.ack.Wait(ctx)
			if err := unlessDraft(err, w.subject, refused); err != nil {
				return err
			}
		}
	}
	return nil
}

// unlessDraft tells of a draft that is at fault, and returns any other error.
func unlessDraft(err error, subject string, refused func(string, error)) error {
	var draft *chain.DraftError
	if errors.As(err, &draft) {
		refused(subject, err)
		return nil
	}
	return err
}
