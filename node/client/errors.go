package client

import (
	"errors"
	"net/http"
	"strings"

	"github.com/tidings-mesh/tidings/node/api/reply"
)

// Problem is a node's refusal: its HTTP status, code, what is wrong, and the
// field or line where there is one. Get it by errors.As; errors.Is tells its code,
// as in errors.Is(err, client.ErrGone). One without a code is not a node's, but of
// something in front of it.
type Problem = reply.Problem

// A Problem is one of these, by its code. docs/http.md says when.
var (
	ErrBadRequest           error = reply.CodeBadRequest
	ErrBadDelta             error = reply.CodeBadDelta
	ErrBadSubject           error = reply.CodeBadSubject
	ErrBadCursor            error = reply.CodeBadCursor // damaged, or made with another filter
	ErrUnauthorized         error = reply.CodeUnauthorized
	ErrNotAllowed           error = reply.CodeNotAllowed
	ErrNotFound             error = reply.CodeNotFound
	ErrMethodNotAllowed     error = reply.CodeMethodNotAllowed
	ErrNotAcceptable        error = reply.CodeNotAcceptable
	ErrUnknownDependency    error = reply.CodeUnknownDependency
	ErrWrongAuthority       error = reply.CodeWrongAuthority
	ErrGone                 error = reply.CodeGone // the cursor is below what is kept; Problem.Floor is not
	ErrTooLarge             error = reply.CodeTooLarge
	ErrUnsupportedMediaType error = reply.CodeUnsupportedMediaType
	ErrKeyReused            error = reply.CodeKeyReused
	ErrBusy                 error = reply.CodeBusy
	ErrInternal             error = reply.CodeInternal
	ErrBehind               error = reply.CodeBehind // AtLeast is not applied there yet
	ErrNotReady             error = reply.CodeNotReady
	ErrStoreFailed          error = reply.CodeStoreFailed
	ErrClockSkew            error = reply.CodeClockSkew
	ErrClosing              error = reply.CodeClosing
)

// What is wrong on this side, or in between.
var (
	// ErrConfig is wrapped by what every call returns where the Config, or an
	// option, is wrong.
	ErrConfig = errors.New("client configuration")
	// ErrUnreachable is an [UnreachableError].
	ErrUnreachable = errors.New("no node answered")
	// ErrInDoubt is an [UnreachableError] of a publish that may have happened.
	ErrInDoubt = errors.New("it may have been published")
	// ErrNotANode is wrapped where something answered, but not what a node would.
	ErrNotANode = errors.New("answer is not what a node gives")
	// ErrDiverged ends a Follow whose roll-up differs from the node's view though
	// both are of the same updates, also after it was made anew.
	ErrDiverged = errors.New("roll-up differs from the node's view")
	// ErrIncomplete is wrapped where a subject cannot be rolled up here because
	// the node has folded its older updates away. Ask for its View.
	ErrIncomplete = errors.New("history is not complete")
)

// UnreachableError says of each endpoint why it did not answer.
type UnreachableError struct {
	Lost []error
	// Sent: one of them may have got the request.
	Sent bool
}

func (e *UnreachableError) Error() string {
	parts := make([]string, 0, len(e.Lost))
	for _, err := range e.Lost {
		parts = append(parts, err.Error())
	}
	return ErrUnreachable.Error() + ": " + strings.Join(parts, "; ")
}

// Is tells ErrUnreachable and, where something was sent, ErrInDoubt.
func (e *UnreachableError) Is(target error) bool {
	return target == ErrUnreachable || target == ErrInDoubt && e.Sent
}

// Unwrap is why each endpoint did not answer.
func (e *UnreachableError) Unwrap() []error { return e.Lost }

// Transient reports whether an error may be gone in a moment, by itself or at
// another endpoint: none answered, or what did was busy, failing, or no node.
func Transient(err error) bool {
	var p *Problem
	switch {
	case errors.Is(err, ErrUnreachable), errors.Is(err, ErrNotANode):
		return true
	case !errors.As(err, &p):
		return false
	case p.Code == "":
		// A proxy whose node is away may say anything; but who is not let in now
		// will not be let in later.
		return p.Status != http.StatusUnauthorized && p.Status != http.StatusForbidden && p.Status != http.StatusProxyAuthRequired
	}
	return p.Status == http.StatusTooManyRequests || p.Status >= http.StatusInternalServerError
}
