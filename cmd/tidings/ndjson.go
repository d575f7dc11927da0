package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"

	"github.com/tidings-mesh/tidings/node/api/reply"
	"github.com/tidings-mesh/tidings/node/client"
)

// A stream is sent in batches, each of them the lines that are there: so a
// pipe's lines go out at once while it trickles, and in thousands while it
// does not. Each line has a key, so a batch whose answer was lost is sent
// again and nothing is published twice.

const (
	maxBatchLines = 1_000
	maxBatchBytes = 4 << 20
	// maxLine bounds a line, well above what a node takes of one.
	maxLine = 1 << 20
)

// streamLine is one line that is not blank.
type streamLine struct {
	number int
	text   []byte
	err    error // instead of text: the line is too long, or reading failed
}

var errLineTooLong = fmt.Errorf("line of more than %d bytes", maxLine)

// readLines sends the lines of r until its end, a failure, or the end of ctx.
func readLines(ctx context.Context, r io.Reader, lines chan<- streamLine) {
	defer close(lines)
	in := bufio.NewReaderSize(r, 64<<10)
	for number := 1; ; number++ {
		text, err := readLine(in)
		if text = bytes.TrimSpace(text); len(text) > 0 || errors.Is(err, errLineTooLong) {
			l := streamLine{number: number, text: text}
			if errors.Is(err, errLineTooLong) {
				l, err = streamLine{number: number, err: err}, nil
			}
			select {
			case lines <- l:
			case <-ctx.Done():
				return
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			select {
			case lines <- streamLine{number: number, err: fmt.Errorf("read: %w", err)}:
			case <-ctx.Done():
			}
			return
		}
	}
}

// readLine reads one line, whatever its length, and keeps at most maxLine.
func readLine(in *bufio.Reader) (line []byte, err error) {
	long := false
	for {
		part, err := in.ReadSlice('\n')
		if !long {
			line = append(line, part...)
		}
		if len(line) > maxLine {
			line, long = nil, true
		}
		switch {
		case err == bufio.ErrBufferFull:
		case long && (err == nil || err == io.EOF):
			return nil, errLineTooLong
		default:
			return line, err
		}
	}
}

// stream publishes a file's lines and prints a result for each.
func (c *publishCmd) stream(s *session) error {
	in := s.in
	if c.NDJSON != "-" {
		f, err := os.Open(c.NDJSON)
		if err != nil {
			return usagef("--ndjson: %w", err)
		}
		defer f.Close()
		in = f
	}
	asks, err := c.client(s)
	if err != nil {
		return err
	}
	prefix := c.Key
	if prefix == "" {
		prefix = rand.Text()
	}
	p := &publisher{s: s, asks: asks, cmd: c, prefix: prefix, out: bufio.NewWriter(s.out)}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	// The reader may stay in its read of a terminal or a pipe after the
	// command has failed; it ends with the process.
	lines := make(chan streamLine, maxBatchLines)
	go readLines(ctx, in, lines)
	err = p.run(ctx, lines)
	if flushed := p.out.Flush(); err == nil {
		err = flushed // else it may be the same once more
	}
	if err != nil {
		return err
	}
	if p.failed > 0 {
		s.say("%d of %d lines failed", p.failed, p.lines)
		return errUnmet
	}
	return nil
}

// publisher sends batches and prints what became of their lines.
type publisher struct {
	s      *session
	asks   *client.Client
	cmd    *publishCmd
	prefix string
	out    *bufio.Writer

	lines, failed int
}

func (p *publisher) run(ctx context.Context, lines <-chan streamLine) error {
	for {
		batch, open, err := nextBatch(ctx, lines)
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			if err := p.send(ctx, batch); err != nil {
				return err
			}
			if err := p.out.Flush(); err != nil {
				return err
			}
		}
		if !open {
			return nil
		}
	}
}

// nextBatch waits for a line and takes those that are there with it.
func nextBatch(ctx context.Context, lines <-chan streamLine) (batch []streamLine, open bool, err error) {
	size := 0
	for len(batch) < maxBatchLines && size < maxBatchBytes {
		var l streamLine
		if len(batch) == 0 {
			select {
			case l, open = <-lines:
			case <-ctx.Done():
				return nil, false, ctx.Err()
			}
		} else {
			select {
			case l, open = <-lines:
			default:
				return batch, true, nil
			}
		}
		if !open {
			return batch, false, nil
		}
		batch = append(batch, l)
		size += len(l.text)
	}
	return batch, true, nil
}

// send publishes a batch and prints its results, in the lines' order.
func (p *publisher) send(ctx context.Context, batch []streamLine) error {
	var body bytes.Buffer
	sent := 0
	for _, l := range batch {
		if l.err == nil {
			body.Write(withKey(l.text, fmt.Sprintf("%s-%d", p.prefix, l.number)))
			body.WriteByte('\n')
			sent++
		}
	}
	var results []json.RawMessage
	if sent > 0 {
		a, err := p.asks.Deliver(ctx, client.Request{
			Method: http.MethodPost, Path: "/v1/updates", Query: p.cmd.query(),
			Header: http.Header{"Content-Type": {"application/x-ndjson"}}, Body: body.Bytes(),
		})
		if err != nil {
			return fmt.Errorf("lines %d to %d: %w", batch[0].number, batch[len(batch)-1].number, inDoubt(p.s, err, p.prefix))
		}
		for line := range bytes.Lines(a.Body) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				results = append(results, line)
			}
		}
		if len(results) != sent {
			return fmt.Errorf("%s: %d results for %d lines", a.Endpoint, len(results), sent)
		}
	}
	for _, l := range batch {
		if l.err != nil {
			if !errors.Is(l.err, errLineTooLong) {
				return fmt.Errorf("line %d: %w", l.number, l.err)
			}
			if err := p.print(l.number, tooLong); err != nil {
				return err
			}
			continue
		}
		if err := p.print(l.number, results[0]); err != nil {
			return err
		}
		results = results[1:]
	}
	return nil
}

var tooLong = json.RawMessage(fmt.Sprintf(
	`{"status":413,"line":0,"type":"about:blank","title":"Request Entity Too Large","code":"too_large","detail":%q}`, errLineTooLong))

// print prints one line's result. The node counted within its batch, so the
// number is set anew.
func (p *publisher) print(number int, result json.RawMessage) error {
	p.lines++
	var r reply.Receipt
	if err := json.Unmarshal(result, &r); err != nil {
		return fmt.Errorf("line %d: answer is not what a node gives: %w", number, err)
	}
	bad := r.Status >= 300
	short := p.cmd.Ack != nil && r.Status == http.StatusAccepted
	if bad || short {
		p.failed++
	}
	if p.s.json() {
		b, err := withLine(result, number)
		if err != nil {
			return fmt.Errorf("line %d: answer is not what a node gives: %w", number, err)
		}
		_, err = fmt.Fprintf(p.out, "%s\n", b)
		return err
	}
	what, id := "", "-"
	if !r.ID.IsZero() {
		id = r.ID.String()
	}
	switch {
	case bad:
		problem := &client.Problem{}
		if err := json.Unmarshal(result, problem); err != nil {
			return fmt.Errorf("line %d: answer is not what a node gives: %w", number, err)
		}
		what = plain(problem.Error())
	case r.Unchanged:
		what = id + " unchanged"
	case short:
		what = fmt.Sprintf("%s durable on %d of %d nodes", id, r.Acks, *p.cmd.Ack)
	default:
		what = id
	}
	_, err := fmt.Fprintf(p.out, "%d %d %s\n", number, r.Status, what)
	return err
}

// withLine gives an object another line, in the place of the one that it has or
// else at its end. All else stays as the node gave it.
func withLine(object []byte, number int) ([]byte, error) {
	line := fmt.Appendf(nil, "%d", number)
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.Join(err, errors.New("not an object"))
	}
	more := false
	for ; d.More(); more = true {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if end := int(d.InputOffset()); name == "line" {
			return slices.Concat(object[:end-len(value)], line, object[end:]), nil
		}
	}
	end := bytes.LastIndexByte(object, '}')
	if more {
		line = append([]byte(`,"line":`), line...)
	} else {
		line = append([]byte(`"line":`), line...)
	}
	return slices.Concat(object[:end], line, object[end:]), nil
}

// withKey gives an object a key of ours, unless it has one. What is not an
// object is left for the node to refuse.
func withKey(line []byte, key string) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(line, &fields) != nil || fields == nil {
		return line
	}
	if _, has := fields["key"]; has {
		return line
	}
	open := bytes.IndexByte(line, '{')
	out := fmt.Appendf(nil, `{"key":%s`, quoteJSON(key))
	if len(fields) > 0 {
		out = append(out, ',')
	}
	return append(out, line[open+1:]...)
}

// quoteJSON writes a string as JSON, in ASCII where it can.
func quoteJSON(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		// Marshal fails for no string.
		return []byte(`""`)
	}
	return b
}
