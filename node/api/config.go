package api

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a Handler is made of.
type Config struct {
	// Backend answers. Required.
	Backend Backend
	// Logger gets failures that an answer does not show. Nil discards them.
	Logger *slog.Logger
	// Registry takes the handler's own metrics. Handlers that share one share
	// the metrics too. Nil keeps them unregistered.
	Registry prometheus.Registerer
	// Metrics answers GET /metrics. Nil makes that a 404.
	Metrics http.Handler
	// Pages answer GET and HEAD of these paths, as they are without parameters. One of "/" takes the
	// place of the built-in page of links.
	Pages map[string]http.Handler
	// Limits bound what callers may take. Zero fields mean the defaults.
	Limits Limits
}

// Limits bound what the callers of a Handler may take of the node. The zero
// value of each field stands for its default.
type Limits struct {
	// Waiters is the number of requests that may wait for something at a time,
	// event streams included: each costs a goroutine and a connection, some 30 KB. One more is refused
	// as busy. Default 20,000.
	Waiters int
	// Streams is the number of NDJSON publish streams at a time. Default 1,024.
	Streams int
	// StreamWindow is the number of lines of a stream that are on their way
	// through the node at a time; a stream reads no further meanwhile. More
	// helps throughput where commits are slow, and takes up to 64 KiB a line.
	// Default 1,024.
	StreamWindow int
	// LargeBodies bounds the bytes of bodies of drafts of more than 64 KiB that the
	// node holds at a time, until they are answered. One for which there is no room
	// in its time is refused as busy. Default 64 MiB: four arrays of the largest kind.
	LargeBodies int
	// StreamIdle is how long a publish stream may send nothing. Default 15 min.
	StreamIdle time.Duration
	// BodyTime is how long any other body may take. Default 30 s.
	BodyTime time.Duration
	// ScanTime bounds the search for a page of subjects: a page that found
	// little by then ends early, with a token for the next. Default 1 s.
	ScanTime time.Duration
}

// Defaults of Limits.
const (
	defaultWaiters      = 20_000 // twice what is tried, below the usual limits of file descriptors
	defaultStreams      = 1_024
	defaultStreamWindow = 1_024 // a few commits of a slow disk at full rate
	defaultLargeBodies  = 64 << 20
	defaultStreamIdle   = 15 * time.Minute
	defaultBodyTime     = 30 * time.Second // 16 MiB at 4.5 Mbit/s
	defaultScanTime     = time.Second
)

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *int
		value int
	}{{&l.Waiters, defaultWaiters}, {&l.Streams, defaultStreams}, {&l.StreamWindow, defaultStreamWindow}, {&l.LargeBodies, defaultLargeBodies}} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{{&l.StreamIdle, defaultStreamIdle}, {&l.BodyTime, defaultBodyTime}, {&l.ScanTime, defaultScanTime}} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return l
}

// Bounds of the contract, the same on every node.
const (
	maxURL        = 32 << 10 // bytes of a request's path and query
	maxSingleBody = 1 << 20  // bytes of a JSON object, and of a line of NDJSON
	maxArrayBody  = 16 << 20 // bytes of a JSON array
	maxArrayItems = 10_000
	maxQueryBody  = 8 << 20 // bytes of a query by POST: a cursor of 100,000 chains fits
	maxPageBytes  = 8 << 20 // bytes at which a page ends early
	maxAck        = 64
	maxWait       = 55 * time.Second // below the 60 s after which proxies cut
	defaultWait   = 5 * time.Second  // of a publish
	maxNames      = 1_000            // authorities of a filter
)
