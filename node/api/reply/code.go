package reply

import "net/http"

// Code names a kind of error for ever. Clients branch on it, never on a text.
// It is an error itself, so that errors.Is tells a Problem by its code.
type Code string

// Error is the code's name.
func (c Code) Error() string { return string(c) }

// The codes, each with its HTTP status in Status.
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

// Status is the HTTP status that a code is answered with.
func (c Code) Status() int {
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

// Later reports whether the reason may pass by itself soon: the answer has a
// Retry-After.
func (c Code) Later() bool {
	return c == CodeBusy || c == CodeBehind || c == CodeNotReady || c == CodeClosing
}
