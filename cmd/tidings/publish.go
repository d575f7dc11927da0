package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/client"
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
	if c.Ack != nil && (*c.Ack < 1 || *c.Ack > maxAck) {
		return usagef("--ack: want 1 to %d, got %d", maxAck, *c.Ack)
	}
	if c.NDJSON != "" {
		if c.Subject != "" || len(c.Dep) > 0 {
			return usagef("--ndjson takes subjects and deps from its lines: give neither SUBJECT nor --dep")
		}
		return c.stream(s)
	}
	if c.Subject == "" || c.Delta == "" {
		return usagef("want SUBJECT and JSON, or --ndjson FILE")
	}
	d := client.Draft{Subject: c.Subject, Key: c.Key, Wait: c.wait()}
	for _, dep := range c.Dep {
		id, err := chain.ParseID(dep)
		if err != nil {
			return usagef("--dep: %w", err)
		}
		d.Deps = append(d.Deps, id)
	}
	var err error
	if d.Delta, err = s.readDelta(c.Delta); err != nil {
		return err
	}
	return c.one(s, d)
}

// maxDeltaFile bounds what is read of a delta, well above what a node takes.
const maxDeltaFile = 4 << 20

// readDelta reads the delta that an argument stands for.
func (s *session) readDelta(arg string) (json.RawMessage, error) {
	text, from := []byte(arg), io.Reader(nil)
	switch path, isFile := strings.CutPrefix(arg, "@"); {
	case arg == "-":
		from = s.in
	case isFile:
		f, err := os.Open(path)
		if err != nil {
			return nil, usagef("delta: %w", err)
		}
		defer f.Close()
		from = f
	}
	if from != nil {
		var err error
		if text, err = io.ReadAll(io.LimitReader(from, maxDeltaFile+1)); err != nil {
			return nil, usagef("delta: %w", err)
		}
	}
	if len(text) > maxDeltaFile {
		return nil, usagef("delta: more than %d bytes, and a node takes at most %d", maxDeltaFile, chain.MaxDelta)
	}
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, usagef("delta: not JSON: %w", err)
	}
	return text, nil
}

// query asks for acknowledgements of what is published by a stream.
func (c *publishCmd) query() url.Values {
	q := url.Values{}
	if c.Ack != nil {
		q.Set("ack", strconv.Itoa(*c.Ack))
	}
	if wait := c.wait(); wait > 0 {
		q.Set("wait", wait.String())
	}
	return q
}

// wait is how long a node may wait for acknowledgements and dependencies: no longer
// than the answer may take. 0 leaves it to the node.
func (c *publishCmd) wait() time.Duration {
	if c.Ack == nil && len(c.Dep) == 0 {
		return 0
	}
	return min(c.Timeout/2, maxWait)
}

const (
	// maxWait is the longest that a node holds an answer.
	maxWait = 55 * time.Second
	// maxAck is the most nodes that a publish may wait for.
	maxAck = 64
)

func (c *publishCmd) one(s *session, d client.Draft) error {
	asks, err := c.client(s)
	if err != nil {
		return err
	}
	if d.Key == "" {
		d.Key = rand.Text()
	}
	if c.Ack != nil {
		d.Ack = *c.Ack
	}
	r, err := asks.Publish(s.ctx, d)
	if err != nil {
		return inDoubt(s, err, d.Key)
	}
	if s.json() {
		err = s.printBody(r.Raw)
	} else if !r.ID.IsZero() {
		err = s.printLine("%s", r.ID)
	}
	switch {
	case err != nil:
		if !r.Unchanged {
			s.say("published as %s", r.ID) // which is to be read nowhere else
		}
		return err
	case r.Unchanged:
		s.say("unchanged: the status says this already")
	case r.Status == http.StatusAccepted && c.Ack != nil:
		s.say("published, but durable on only %d of %d nodes in time", r.Acks, *c.Ack)
		return errUnmet
	}
	return nil
}

// inDoubt says what to do about a publish that may have happened.
func inDoubt(s *session, err error, key string) error {
	if errors.Is(err, client.ErrInDoubt) {
		s.say("it was sent, so it may be published: repeat it to that endpoint alone with --key %s", key)
	}
	return err
}
