package chain

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Draft is a status change that a caller wants on this node's chain.
type Draft struct {
	Subject string
	// Delta is a JSON Merge Patch (RFC 7396) whose top level is an object.
	Delta []byte
	// Deps are updates that this one depends on, besides those that the node
	// finds by itself. All must be applied here. Repeated ones and those of the
	// own chain are dropped then, as each update of a chain depends on those
	// before it. At most MaxDeps.
	Deps []ID
	// Key makes a retry safe: the same key with the same content is published
	// once within KeyLife. The content is the subject, the delta as a value, the
	// cause, the hook, and the deps that are not dropped. Empty for none. At
	// most MaxKey bytes.
	Key string
	// Cause is the update that this one answers, and Hook the name of the
	// reaction that made it. Both or neither.
	Cause ID
	Hook  string
}

// Receipt says what became of a draft.
type Receipt struct {
	// ID is the update that holds the draft's content: the new one, or the one
	// published earlier under the same key, or, if Unchanged, the authority's
	// newest update of the subject (zero if it has none).
	ID ID
	// Subject, HLC and Deps are those of that update. Deps holds what the node
	// found too.
	Subject string
	HLC     HLC
	Deps    []ID
	// Unchanged: the delta would alter nothing, so no update was made.
	Unchanged bool
	// Repeated: the key was known with this content, so no update was made.
	Repeated bool
}

// DraftError says which field of a draft is wrong. It wraps ErrSubject,
// ErrDelta, ErrTooLarge, ErrDraft, ErrKeyReused, ErrReactions, or a
// DependencyError.
type DraftError struct {
	Field string // as the HTTP interface names it: "subject", "delta", "deps", ...; "state" of PrepareState
	Err   error
}

func (e *DraftError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *DraftError) Unwrap() error { return e.Err }

// Reasons to refuse a draft, besides ErrSubject and ErrDelta.
var (
	ErrTooLarge  = errors.New("too large")
	ErrDraft     = errors.New("invalid draft")
	ErrKeyReused = errors.New("idempotency key was used with other content")
	// ErrFrozen is wrapped once this node's own chain was frozen: it publishes
	// again, under a new origin, after its next start.
	ErrFrozen = errors.New("chain is frozen")
	// ErrReactions is wrapped when a chain of reactions grows too long.
	ErrReactions = errors.New("chain of reactions is too long")
)

// DependencyError names the dependencies of a draft that are not applied here.
type DependencyError struct{ IDs []ID }

func (e *DependencyError) Error() string {
	const most = 8 // of up to MaxDeps: the text is for people
	var b strings.Builder
	b.WriteString("not applied here:")
	for i, id := range e.IDs {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(e.IDs)-most)
			break
		}
		b.WriteString(" " + id.String())
	}
	return b.String()
}

const (
	// MaxKey bounds an idempotency key, in bytes.
	MaxKey = 512
	// KeyLife is how long a key is remembered.
	KeyLife = 24 * time.Hour
)
