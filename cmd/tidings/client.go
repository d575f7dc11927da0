package main

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/tidings-mesh/tidings/node/client"
)

// newClient is the client of a command. It begins with the endpoint that is named
// first, so that what a script asks for comes from where it says.
func newClient(f *clientFlags) (*client.Client, error) { return newClientOver(f, nil) }

// newClientOver is the same over a transport; nil is one of its own.
func newClientOver(f *clientFlags, over http.RoundTripper) (*client.Client, error) {
	if f.Timeout < 0 {
		return nil, usagef("--timeout: want 0 or more, got %s", f.Timeout)
	}
	token, err := readToken(f.TokenFile)
	if err != nil {
		return nil, err
	}
	cfg := client.Config{
		Endpoints: f.Endpoints, InOrder: true, Timeout: f.Timeout, Token: token,
		MaxAnswer: maxAnswer, UserAgent: "tidings/" + build().Version, Transport: over,
	}
	if f.Timeout == 0 {
		cfg.Timeout = -1
	}
	if err := cfg.Validate(); err != nil {
		return nil, usagef("--endpoints: %w", err)
	}
	return client.New(cfg), nil
}

// maxAnswer bounds one answer. A chain page or a batch of the feed is a few
// megabytes; a history is as long as its subject was written to.
const maxAnswer = 1 << 30

// readToken reads a bearer token from a file, "" for no file.
func readToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", usagef("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r > unicode.MaxASCII || r <= ' ' || r == 0x7f }) {
		return "", usagef("--token-file %s: want one token and nothing else", path)
	}
	return token, nil
}

// get asks for a path and decodes the answer's JSON into v, of which the rest of
// the answer is still to be had.
func get(ctx context.Context, c *client.Client, path string, query url.Values, v any) (*client.Answer, error) {
	a, err := c.Do(ctx, client.Request{Path: path, Query: query})
	if err != nil {
		return nil, err
	}
	return a, a.Decode(v)
}

// subjectPath is the path of a call about a subject. Its "/" are escaped, so
// that nothing on the way takes the segments for a path's.
func subjectPath(call, subject string) (string, error) {
	if subject == "" {
		return "", usagef("want a subject, got an empty argument")
	}
	return "/v1/" + call + "/" + url.PathEscape(subject), nil
}

const (
	// What failed is tried again after the first to the last of these, doubling.
	retryFirst = 50 * time.Millisecond
	retryLast  = time.Second
)

// sleep waits, but not past the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
