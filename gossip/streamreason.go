package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// Reason says why a connection was refused or a stream ended: the label of a
// counter, and the key by which log lines are held to one a minute.
type Reason uint8

// The reasons, in the order in which a connection meets them.
const (
	ReasonSilent       Reason = iota // sent no first byte in time
	ReasonGarbage                    // speaks neither membership nor TLS
	ReasonBusy                       // over a limit of connections, handshakes or streams
	ReasonUnreachable                // could not be dialled
	ReasonHandshake                  // TLS or hello broken off, or too slow
	ReasonCertificate                // not one certificate with an Ed25519 key
	ReasonVersion                    // speaks another version of the protocol
	ReasonMeshKey                    // holds another mesh key, or none, or the only one
	ReasonIdentity                   // another node than the one dialled
	ReasonSelf                       // this very node
	ReasonTwin                       // another node with this node's key
	ReasonDuplicate                  // a stream to that peer is open and stays
	ReasonStale                      // an earlier start of a peer that has been restarted
	ReasonStarting                   // one end does not serve yet
	ReasonFrame                      // a frame over its bound, or malformed
	ReasonIdle                       // nothing arrived for StreamIdle
	ReasonStalled                    // did not read for StreamWriteTimeout, or TCP gave up
	ReasonLost                       // the connection broke
	ReasonSuperseded                 // replaced by a newer stream to the same peer
	ReasonExpired                    // reached its age limit, to be opened anew
	ReasonForeignEntry               // a member whose name or tags say nothing known
	reasonCount
)

var reasonNames = [reasonCount]string{
	"silent", "garbage", "busy", "unreachable", "handshake", "certificate", "version", "mesh_key", "identity",
	"self", "twin", "duplicate", "stale", "starting", "frame", "idle", "stalled", "lost", "superseded", "expired", "foreign_member",
}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// expected tells the reasons that belong to a healthy mesh, which are counted
// and logged for debugging only.
func (r Reason) expected() bool {
	switch r {
	case ReasonDuplicate, ReasonStale, ReasonStarting, ReasonSuperseded, ReasonExpired, ReasonSelf, ReasonLost:
		return true
	default:
		return false
	}
}

// StreamError is why a connection was refused or a stream ended.
type StreamError struct {
	Reason Reason
	Err    error // the detail
}

func (e *StreamError) Error() string { return e.Reason.String() + ": " + e.Err.Error() }
func (e *StreamError) Unwrap() error { return e.Err }

func streamFailure(r Reason, format string, args ...any) *StreamError {
	return &StreamError{Reason: r, Err: fmt.Errorf(format, args...)}
}

// reasonOf finds the reason in err, or gives the fallback.
func reasonOf(err error, fallback Reason) Reason {
	if e, ok := errors.AsType[*StreamError](err); ok {
		return e.Reason
	}
	return fallback
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// reporter counts failures and logs each reason at most once in an interval:
// whoever fails us a thousand times a second must not fill a disk with lines.
type reporter struct {
	log    *slog.Logger
	meters *Meters

	mu   sync.Mutex // protects seen
	seen [reasonCount]struct {
		last    time.Time
		skipped int
	}
}

// reportEvery is the least time between two log lines for one reason.
const reportEvery = time.Minute

func newReporter(log *slog.Logger, meters *Meters) *reporter {
	return &reporter{log: log, meters: meters}
}

// report counts a failure and perhaps logs it. addr is the peer's address or "".
func (r *reporter) report(reason Reason, addr string, err error) {
	r.meters.failures[reason].Add(1)
	level := slog.LevelWarn
	if reason.expected() {
		level = slog.LevelDebug
	}
	now := time.Now()
	r.mu.Lock()
	s := &r.seen[reason]
	if !s.last.IsZero() && now.Sub(s.last) < reportEvery {
		s.skipped++
		r.mu.Unlock()
		return
	}
	skipped := s.skipped
	s.last, s.skipped = now, 0
	r.mu.Unlock()
	r.log.LogAttrs(context.Background(), level, "peer connection failed",
		slog.String("reason", reason.String()), slog.String("peer_addr", addr),
		slog.Any("error", err), slog.Int("not_logged", skipped))
}
