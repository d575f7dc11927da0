package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

type publishCmd struct {
	clientFlags
	Subject string `arg:"" optional:"" help:"What the status is about, like order/42."`
	Delta   string `arg:"" optional:"" name:"json" help:"What changed: a JSON object, - for standard input, or @FILE."`

	NDJSON string   `name:"ndjson" placeholder:"FILE|-" help:"Publish a file of objects with subject and delta, one a line."`
	Dep    []string `placeholder:"ID" help:"Updates that this one depends on."`
	Key    string   `placeholder:"K" help:"Idempotency key: the same key publishes once. With --ndjson, line N has the key K-N."`
	Ack    *int     `placeholder:"N" help:"Wait until it is durable on N nodes."`
}

// Help is the long text of the command.
func (c *publishCmd) Help() string {
	return "A publish whose answer was lost is sent again, to the same node and with the same key, for as long as" +
		" --timeout; only where nothing was sent does the next endpoint get it. Without --key a fresh one is made."
}

// Run publishes one update, or a stream of them.
func (c *publishCmd) Run(s *session) error {
	caller, err := newCaller(&c.clientFlags)
	if err != nil {
		return err
	}
	if c.Ack != nil && (*c.Ack < 1 || *c.Ack > maxAck) {
		return usagef("--ack: want 1 to %d, got %d", maxAck, *c.Ack)
	}
	if c.NDJSON != "" {
		if c.Subject != "" || len(c.Dep) > 0 {
			return usagef("--ndjson takes subjects and deps from its lines: give neither SUBJECT nor --dep")
		}
		return c.stream(s, caller)
	}
	if c.Subject == "" || c.Delta == "" {
		return usagef("want SUBJECT and JSON, or --ndjson FILE")
	}
	for _, dep := range c.Dep {
		if _, err := chain.ParseID(dep); err != nil {
			return usagef("--dep: %w", err)
		}
	}
	delta, err := s.readDelta(c.Delta)
	if err != nil {
		return err
	}
	return c.one(s, caller, delta)
}

// maxDeltaFile bounds what is read of a delta, well above what a node takes.
const maxDeltaFile = 4 << 20

// readDelta reads the delta that an argument stands for.
func (s *session) readDelta(arg string) (json.RawMessage, error) {
	var text []byte
	var err error
	switch path, isFile := strings.CutPrefix(arg, "@"); {
	case arg == "-":
		text, err = io.ReadAll(io.LimitReader(s.in, maxDeltaFile))
	case isFile:
		var f *os.File
		if f, err = os.Open(path); err == nil {
			defer f.Close()
			text, err = io.ReadAll(io.LimitReader(f, maxDeltaFile))
		}
	default:
		text = []byte(arg)
	}
	if err != nil {
		return nil, usagef("delta: %w", err)
	}
	if !json.Valid(text) {
		return nil, usagef("delta: not JSON")
	}
	return text, nil
}

// draft is the body of a publish. Its delta goes out as it was written.
type draft struct {
	Subject string
	Delta   json.RawMessage
	Deps    []string
	Key     string
}

// body writes the draft. encoding/json would rewrite the delta.
func (d *draft) body() ([]byte, error) {
	subject, err := json.Marshal(d.Subject)
	if err != nil {
		return nil, err
	}
	deps, err := json.Marshal(d.Deps)
	if err != nil {
		return nil, err
	}
	key, err := json.Marshal(d.Key)
	if err != nil {
		return nil, err
	}
	b := fmt.Appendf(nil, `{"subject":%s,"key":%s`, subject, key)
	if len(d.Deps) > 0 {
		b = fmt.Appendf(b, `,"deps":%s`, deps)
	}
	return fmt.Appendf(b, `,"delta":%s}`, d.Delta), nil
}

// query asks for acknowledgements, and for no longer a wait than the answer
// may take.
func (c *publishCmd) query() url.Values {
	q := url.Values{}
	if c.Ack != nil {
		q.Set("ack", strconv.Itoa(*c.Ack))
	}
	if (c.Ack != nil || len(c.Dep) > 0) && c.Timeout > 0 {
		q.Set("wait", min(c.Timeout/2, maxWait).String())
	}
	return q
}

const (
	// maxWait is the longest that a node holds an answer.
	maxWait = 55 * time.Second
	// maxAck is the most nodes that a publish may wait for.
	maxAck = 64
)

func (c *publishCmd) one(s *session, caller *caller, delta json.RawMessage) error {
	d := draft{Subject: c.Subject, Delta: delta, Deps: c.Dep, Key: c.Key}
	if d.Key == "" {
		d.Key = rand.Text()
	}
	body, err := d.body()
	if err != nil {
		return usagef("%w", err)
	}
	a, err := caller.deliver(s.ctx, request{
		method: http.MethodPost, path: "/v1/updates", query: c.query(),
		header: http.Header{"Content-Type": {"application/json"}}, body: body,
	})
	if err != nil {
		return inDoubt(s, err, d.Key)
	}
	var r receiptJSON
	if err := a.decode(&r); err != nil {
		return err
	}
	if s.json() {
		err = s.printBody(a.body)
	} else if r.ID != nil {
		err = s.printLine("%s", plain(*r.ID))
	}
	switch {
	case err != nil:
		return err
	case r.Unchanged:
		s.say("unchanged: the status says this already")
	case a.status == http.StatusAccepted && c.Ack != nil:
		s.say("published, but durable on only %d of %d nodes in time", r.Acks, *c.Ack)
		return errUnmet
	}
	return nil
}

// inDoubt says what to do about a publish that may have happened.
func inDoubt(s *session, err error, key string) error {
	var lost *unreachableError
	if errors.As(err, &lost) && lost.sent {
		s.say("it was sent, so it may be published: repeat it to the same endpoint with --key %s", key)
	}
	return err
}
