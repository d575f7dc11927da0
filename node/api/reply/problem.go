package reply

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/tidings-mesh/tidings/chain"
)

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

// FieldPath is the field of a CodeNotFound that is about the path itself, not about
// what is named in it: there is no such call.
const FieldPath = "path"

// Progress is how far a node's first catch-up is, in updates.
type Progress struct {
	Have uint64 `json:"have"`
	Want uint64 `json:"want"`
}

// Error tells the code, what is wrong, and in which field.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = http.StatusText(p.Status)
	}
	if p.Code != "" {
		text = string(p.Code) + ": " + text
	} else {
		text = "status " + strconv.Itoa(p.Status) + ": " + text
	}
	if p.Field != "" && !strings.Contains(text, p.Field) {
		text += " (field " + p.Field + ")"
	}
	return text
}

// Unwrap is the code, for errors.Is.
func (p *Problem) Unwrap() error { return p.Code }

// AppendMembers appends the problem's members without braces. The status comes
// first, and the line with it, so that an item of a list begins the same
// whether it is an outcome or a problem.
func (p *Problem) AppendMembers(dst []byte) []byte {
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
		dst = p.Progress.AppendJSON(dst)
	}
	return dst
}

// AppendJSON appends the problem as one JSON object.
func (p *Problem) AppendJSON(dst []byte) []byte {
	return append(p.AppendMembers(append(dst, '{')), '}')
}

// AppendJSON appends the progress as one JSON object.
func (p Progress) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"have":`...)
	dst = strconv.AppendUint(dst, p.Have, 10)
	dst = append(dst, `,"want":`...)
	dst = strconv.AppendUint(dst, p.Want, 10)
	return append(dst, '}')
}
