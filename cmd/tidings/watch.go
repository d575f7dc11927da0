package main

import (
	"bufio"
	"errors"
	"fmt"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/client"
)

type watchCmd struct {
	clientFlags
	Subject string `arg:"" optional:"" help:"Follow this subject alone."`

	Prefix     string        `placeholder:"P" empty:"" help:"Follow subjects below a prefix; empty is all."`
	Since      string        `default:"start" placeholder:"start|now|CURSOR" help:"Where to begin, unless the cursor file says."`
	CursorFile string        `placeholder:"FILE" help:"Keep the place in a file, and begin at the place that it holds."`
	Interval   time.Duration `placeholder:"D" help:"Poll every so often; 0 waits for news."`
	Once       bool          `help:"End once up to date."`
}

// Help is the long text of the command.
func (c *watchCmd) Help() string {
	return "Each line is an update and, after =>, the status of its subject with all that came before it rolled up. The cursor is" +
		" saved after the lines that it covers are out, so a watch that was stopped at any moment repeats lines, and skips none." +
		" A cursor is good on every node: where one does not answer, the next endpoint goes on from the same place."
}

// watchHold is how long a node may hold an answer. A short one finds a node that
// hangs soon, and costs it little.
const watchHold = 10 * time.Second

// Run follows the feed until it is interrupted.
func (c *watchCmd) Run(s *session) error {
	switch {
	case c.Subject != "" && c.Prefix != "":
		return usagef("want a SUBJECT or --prefix, not both")
	case c.Interval < 0:
		return usagef("--interval: want 0 or more, got %s", c.Interval)
	}
	options := []client.FeedOption{
		client.Since(c.Since), client.Prefix(c.Prefix + c.Subject), client.Every(c.Interval), client.Hold(watchHold), client.Patience(c.Timeout),
	}
	if c.Once {
		options = append(options, client.Once())
	}
	kept := "" // where it begins, by the file
	if c.CursorFile != "" {
		place := client.CursorFile(c.CursorFile)
		var err error
		if kept, err = place.Load(s.ctx); err != nil {
			return usagef("--cursor-file: %w", err)
		}
		options = append(options, client.Keep(place))
	}
	asks, err := c.client(s)
	if err != nil {
		return unlessInterrupted(s, err)
	}
	defer asks.Close()
	w := &watcher{s: s, subject: c.Subject, out: bufio.NewWriter(s.out), roll: asks.Rollup()}
	w.roll.Patience = c.Timeout
	for b, err := range asks.Changes(s.ctx, options...) {
		if err == nil {
			err = w.print(b)
		}
		if kept != "" && (errors.Is(err, client.ErrBadCursor) || errors.Is(err, client.ErrGone)) {
			err = fmt.Errorf("--cursor-file %s: %w; to begin anew, remove it or name another file", c.CursorFile, err)
		}
		if err != nil {
			return unlessInterrupted(s, err)
		}
	}
	return nil
}

// unlessInterrupted is an error, unless it is because the user ended the command.
func unlessInterrupted(s *session, err error) error {
	if s.ctx.Err() != nil {
		return nil
	}
	return err
}

// watcher prints batches.
type watcher struct {
	s       *session
	subject string // the only one, "" for all
	out     *bufio.Writer
	roll    *client.Rollup
}

// print prints a batch, once all of it can be. The cursor is saved once it returned.
func (w *watcher) print(b *client.Batch) error {
	if w.subject != "" {
		b = only(b, w.subject)
	}
	for _, back := range b.Retracted {
		w.s.say("retracted: updates of %s after %d, because its chain was forked", back.Origin, back.After)
	}
	var err error
	if w.s.json() {
		for i := range b.Updates {
			w.line("%s\n", b.Updates[i].Raw)
		}
	} else {
		err = w.rolled(b)
	}
	if err != nil {
		return err
	}
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// rolled prints the updates of a batch with what they roll up to.
func (w *watcher) rolled(b *client.Batch) error {
	steps, err := w.roll.Take(w.s.ctx, b)
	if err != nil {
		return err
	}
	for _, step := range steps {
		status := plain(step.Status.String())
		if u := step.Update; u != nil {
			w.line("%s  %s  %s  %s  %s  %s\n", w.s.painted(dim, u.Time.Format(chain.TimeLayout)), w.s.painted(cyan, plain(u.Authority)),
				w.s.painted(bold, plain(u.Subject)), plain(string(u.Delta)), w.s.painted(dim, "=>"), status)
		} else {
			w.s.say("retracted: %s is now %s", plain(step.Subject), status)
		}
	}
	return nil
}

// line writes a line. Its error is kept until the end of the batch.
func (w *watcher) line(format string, args ...any) { _, _ = fmt.Fprintf(w.out, format, args...) }

// only is a batch with the updates of one subject.
func only(b *client.Batch, subject string) *client.Batch {
	some := *b
	some.Updates = nil
	for i := range b.Updates {
		if b.Updates[i].Subject == subject {
			some.Updates = append(some.Updates, b.Updates[i])
		}
	}
	return &some
}
