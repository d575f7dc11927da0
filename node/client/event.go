package client

import (
	"context"
	"log/slog"
	"time"
)

// EventKind is what happened.
type EventKind int

// The kinds of events.
const (
	// EndpointDown: Endpoint failed with Err and is put aside for Retry.
	EndpointDown EventKind = iota + 1
	// EndpointUp: Endpoint answers again.
	EndpointUp
	// EndpointLagging: the node at Endpoint has been behind the cursor for a
	// while; for Retry, others are preferred. While that lasts it comes again; the log
	// gets it when it begins, and then after a minute to an hour, doubling.
	EndpointLagging
	// EndpointCaughtUp: the node at Endpoint is not behind the cursor any more.
	EndpointCaughtUp
	// NoneAnswers: no endpoint served a feed, because of Err; all are asked again
	// after Retry.
	NoneAnswers
	// PublishDeferred: the node at Endpoint asks for a publish later, as Err says,
	// and is asked again after Retry.
	PublishDeferred
	// RollupDiverged: what was rolled up here is not what the node at Endpoint
	// shows, as Err says. It is made anew.
	RollupDiverged
)

// String is the kind's name.
func (k EventKind) String() string {
	switch k {
	case EndpointDown:
		return "endpoint failed"
	case EndpointUp:
		return "endpoint answers again"
	case EndpointLagging:
		return "endpoint is behind"
	case EndpointCaughtUp:
		return "endpoint has caught up"
	case NoneAnswers:
		return "no endpoint answers"
	case PublishDeferred:
		return "endpoint takes a publish later"
	case RollupDiverged:
		return "roll-up differs from the node's view"
	}
	return "unknown event"
}

// Event is something that a Client met and dealt with.
type Event struct {
	Kind     EventKind
	Endpoint string // "" where it is about all
	Err      error
	Retry    time.Duration
}

// tell passes an event on. The log gets it where it is new: the first of several
// alike.
func (c *Client) tell(e Event, isNew bool) {
	if isNew {
		level := slog.LevelWarn
		if e.Kind == EndpointUp || e.Kind == EndpointCaughtUp {
			level = slog.LevelInfo
		}
		attrs := []slog.Attr{}
		if e.Endpoint != "" {
			attrs = append(attrs, slog.String("endpoint", e.Endpoint))
		}
		if e.Err != nil {
			attrs = append(attrs, slog.Any("err", e.Err))
		}
		if e.Retry > 0 {
			attrs = append(attrs, slog.Duration("retry", e.Retry))
		}
		c.logger.LogAttrs(context.Background(), level, e.Kind.String(), attrs...)
	}
	if c.cfg.Notify != nil {
		c.cfg.Notify(e)
	}
}
