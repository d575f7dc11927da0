package main

import (
	"context"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/tidings-mesh/tidings/node/client"
)

// client is the client of a command, once one of the endpoints serves, for as long
// as --wait says. The command's own flags have been checked before.
func (f *clientFlags) client(s *session) (*client.Client, error) {
	said := false
	asks, err := newClient(f, client.Config{Notify: func(e client.Event) {
		if e.Kind == client.PublishDeferred && !said {
			said = true // which nothing else touches: a command publishes one request at a time
			s.say("%s: %s; asking again for up to %s", e.Endpoint, plain(e.Err.Error()), f.Timeout)
		}
	}})
	if err != nil || f.Wait == 0 {
		return asks, err
	}
	// What little every node serves that is open, also if it is not ready.
	probe := client.Request{Path: "/v1/changes", Query: url.Values{"since": {"now"}}}
	f.waits(s, func() bool {
		_, err := asks.Do(s.ctx, probe)
		return !client.Transient(err)
	})
	return asks, s.ctx.Err()
}

// waitEvery is how often --wait looks.
const waitEvery = 100 * time.Millisecond

// waits looks until it is done, --wait is over, or the command is interrupted.
func (f *clientFlags) waits(s *session, look func() (done bool)) {
	for end := time.Now().Add(f.Wait); !look() && time.Until(end) > 0; {
		if sleep(s.ctx, waitEvery) != nil {
			return
		}
	}
}

// newClient begins with the endpoint that is named first, so that what a script asks
// for comes from where it says. The rest of its configuration is cfg.
func newClient(f *clientFlags, cfg client.Config) (*client.Client, error) {
	if f.Timeout < 0 {
		return nil, usagef("--timeout: want 0 or more, got %s", f.Timeout)
	}
	if f.Wait < 0 {
		return nil, usagef("--wait: want 0 or more, got %s", f.Wait)
	}
	token, err := readToken(f.TokenFile)
	if err != nil {
		return nil, err
	}
	cfg.Endpoints, cfg.InOrder, cfg.Timeout, cfg.Token = f.Endpoints, true, f.Timeout, token
	cfg.MaxAnswer, cfg.UserAgent = maxAnswer, "tidings/"+build().Version
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
