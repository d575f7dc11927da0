package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// publishOptions are the parameters of a publish.
type publishOptions struct {
	ack  int // 0 where nothing was asked
	wait time.Duration
	key  string // of the header
}

// publish answers POST /v1/updates in its three forms.
func (h *Handler) publish(x *exchange) error {
	opts, err := publishQuery(x.r)
	if err != nil {
		return err
	}
	media, err := contentType(x.r, typeJSON, typeNDJSON)
	if err != nil {
		return err
	}
	if media == typeNDJSON {
		if _, err := negotiate(x.r, typeNDJSON); err != nil {
			return err
		}
		if opts.key != "" {
			return errHeaderKey
		}
		return h.publishStream(x, opts)
	}
	if _, err := negotiate(x.r, typeJSON); err != nil {
		return err
	}
	large := &largeBody{x: x, wait: opts.wait}
	defer large.end()
	body, err := x.readBody(large, func(first byte) int {
		if first == '[' {
			return maxArrayBody
		}
		return maxSingleBody
	})
	if err != nil {
		return err
	}
	if firstByte(body) == '[' {
		if opts.key != "" {
			return errHeaderKey
		}
		return h.publishArray(x, opts, body)
	}
	return h.publishOne(x, opts, body)
}

var errHeaderKey = badRequest("Idempotency-Key", "the header is for a single draft; several have a key each")

func publishQuery(r *http.Request) (publishOptions, error) {
	var opts publishOptions
	q, err := parseQuery(r.URL.RawQuery, "ack", "wait")
	if err != nil {
		return opts, err
	}
	ack, err := q.number("ack", 0, 1, maxAck)
	if err != nil {
		return opts, err
	}
	opts.ack = int(ack)
	if opts.wait, err = q.wait(defaultWait); err != nil {
		return opts, err
	}
	switch keys := r.Header["Idempotency-Key"]; {
	case len(keys) > 1:
		return opts, badRequest("Idempotency-Key", "given more than once")
	case len(keys) == 1:
		opts.key = keys[0]
		if err := checkKey(opts.key); err != nil {
			return opts, err
		}
	}
	return opts, nil
}

func (h *Handler) publishOne(x *exchange, opts publishOptions, body []byte) error {
	d, err := parseDraft(body, noBody)
	if err != nil {
		return err
	}
	if opts.key != "" {
		if d.Key != "" && d.Key != opts.key {
			return badRequest("key", "the header Idempotency-Key says otherwise")
		}
		d.Key = opts.key
	}
	out, err := h.submit(x, opts, []*submission{d})
	if err != nil {
		return err
	}
	if out[0].err != nil {
		return out[0].err
	}
	status := out[0].status()
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = append(out[0].appendMembers(append((*buf)[:0], '{')), '}')
	h.metrics.item(status)
	x.send(status, jsonHeader, *buf)
	return nil
}

func (h *Handler) publishArray(x *exchange, opts publishOptions, body []byte) error {
	var drafts []*submission // nil where outcomes has the error
	var outcomes []outcome
	s := scanner{b: body}
	err := s.list(func(raw []byte) error {
		if len(drafts) == maxArrayItems {
			return newProblem(CodeTooLarge, "", fmt.Sprintf("more than %d items", maxArrayItems))
		}
		d, err := parseDraft(raw, noItem)
		if err != nil {
			d = nil
		}
		drafts = append(drafts, d)
		outcomes = append(outcomes, outcome{err: err})
		return nil
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return jsonProblem(err)
	}
	taken, err := h.submit(x, opts, drafts)
	if err != nil {
		return err
	}
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = append((*buf)[:0], '[')
	for i := range outcomes {
		if i > 0 {
			*buf = append(*buf, ',')
		}
		if drafts[i] != nil {
			outcomes[i] = taken[i]
		}
		*buf = h.appendItem(*buf, &outcomes[i], 0)
	}
	*buf = append(*buf, ']')
	x.json(*buf)
	return nil
}

// appendItem appends what became of one of several drafts: the answer that it
// alone would have had, with its status. A line above 0 is told too.
func (h *Handler) appendItem(dst []byte, o *outcome, line int) []byte {
	dst = append(dst, '{')
	if o.err != nil {
		p := *problemOf(o.err)
		p.Line = line
		h.metrics.item(p.Status)
		h.report(&p, o.err)
		return append(p.AppendMembers(dst), '}')
	}
	status := o.status()
	h.metrics.item(status)
	dst = append(dst, `"status":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	if line > 0 {
		dst = append(dst, `,"line":`...)
		dst = strconv.AppendInt(dst, int64(line), 10)
	}
	return append(o.appendMembers(append(dst, ',')), '}')
}

// outcome is what became of a draft.
type outcome struct {
	receipt chain.Receipt
	acks    int
	asked   int // acks that were asked for, 0 for none
	err     error
}

// status is that of the answer: 201 for a new update, 200 for one that was
// there, 202 where fewer nodes hold it than were asked for.
func (o *outcome) status() int {
	switch {
	case o.receipt.Unchanged:
		return http.StatusOK
	case o.acks < o.asked:
		return http.StatusAccepted
	case o.receipt.Repeated:
		return http.StatusOK
	}
	return http.StatusCreated
}

func (o *outcome) appendMembers(dst []byte) []byte {
	r := &o.receipt
	if r.ID.IsZero() {
		dst = append(dst, `"id":null`...)
	} else {
		dst = append(dst, `"id":`...)
		dst = appendID(dst, r.ID)
	}
	dst = append(dst, `,"subject":`...)
	dst = chain.AppendJSONString(dst, r.Subject)
	if !r.ID.IsZero() {
		dst = append(dst, `,"time":`...)
		dst = appendTime(dst, r.HLC)
		dst = append(dst, `,"hlc":`...)
		dst = appendHLC(dst, r.HLC)
	}
	dst = append(dst, `,"deps":`...)
	dst = appendIDs(dst, r.Deps)
	dst = append(dst, `,"acks":`...)
	dst = strconv.AppendInt(dst, int64(o.acks), 10)
	if r.Unchanged {
		dst = append(dst, `,"unchanged":true`...)
	}
	return dst
}

// chunk is the number of drafts that go into the outbox in one call: enough to
// be worth one, few enough for an outbox of any size to have room for.
const chunk = 256

// chunkBytes is how many bytes of lines a stream gathers for such a call.
const chunkBytes = 256 << 10

// submit publishes drafts in their order and returns what became of each; nil
// ones are passed over. The error is for all of them: nothing was published.
// Dependencies and acknowledgements share one time; for room in the outbox
// there is as much again.
func (h *Handler) submit(x *exchange, opts publishOptions, drafts []*submission) ([]outcome, error) {
	ctx := x.r.Context()
	if opts.ack > 0 || slices.ContainsFunc(drafts, func(d *submission) bool { return d != nil && d.names() }) {
		w, err := x.wait(opts.wait)
		if err != nil {
			return nil, err
		}
		defer w.end()
		ctx = w
	}
	out := make([]outcome, len(drafts))
	pending := make([]Pending, len(drafts))
	batch := make([]chain.Draft, 0, min(len(drafts), chunk))
	places := make([]int, 0, cap(batch))
	taken := false
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		ps, err := h.enqueue(x.r.Context(), opts.wait, batch)
		if taken = taken || len(ps) > 0; !taken {
			return err
		}
		for k, i := range places {
			if k < len(ps) {
				pending[i] = ps[k]
			} else {
				out[i].err = err
			}
		}
		// The outbox may keep what it was given.
		batch, places = make([]chain.Draft, 0, cap(batch)), places[:0]
		return nil
	}
	for i, d := range drafts {
		if d == nil {
			continue
		}
		if out[i].err = h.admit(ctx, d, flush); out[i].err != nil {
			var failed *flushError
			if errors.As(out[i].err, &failed) {
				return nil, failed.err
			}
			continue
		}
		batch, places = append(batch, d.Draft), append(places, i)
		if len(batch) == chunk {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	for i, p := range pending {
		if p != nil {
			out[i] = h.outcome(x.r.Context(), ctx, opts, p)
		}
	}
	return out, x.r.Context().Err()
}

// flushError says that drafts before the one at hand could not be published.
type flushError struct{ err error }

func (e *flushError) Error() string { return e.err.Error() }

// admit checks what concerns this node: whether the draft is meant for it, and
// whether what it names is applied here. flush is called before it waits.
func (h *Handler) admit(ctx context.Context, d *submission, flush func() error) error {
	if d.authority != "" && d.authority != h.info.Authority {
		return newProblem(CodeWrongAuthority, "authority",
			fmt.Sprintf("this node publishes for %q, not %q", h.info.Authority, clip(d.authority)))
	}
	f := d.needs(h.info.Origin)
	if f == nil {
		return nil
	}
	if err := flush(); err != nil {
		return &flushError{err}
	}
	err := h.backend.Applied(ctx, f)
	switch {
	case errors.Is(err, ErrBehind) && h.closing.Err() != nil:
		return errClosing
	case errors.Is(err, ErrBehind):
		return h.missing(d)
	}
	return err
}

// missing names what of other chains is not applied here, and the field that
// asks for it; nil if the last of it came just now.
func (h *Handler) missing(d *submission) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var lacks chain.DependencyError
	for _, id := range append([]chain.ID{d.Cause}, d.Deps...) {
		if id.IsZero() || id.Origin == h.info.Origin || slices.Contains(lacks.IDs, id) {
			continue
		}
		if h.backend.Applied(ended, chain.Frontier{id.Origin: id.Seq}) != nil {
			lacks.IDs = append(lacks.IDs, id)
		}
	}
	if len(lacks.IDs) == 0 {
		return nil
	}
	field := "deps"
	if slices.Contains(lacks.IDs, d.Cause) {
		field = "cause"
	}
	return newProblem(CodeUnknownDependency, field, lacks.Error())
}

// minRoomWait is how long a publish waits for room in the outbox at least, so
// that wait=0 does not make every short burst a refusal.
const minRoomWait = time.Second

// enqueue hands drafts to the outbox. One that stays full is busy. There is
// an error exactly if not all were taken; what was is published all the same.
func (h *Handler) enqueue(client context.Context, wait time.Duration, drafts []chain.Draft) ([]Pending, error) {
	ctx, cancel := context.WithTimeout(client, max(wait, minRoomWait))
	defer cancel()
	taken, err := h.backend.Enqueue(ctx, drafts)
	switch {
	case len(taken) >= len(drafts):
		return taken[:len(drafts)], nil
	case err == nil:
		err = fmt.Errorf("outbox took %d of %d drafts", len(taken), len(drafts))
	case errors.Is(err, ErrBusy) || (errors.Is(err, context.DeadlineExceeded) && client.Err() == nil):
		err = newProblem(CodeBusy, "", "the outbox stayed full; try again later")
	}
	return taken, err
}

// outcome waits until a draft is committed, then until enough nodes hold it or
// ctx ends. The commit is waited for while the client is there: it is on its
// way, and "not published" could not be said.
func (h *Handler) outcome(client, ctx context.Context, opts publishOptions, p Pending) outcome {
	select {
	case <-p.Done():
	case <-client.Done():
		return outcome{err: client.Err()}
	}
	receipt, err := p.Result()
	if err != nil {
		return outcome{err: err}
	}
	o := outcome{receipt: receipt}
	if h.info.Durable && !receipt.ID.IsZero() {
		o.acks = 1
	}
	if opts.ack > 0 && !receipt.Unchanged {
		o.asked = opts.ack
		o.acks = h.backend.Acks(ctx, receipt.ID, opts.ack)
	}
	return o
}
