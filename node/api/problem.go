package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/tidings-mesh/tidings/chain"
)

// Code names a kind of error for ever. Clients branch on it, never on a text.
type Code string

// The codes, each with its HTTP status in statusOf.
const (
	CodeBadRequest           Code = "bad_request"
	CodeBadDelta             Code = "bad_delta"
	CodeBadSubject           Code = "bad_subject"
	CodeBadCursor            Code = "bad_cursor"
	CodeUnauthorized         Code = "unauthorized"
	CodeNotAllowed           Code = "not_allowed"
	CodeNotFound             Code = "not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeNotAcceptable        Code = "not_acceptable"
	CodeUnknownDependency    Code = "unknown_dependency"
	CodeWrongAuthority       Code = "wrong_authority"
	CodeGone                 Code = "gone"
	CodeTooLarge             Code = "too_large"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeKeyReused            Code = "key_reused"
	CodeBusy                 Code = "busy"
	CodeInternal             Code = "internal"
	CodeBehind               Code = "behind"
	CodeNotReady             Code = "not_ready"
	CodeStoreFailed          Code = "store_failed"
	CodeClockSkew            Code = "clock_skew"
	CodeClosing              Code = "closing"
)

func statusOf(c Code) int {
	switch c {
	case CodeBadRequest, CodeBadDelta, CodeBadSubject, CodeBadCursor:
		return http.StatusBadRequest
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeNotAllowed:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case CodeNotAcceptable:
		return http.StatusNotAcceptable
	case CodeUnknownDependency, CodeWrongAuthority:
		return http.StatusConflict
	case CodeGone:
		return http.StatusGone
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeUnsupportedMediaType:
		return http.StatusUnsupportedMediaType
	case CodeKeyReused:
		return http.StatusUnprocessableEntity
	case CodeBusy:
		return http.StatusTooManyRequests
	case CodeBehind, CodeNotReady, CodeStoreFailed, CodeClockSkew, CodeClosing:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// retryLater tells the codes that may pass by themselves soon.
func retryLater(c Code) bool {
	return c == CodeBusy || c == CodeBehind || c == CodeNotReady || c == CodeClosing
}

// Problem is an error as it is answered: application/problem+json by RFC 9457
// with type "about:blank" and the status's phrase as title. Decode one with
// encoding/json.
type Problem struct {
	Status int    `json:"status"`
	Code   Code   `json:"code"`
	Detail string `json:"detail"`
	// Field names the parameter or field that is wrong, Line the line of an
	// NDJSON body, from 1. Empty and 0 where there is none.
	Field string `json:"field,omitempty"`
	Line  int    `json:"line,omitempty"`
	// Reason and Progress come with a node that is not ready.
	Reason   string    `json:"reason,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	// Floor comes with CodeGone: the cursor from which the feed still goes on.
	Floor string `json:"floor,omitempty"`
}

// Progress is how far a node's first catch-up is, in updates.
type Progress struct {
	Have uint64 `json:"have"`
	Want uint64 `json:"want"`
}

// GoneError is returned by Backend.Changes for a cursor below what is kept.
type GoneError struct{ Floor chain.Cursor }

func (e *GoneError) Error() string { return "the cursor is below what this node keeps" }

func newProblem(c Code, field, detail string) *Problem {
	return &Problem{Status: statusOf(c), Code: c, Field: field, Detail: detail}
}

func badRequest(field, detail string) *Problem { return newProblem(CodeBadRequest, field, detail) }

func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

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

// appendMembers appends the problem's members without braces. The status comes
// first, and the line with it, so that an item of a list begins the same
// whether it is an outcome or a problem.
func (p *Problem) appendMembers(dst []byte) []byte {
	dst = append(dst, `"status":`...)
	dst = strconv.AppendInt(dst, int64(p.Status), 10)
	if p.Line > 0 {
		dst = append(dst, `,"line":`...)
		dst = strconv.AppendInt(dst, int64(p.Line), 10)
	}
	dst = append(dst, `,"type":"about:blank","title":`...)
	dst = chain.AppendJSONString(dst, http.StatusText(p.Status))
	dst = append(dst, `,"code":`...)
	dst = chain.AppendJSONString(dst, string(p.Code))
	dst = append(dst, `,"detail":`...)
	dst = chain.AppendJSONString(dst, p.Detail)
	for _, m := range [...]struct{ name, value string }{{"field", p.Field}, {"reason", p.Reason}, {"floor", p.Floor}} {
		if m.value != "" {
			dst = append(dst, ',', '"')
			dst = append(dst, m.name...)
			dst = append(dst, `":`...)
			dst = chain.AppendJSONString(dst, m.value)
		}
	}
	if p.Progress != nil {
		dst = append(dst, `,"progress":`...)
		dst = appendProgress(dst, *p.Progress)
	}
	return dst
}

// AppendJSON appends the problem as one JSON object.
func (p *Problem) AppendJSON(dst []byte) []byte {
	return append(p.appendMembers(append(dst, '{')), '}')
}

func appendProgress(dst []byte, p Progress) []byte {
	dst = append(dst, `{"have":`...)
	dst = strconv.AppendUint(dst, p.Have, 10)
	dst = append(dst, `,"want":`...)
	dst = strconv.AppendUint(dst, p.Want, 10)
	return append(dst, '}')
}
