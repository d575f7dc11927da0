package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/api/reply"
	"github.com/tidings-mesh/tidings/node/client"
)

// remoteOutlet is a node that runs elsewhere, asked by HTTP. A batch is one
// request.
type remoteOutlet struct {
	*feeder
	authority string
	endpoint  string
	asks      *client.Client
	hold      time.Duration // for which the node may hold an answer
	addr      string        // the node's in its mesh
	reads     chan struct{} // a place for each question under way
}

const (
	// remoteReads is how many questions one node is asked at a time.
	remoteReads = 16
	// remoteHold is how long a node is asked to hold an answer.
	remoteHold = 10 * time.Second
)

// parseReplayEndpoints reads AUTHORITY=URL.
func parseReplayEndpoints(list []string) (map[string]string, error) {
	all := make(map[string]string, len(list))
	for _, text := range list {
		i := strings.LastIndexByte(text, '=')
		if i < 0 {
			return nil, usagef("--endpoint %q: want AUTHORITY=URL", text)
		}
		authority := text[:i]
		if err := chain.CheckName(authority); err != nil {
			return nil, usagef("--endpoint %q: authority: %w", text, err)
		}
		e, err := client.ParseEndpoint(text[i+1:])
		if err != nil {
			return nil, usagef("--endpoint %q: %w", text, err)
		}
		if _, again := all[authority]; again {
			// Keys belong to a node, so a second one would publish all again.
			return nil, usagef("--endpoint: %s is given twice", plain(authority))
		}
		all[authority] = e
	}
	return all, nil
}

// dialReplay finds out whether a node is there and writes for the authority,
// and begins to send. close ends it.
func dialReplay(ctx context.Context, authority, e string, flags clientFlags) (*remoteOutlet, error) {
	flags.Endpoints = []string{e}
	asks, err := newClient(&flags, client.Config{})
	if err != nil {
		return nil, err
	}
	o := &remoteOutlet{authority: authority, endpoint: e, asks: asks, hold: remoteHold, reads: make(chan struct{}, remoteReads)}
	if flags.Timeout > 0 {
		o.hold = min(o.hold, flags.Timeout)
	}
	var m reply.Mesh
	if err := o.get(ctx, "/v1/mesh", nil, 0, &m); err != nil {
		return nil, err
	}
	if m.Authority != authority {
		return nil, fmt.Errorf("--endpoint %s=%s: that node writes for %s", plain(authority), e, plain(m.Authority))
	}
	for _, member := range m.Members {
		if member.Origin == m.Origin {
			o.addr = member.Addr
		}
	}
	o.feeder = &feeder{deliver: o.deliver, patience: flags.Timeout}
	o.start()
	return o, nil
}

func (o *remoteOutlet) close() {
	o.feeder.close()
	o.asks.Close()
}

func (o *remoteOutlet) name() string { return o.endpoint }

// get asks the node and decodes its answer. The node may hold it for a while.
func (o *remoteOutlet) get(ctx context.Context, path string, query url.Values, hold time.Duration, v any) error {
	select {
	case o.reads <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-o.reads }()
	a, err := o.asks.Do(ctx, client.Request{Path: path, Query: query, Wait: hold})
	if err != nil {
		return err
	}
	return a.Decode(v)
}

func (o *remoteOutlet) await(ctx context.Context, id chain.ID) error {
	// The question that needs least of an answer, and yet waits.
	query := url.Values{"since": {"now"}, "limit": {"1"}, "at_least": {id.String()}, "wait": {o.hold.String()}}
	for {
		var b client.Batch
		if err := o.get(ctx, "/v1/changes", query, o.hold, &b); !errors.Is(err, client.ErrBehind) {
			return err
		}
	}
}

func (o *remoteOutlet) root(ctx context.Context) (string, error) {
	var m reply.Mesh
	if err := o.get(ctx, "/v1/mesh", nil, 0, &m); err != nil {
		return "", err
	}
	return m.Root.String(), nil
}

func (o *remoteOutlet) status(ctx context.Context, subject string) ([]byte, error) {
	path, err := subjectPath("subjects", subject)
	if err != nil {
		return nil, err
	}
	var v reply.View
	err = o.get(ctx, path, nil, 0, &v)
	if errors.Is(err, client.ErrNotFound) {
		return nil, nil
	}
	return v.Status, err
}

// deliver publishes lines in one request. Where an answer was lost, they are
// sent again; their keys make that safe.
func (o *remoteOutlet) deliver(ctx context.Context, lines []*replayLine) ([]replayAnswer, error) {
	var body []byte
	for _, l := range lines {
		body = fmt.Appendf(body, `{"subject":%s,"authority":%s,"key":%s,"delta":%s}`+"\n",
			quoteJSON(l.subject), quoteJSON(o.authority), quoteJSON(l.key), l.delta)
	}
	a, err := o.asks.Deliver(ctx, client.Request{
		Method: http.MethodPost, Path: "/v1/updates", Header: http.Header{"Content-Type": {"application/x-ndjson"}}, Body: body,
	})
	if err != nil {
		return nil, err
	}
	answers := make([]replayAnswer, 0, len(lines))
	for line := range bytes.Lines(a.Body) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		answer, err := readReplayAnswer(line)
		if err != nil {
			return nil, fmt.Errorf("%s: answer is not what a node gives: %w", a.Endpoint, err)
		}
		answers = append(answers, answer)
	}
	if len(answers) != len(lines) {
		return nil, fmt.Errorf("%s: %d results for %d lines", a.Endpoint, len(answers), len(lines))
	}
	return answers, nil
}

// readReplayAnswer reads a receipt, or the problem in its place. A line that
// is known by its key is told from a new one by the status; one that changes
// nothing says only that, however often it comes.
func readReplayAnswer(text []byte) (a replayAnswer, err error) {
	var r reply.Receipt
	if err := json.Unmarshal(text, &r); err != nil {
		return a, err
	}
	if r.Status >= 300 {
		problem := &client.Problem{}
		if err := json.Unmarshal(text, problem); err != nil {
			return a, err
		}
		if client.Transient(problem) && !errors.Is(problem, client.ErrStoreFailed) {
			a.later = problem
		} else {
			a.refused = problem
		}
		return a, nil
	}
	a.unchanged, a.repeated = r.Unchanged, !r.Unchanged && r.Status == http.StatusOK
	a.id = r.ID
	return a, err
}

// remotes are the nodes that were named, by authority.
type remotes map[string]*remoteOutlet

// dialAll asks all of them at once, so that each that is wrong is named.
func dialAll(ctx context.Context, endpoints map[string]string, flags clientFlags) (remotes, error) {
	var mu sync.Mutex // protects all and errs
	all, errs := remotes{}, []error(nil)
	var wg sync.WaitGroup
	for authority, e := range endpoints {
		wg.Go(func() {
			o, err := dialReplay(ctx, authority, e, flags)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			all[authority] = o
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		all.close()
		return nil, errors.Join(errs...)
	}
	return all, nil
}

func (r remotes) close() {
	for _, o := range r {
		o.close()
	}
}
