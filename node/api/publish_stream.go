package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// stream is an NDJSON publish. A reader parses lines and hands them to the
// outbox in batches of what has come; the request's own goroutine answers them
// in their order as they resolve. What lies between is bounded: while the
// window is full, nothing more is read.
type stream struct {
	h    *Handler
	x    *exchange
	opts publishOptions

	lines *bufio.Reader
	items chan streamItem
	gone  context.Context // ends when nobody reads the answers any more
	cut   bool            // the body's time was over before its end; the reader's, until it is done

	batch []chain.Draft // drafts of held, in their order
	held  []streamItem  // lines that are not handed over yet; those without err wait for the batch
	bytes int           // of the lines in batch
}

// streamItem is one line on its way to its answer.
type streamItem struct {
	line    int
	draft   bool
	pending Pending
	err     error
	until   time.Time // of its acknowledgements
}

// publishStream answers a body of lines without end, line by line.
func (h *Handler) publishStream(x *exchange, opts publishOptions) error {
	if h.streams.Add(1) > int64(h.limits.Streams) {
		h.streams.Add(-1)
		h.metrics.refused.WithLabelValues("stream").Inc()
		return newProblem(CodeBusy, "", "too many publish streams on this node")
	}
	h.metrics.streams.Inc()
	defer func() {
		h.metrics.streams.Dec()
		h.streams.Add(-1)
	}()
	rc := x.controller()
	if err := rc.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("full duplex: %w", err)
	}
	gone, leave := context.WithCancel(context.WithoutCancel(x.r.Context()))
	defer leave()
	s := &stream{
		h: h, x: x, opts: opts, gone: gone,
		lines: bufio.NewReaderSize(&idleReader{x.r.Body, rc, h.limits.StreamIdle}, 64<<10),
		items: make(chan streamItem, h.limits.StreamWindow),
	}
	x.w.Header()["Content-Type"] = ndjsonHeader
	x.extend()
	x.begin(http.StatusOK)
	_ = rc.Flush()
	// A read is only ended by its deadline, and idleReader may set a later one
	// at that very moment; so its end is enforced until the reader has seen it.
	done := make(chan struct{})
	interrupt := func() {
		for {
			_ = rc.SetReadDeadline(time.Now())
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	watches := []*watch{
		startWatch(h.closing, interrupt),
		startWatch(gone, interrupt),
		// net/http ends the request's context for any failure to read, also for
		// the end of a time that was set here: then the client is still there.
		startWatch(x.r.Context(), func() {
			if interrupt(); !s.cut {
				leave()
			}
		}),
	}
	go func() {
		defer close(done)
		s.read()
	}()
	if !s.answer(rc) {
		leave()
		for range s.items { // what nobody is told of any more
		}
	}
	<-done
	for _, w := range watches {
		w.end()
	}
	x.extend()                     // net/http has yet to write the end
	x.waited = time.Since(x.start) // a stream's length says nothing of the node
	return nil
}

// watch calls a function once a context ends.
type watch struct {
	stop func() bool
	ran  chan struct{}
}

func startWatch(ctx context.Context, do func()) *watch {
	w := &watch{ran: make(chan struct{})}
	w.stop = context.AfterFunc(ctx, func() {
		defer close(w.ran)
		do()
	})
	return w
}

// end returns once the function has run, or never will.
func (w *watch) end() {
	if !w.stop() {
		<-w.ran
	}
}

// read takes lines until the body, the handler or the client ends.
func (s *stream) read() {
	defer close(s.items)
	line := 0
	defer func() {
		if failure := recover(); failure != nil {
			s.h.logger.Error("panic in a publish stream", slog.Any("panic", failure), slog.String("stack", string(debug.Stack())))
			s.items <- streamItem{line: line, err: fmt.Errorf("panic: %v", failure)}
		}
	}()
	for {
		if !s.waiting() {
			s.flush()
		}
		raw, err := s.line()
		if len(raw) > 0 || err == nil || errors.Is(err, errLongLine) {
			line++
		}
		if s.gone.Err() != nil {
			return
		}
		switch {
		case errors.Is(err, errLongLine):
			s.hold(streamItem{line: line, err: newProblem(CodeTooLarge, "", err.Error())})
			continue
		case err != nil && !errors.Is(err, io.EOF):
			s.flush()
			s.broken(line, len(raw) > 0, err)
			return
		}
		if len(bytes.TrimLeft(raw, " \t\r\n")) > 0 {
			s.take(line, raw)
		}
		if err != nil {
			s.flush()
			return
		}
	}
}

// waiting reports whether a whole line has come already.
func (s *stream) waiting() bool {
	if len(s.held) >= chunk || s.bytes >= chunkBytes {
		return false
	}
	b, _ := s.lines.Peek(s.lines.Buffered())
	return bytes.IndexByte(b, '\n') >= 0
}

var errLongLine = fmt.Errorf("the line is over %d bytes", maxSingleBody)

// line reads one line. What it returns is the caller's own. A line that is too
// long is read to its end, and dropped.
func (s *stream) line() ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := s.lines.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxSingleBody; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case long && (err == nil || errors.Is(err, io.EOF)):
			return nil, errLongLine // at the end, the next read says so again
		}
		return line, err
	}
}

// take parses a line, and holds it until the batch is handed over.
func (s *stream) take(line int, raw []byte) {
	d, err := parseDraft(raw, noLine)
	if err == nil {
		err = s.admit(d)
	}
	if err != nil {
		s.hold(streamItem{line: line, err: err})
		return
	}
	s.batch = append(s.batch, d.Draft)
	s.bytes += len(raw)
	s.hold(streamItem{line: line, draft: true})
}

func (s *stream) admit(d *submission) error {
	ctx := s.gone
	if d.names() {
		timed, cancel := context.WithTimeout(s.gone, s.opts.wait)
		defer cancel()
		defer context.AfterFunc(s.h.closing, cancel)()
		ctx = timed
	}
	return s.h.admit(ctx, d, func() error { s.flush(); return nil })
}

func (s *stream) hold(item streamItem) { s.held = append(s.held, item) }

// flush hands the batch to the outbox, and all lines to whoever answers them.
func (s *stream) flush() {
	if len(s.held) == 0 {
		return
	}
	var pending []Pending
	var err error
	if len(s.batch) > 0 {
		pending, err = s.h.enqueue(s.gone, s.opts.wait, s.batch)
	}
	until := time.Now().Add(s.opts.wait)
	for _, item := range s.held {
		if item.draft {
			item.until = until
			if len(pending) > 0 {
				item.pending, pending = pending[0], pending[1:]
			} else {
				item.err = err
			}
		}
		s.items <- item
	}
	s.held, s.bytes = s.held[:0], 0
	s.batch = make([]chain.Draft, 0, min(cap(s.batch), chunk)) // the outbox may keep the last one
}

// broken says why a body ended before its end: in a last item, unless it is
// only that nothing came for long.
func (s *stream) broken(line int, partial bool, err error) {
	if !partial {
		line++
	}
	s.cut = timedOut(err)
	switch {
	case s.h.closing.Err() != nil:
		s.items <- streamItem{line: line, err: errClosing}
	case timedOut(err) && partial:
		s.items <- streamItem{line: line, err: badRequest("", fmt.Sprintf("the rest of the line did not come within %s", s.h.limits.StreamIdle))}
	case timedOut(err):
	default:
		s.items <- streamItem{line: line, err: badRequest("", "the body broke off: "+err.Error())}
	}
}

// answer writes what became of each line, and sends it on whenever the next
// has to be waited for. It reports whether all lines were answered.
func (s *stream) answer(rc *http.ResponseController) bool {
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = (*buf)[:0]
	send := func() bool {
		if len(*buf) == 0 {
			return true
		}
		s.x.extend()
		_, err := s.x.w.Write(*buf)
		*buf = (*buf)[:0]
		if err == nil {
			err = rc.Flush()
		}
		return err == nil || errors.Is(err, http.ErrNotSupported)
	}
	for {
		item, ok, idle := s.next()
		if idle {
			if !send() {
				return false
			}
			item, ok = <-s.items
		}
		if !ok {
			send()
			return true
		}
		o := outcome{err: item.err}
		if item.pending != nil {
			if !settled(item.pending) && !send() {
				return false
			}
			o = s.outcome(item, send)
		}
		if o.err != nil && clientGone(s.gone, o.err) {
			return false
		}
		*buf = append(s.h.appendItem(*buf, &o, item.line), '\n')
		if len(*buf) >= 32<<10 && !send() {
			return false
		}
	}
}

// next takes an item if one is there.
func (s *stream) next() (item streamItem, ok, idle bool) {
	select {
	case item, ok = <-s.items:
		return item, ok, false
	default:
		return item, false, true
	}
}

func settled(p Pending) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

func (s *stream) outcome(item streamItem, send func() bool) outcome {
	if s.opts.ack == 0 {
		return s.h.outcome(s.gone, s.gone, s.opts, item.pending)
	}
	send() // acknowledgements take a while
	until, cancel := context.WithDeadline(s.gone, item.until)
	defer cancel()
	defer context.AfterFunc(s.h.closing, cancel)()
	return s.h.outcome(s.gone, until, s.opts, item.pending)
}
