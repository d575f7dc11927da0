package main

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// problemError is a node's refusal (RFC 9457).
type problemError struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Field  string `json:"field"`
	Line   int    `json:"line"`
}

func (e *problemError) Error() string {
	text := plain(e.Detail)
	if text == "" {
		text = plain(e.Title)
	}
	if e.Code != "" {
		text = plain(e.Code) + ": " + text
	} else {
		text = fmt.Sprintf("status %d: %s", e.Status, text)
	}
	if e.Field != "" && !strings.Contains(text, e.Field) {
		text += " (field " + plain(e.Field) + ")"
	}
	return text
}

// unreachableError says why no node answered.
type unreachableError struct {
	lost []error
	// sent: one of them may have got the request.
	sent bool
}

func (e *unreachableError) Error() string {
	parts := make([]string, 0, len(e.lost))
	for _, err := range e.lost {
		parts = append(parts, err.Error())
	}
	return "no node answered: " + strings.Join(parts, "; ")
}

// problem is the refusal that an answer holds, nil if it holds none.
func (a *answer) problem() error {
	if a.status < 300 || a.status == http.StatusNotModified {
		return nil
	}
	p := &problemError{}
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if kind != "application/problem+json" || json.Unmarshal(a.body, p) != nil {
		// Not a node, or something in front of one.
		p = &problemError{Title: fmt.Sprintf("%s from %s", http.StatusText(a.status), a.endpoint)}
	}
	p.Status = a.status
	return p
}

// later reports whether a node asks to be asked again.
func (a *answer) later() bool {
	p, ok := a.problem().(*problemError)
	return ok && (p.Code == "busy" || p.Code == "not_ready" || p.Code == "closing")
}

// retryAfter is how long a node asks to be left alone.
func (a *answer) retryAfter() time.Duration {
	seconds, err := strconv.ParseUint(a.header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
