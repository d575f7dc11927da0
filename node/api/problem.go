package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/api/reply"
)

// What is answered has its types in package reply, which clients share.
type (
	Code     = reply.Code
	Problem  = reply.Problem
	Progress = reply.Progress
)

// The codes.
const (
	CodeBadRequest           = reply.CodeBadRequest
	CodeBadDelta             = reply.CodeBadDelta
	CodeBadSubject           = reply.CodeBadSubject
	CodeBadCursor            = reply.CodeBadCursor
	CodeUnauthorized         = reply.CodeUnauthorized
	CodeNotAllowed           = reply.CodeNotAllowed
	CodeNotFound             = reply.CodeNotFound
	CodeMethodNotAllowed     = reply.CodeMethodNotAllowed
	CodeNotAcceptable        = reply.CodeNotAcceptable
	CodeUnknownDependency    = reply.CodeUnknownDependency
	CodeWrongAuthority       = reply.CodeWrongAuthority
	CodeGone                 = reply.CodeGone
	CodeTooLarge             = reply.CodeTooLarge
	CodeUnsupportedMediaType = reply.CodeUnsupportedMediaType
	CodeKeyReused            = reply.CodeKeyReused
	CodeBusy                 = reply.CodeBusy
	CodeInternal             = reply.CodeInternal
	CodeBehind               = reply.CodeBehind
	CodeNotReady             = reply.CodeNotReady
	CodeStoreFailed          = reply.CodeStoreFailed
	CodeClockSkew            = reply.CodeClockSkew
	CodeClosing              = reply.CodeClosing
)

// GoneError is returned by Backend.Changes for a cursor below what is kept.
type GoneError struct{ Floor chain.Cursor }

func (e *GoneError) Error() string { return "the cursor is below what this node keeps" }

func newProblem(c Code, field, detail string) *Problem {
	return &Problem{Status: c.Status(), Code: c, Field: field, Detail: detail}
}

func badRequest(field, detail string) *Problem { return newProblem(CodeBadRequest, field, detail) }

// problemOf says how an error is answered. What it does not know is internal:
// the caller logs the error, and the answer does not show it.
func problemOf(err error) *Problem {
	var (
		problem *Problem
		draft   *chain.DraftError
		missing *chain.DependencyError
		gone    *GoneError
		tooLong *http.MaxBytesError
	)
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &draft):
		return draftProblem(draft)
	case errors.As(err, &missing):
		return newProblem(CodeUnknownDependency, "deps", err.Error())
	case errors.As(err, &gone):
		p := newProblem(CodeGone, "since", gone.Error())
		p.Floor = gone.Floor.String()
		return p
	case errors.As(err, &tooLong):
		return newProblem(CodeTooLarge, "", "the body is over "+strconv.FormatInt(tooLong.Limit, 10)+" bytes")
	case errors.Is(err, chain.ErrSubject):
		return newProblem(CodeBadSubject, "subject", err.Error())
	case errors.Is(err, chain.ErrDelta):
		return newProblem(deltaCode(err), "delta", err.Error())
	}
	for _, known := range sentinels {
		if errors.Is(err, known.err) {
			return newProblem(known.code, known.field, err.Error())
		}
	}
	return newProblem(CodeInternal, "", "the node failed; its log says how")
}

func draftProblem(e *chain.DraftError) *Problem {
	var missing *chain.DependencyError
	code := CodeBadRequest
	switch {
	case errors.Is(e.Err, chain.ErrSubject):
		code = CodeBadSubject
	case errors.Is(e.Err, chain.ErrDelta):
		code = deltaCode(e.Err)
	case errors.Is(e.Err, chain.ErrTooLarge):
		code = CodeTooLarge
	case errors.As(e.Err, &missing):
		code = CodeUnknownDependency
	case errors.Is(e.Err, chain.ErrReactions):
		code = CodeNotAllowed
	case errors.Is(e.Err, chain.ErrKeyReused):
		code = CodeKeyReused
	}
	return newProblem(code, e.Field, e.Error())
}

// deltaCode tells a delta of the wrong shape from one that is not sound JSON: a
// duplicate key is a bad request wherever it stands.
func deltaCode(err error) Code {
	var delta *chain.DeltaError
	if errors.As(err, &delta) && (delta.Fault == chain.DeltaSyntax || delta.Fault == chain.DeltaDuplicate) {
		return CodeBadRequest
	}
	return CodeBadDelta
}

var sentinels = []struct {
	err   error
	code  Code
	field string
}{
	{chain.ErrCursor, CodeBadCursor, "since"},
	{chain.ErrKeyReused, CodeKeyReused, "key"},
	{chain.ErrTooLarge, CodeTooLarge, ""},
	{chain.ErrReactions, CodeNotAllowed, "cause"},
	{chain.ErrStoreFailed, CodeStoreFailed, ""},
	{chain.ErrClosed, CodeClosing, ""},
	{chain.ErrFrozen, CodeNotReady, ""},
	{ErrNotFound, CodeNotFound, ""},
	{ErrBehind, CodeBehind, ""},
	{ErrBusy, CodeBusy, ""},
	{ErrNotReady, CodeNotReady, ""},
	{ErrClockSkew, CodeClockSkew, ""},
	{ErrAlive, CodeNotAllowed, ""},
}

// clientGone reports whether an error only says that nobody reads the answer.
func clientGone(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}
