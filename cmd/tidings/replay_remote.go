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
)

// remoteOutlet is a node that runs elsewhere, asked by HTTP. One goroutine
// sends it what waits, as lines of one request; while that is on its way the
// next ones gather.
type remoteOutlet struct {
	authority string
	caller    *caller // copied for each use: one is not safe for concurrent use
	addr      string  // the node's in its mesh

	queue chan *remoteLine
	reads chan struct{} // a place for each question under way
	stop  context.CancelFunc
	done  chan struct{}
}

// remoteLine is a line on its way to a node, with a place for the answer.
type remoteLine struct {
	body   []byte
	answer chan remoteAnswer // has room for one
}

type remoteAnswer struct {
	receipt receiptJSON
	problem *problemError // in place of the receipt
	err     error         // of the node, not of the line
}

const (
	// remoteReads is how many questions one node is asked at a time.
	remoteReads = 16
	// remoteHold is how long a node is asked to hold an answer.
	remoteHold = 10 * time.Second
)

// parseReplayEndpoints reads AUTHORITY=URL.
func parseReplayEndpoints(list []string) (map[string]endpoint, error) {
	all := make(map[string]endpoint, len(list))
	for _, text := range list {
		i := strings.LastIndexByte(text, '=')
		if i < 0 {
			return nil, usagef("--endpoint %q: want AUTHORITY=URL", text)
		}
		authority := text[:i]
		if err := chain.CheckName(authority); err != nil {
			return nil, usagef("--endpoint %q: authority: %w", text, err)
		}
		e, err := parseEndpoint(text[i+1:])
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
func dialReplay(ctx context.Context, authority string, e endpoint, flags clientFlags) (*remoteOutlet, error) {
	flags.Endpoints = []string{string(e)}
	c, err := newCaller(&flags)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = remoteReads + 1
	c.http.Transport = transport
	o := &remoteOutlet{
		authority: authority, caller: c,
		queue: make(chan *remoteLine, maxBatchLines), reads: make(chan struct{}, remoteReads), done: make(chan struct{}),
	}
	var m meshJSON
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
	// Not the caller's context: what is on its way when that ends is finished.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	o.stop = stop
	go o.send(work)
	return o, nil
}

func (o *remoteOutlet) close() {
	o.stop()
	<-o.done
	o.caller.http.CloseIdleConnections()
}

func (o *remoteOutlet) name() string { return string(o.caller.endpoints[0]) }

// get asks the node and decodes its answer. The node may hold it for a while.
func (o *remoteOutlet) get(ctx context.Context, path string, query url.Values, hold time.Duration, v any) error {
	select {
	case o.reads <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-o.reads }()
	c := *o.caller
	a, err := c.do(ctx, request{path: path, query: query, wait: hold})
	if err != nil {
		return err
	}
	return a.decode(v)
}

func (o *remoteOutlet) await(ctx context.Context, id chain.ID) error {
	// The question that needs least of an answer, and yet waits.
	query := url.Values{"since": {"now"}, "limit": {"1"}, "at_least": {id.String()}}
	for {
		hold := remoteHold
		if o.caller.timeout > 0 {
			hold = min(hold, o.caller.timeout)
		}
		query.Set("wait", hold.String())
		var b batch
		err := o.get(ctx, "/v1/changes", query, hold, &b)
		var problem *problemError
		if !errors.As(err, &problem) || problem.Code != "behind" {
			return err
		}
	}
}

func (o *remoteOutlet) root(ctx context.Context) (string, error) {
	var m meshJSON
	if err := o.get(ctx, "/v1/mesh", nil, 0, &m); err != nil {
		return "", err
	}
	return m.Root, nil
}

func (o *remoteOutlet) status(ctx context.Context, subject string) ([]byte, error) {
	path, err := subjectPath("subjects", subject)
	if err != nil {
		return nil, err
	}
	var v viewJSON
	err = o.get(ctx, path, nil, 0, &v)
	var problem *problemError
	if errors.As(err, &problem) && problem.Code == "not_found" {
		return nil, nil
	}
	return v.Status, err
}

func (o *remoteOutlet) publish(ctx context.Context, l *replayLine) (replayOutcome, error) {
	body := fmt.Appendf(nil, `{"subject":%s,"authority":%s,"key":%s,"delta":%s}`,
		quoteJSON(l.subject), quoteJSON(o.authority), quoteJSON(l.key), l.delta)
	start := time.Now()
	for pause := retryFirst; ; pause = min(2*pause, retryLast) {
		answer, err := o.offer(ctx, &remoteLine{body, make(chan remoteAnswer, 1)})
		if err != nil {
			return replayOutcome{}, err
		}
		problem := answer.problem
		if problem == nil {
			return answer.receipt.outcome()
		}
		patience := o.caller.timeout == 0 || time.Since(start)+pause < o.caller.timeout
		if !patience || !passing(problem) || problem.Code == "store_failed" {
			return replayOutcome{refused: problem}, nil
		}
		if err := sleep(ctx, pause); err != nil {
			return replayOutcome{}, err
		}
	}
}

// outcome reads a receipt. A line that is known by its key is told from a new
// one by the status; one that changes nothing says only that, then as now.
func (r *receiptJSON) outcome() (out replayOutcome, err error) {
	out = replayOutcome{unchanged: r.Unchanged, repeated: !r.Unchanged && r.Status == http.StatusOK}
	if r.ID != nil {
		if out.id, err = chain.ParseID(*r.ID); err != nil {
			return out, fmt.Errorf("answer is not what a node gives: %w", err)
		}
	}
	return out, nil
}

func (o *remoteOutlet) offer(ctx context.Context, l *remoteLine) (remoteAnswer, error) {
	select {
	case o.queue <- l:
	case <-ctx.Done():
		return remoteAnswer{}, ctx.Err()
	}
	select {
	case a := <-l.answer:
		return a, a.err
	case <-ctx.Done():
		return remoteAnswer{}, ctx.Err()
	}
}

// send publishes what waits until ctx ends.
func (o *remoteOutlet) send(ctx context.Context) {
	defer close(o.done)
	for {
		var batch []*remoteLine
		select {
		case l := <-o.queue:
			batch = append(batch, l)
		case <-ctx.Done():
			return
		}
		for size := 0; len(batch) < maxBatchLines && size < maxBatchBytes; {
			select {
			case l := <-o.queue:
				batch, size = append(batch, l), size+len(l.body)
				continue
			default:
			}
			break
		}
		answers, err := o.deliver(ctx, batch)
		for i, l := range batch {
			if err != nil {
				l.answer <- remoteAnswer{err: err}
			} else {
				l.answer <- answers[i]
			}
		}
	}
}

// deliver publishes lines and returns an answer for each. Where an answer was
// lost, they are sent again; their keys make that safe.
func (o *remoteOutlet) deliver(ctx context.Context, batch []*remoteLine) ([]remoteAnswer, error) {
	var body bytes.Buffer
	for _, l := range batch {
		body.Write(l.body)
		body.WriteByte('\n')
	}
	c := *o.caller
	a, err := c.deliver(ctx, request{
		method: http.MethodPost, path: "/v1/updates",
		header: http.Header{"Content-Type": {"application/x-ndjson"}}, body: body.Bytes(),
	})
	if err != nil {
		return nil, err
	}
	answers := make([]remoteAnswer, 0, len(batch))
	for line := range bytes.Lines(a.body) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var r remoteAnswer
		err := json.Unmarshal(line, &r.receipt)
		if err == nil && r.receipt.Status >= 300 {
			r.problem = &problemError{}
			err = json.Unmarshal(line, r.problem)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: answer is not what a node gives: %w", a.endpoint, err)
		}
		answers = append(answers, r)
	}
	if len(answers) != len(batch) {
		return nil, fmt.Errorf("%s: %d results for %d lines", a.endpoint, len(answers), len(batch))
	}
	return answers, nil
}

// remotes are the nodes that were named, by authority.
type remotes map[string]*remoteOutlet

// dialAll asks all of them at once, so that each that is wrong is named.
func dialAll(ctx context.Context, endpoints map[string]endpoint, flags clientFlags) (remotes, error) {
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
