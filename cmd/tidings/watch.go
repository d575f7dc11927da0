package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
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

// Run follows the feed until it is interrupted.
func (c *watchCmd) Run(s *session) error {
	caller, err := newCaller(&c.clientFlags)
	if err != nil {
		return err
	}
	switch {
	case c.Subject != "" && c.Prefix != "":
		return usagef("want a SUBJECT or --prefix, not both")
	case c.Interval < 0:
		return usagef("--interval: want 0 or more, got %s", c.Interval)
	}
	cursor := c.Since
	if c.CursorFile != "" {
		if err := checkReplaceable(c.CursorFile); err != nil {
			return usagef("--cursor-file: %w", err)
		}
		saved, err := readCursor(c.CursorFile)
		if err != nil {
			return err
		}
		if saved != "" {
			cursor = saved
		}
	}
	w := &watcher{
		s: s, cmd: c, out: bufio.NewWriter(s.out),
		feed:  &follower{caller: caller, cursor: cursor, prefix: c.Prefix + c.Subject, hold: c.hold()},
		rolls: newRollup(), fromStart: cursor == "start",
	}
	err = w.follow(s.ctx)
	if s.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// hold is how long a node may hold an answer. Short holds find a node that
// hangs soon, and cost it little.
func (c *watchCmd) hold() time.Duration {
	if c.Interval > 0 || c.Once {
		return 0
	}
	return 10 * time.Second
}

// readCursor reads what an earlier watch saved, "" if there is nothing.
func readCursor(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", usagef("--cursor-file: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// watcher prints what a follower gets.
type watcher struct {
	s     *session
	cmd   *watchCmd
	out   *bufio.Writer
	feed  *follower
	rolls *rollup
	// fromStart: what is not in rolls was never written to. Else its earlier
	// updates have to be fetched.
	fromStart bool
}

func (w *watcher) follow(ctx context.Context) error {
	saved := w.feed.cursor
	for {
		b, lines, err := w.next(ctx)
		if err != nil {
			return err
		}
		for _, line := range lines {
			// The error is kept until Flush.
			_, _ = w.out.Write(line)
		}
		if err := w.out.Flush(); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		w.feed.cursor = b.Cursor
		if w.cmd.CursorFile != "" && b.Cursor != saved {
			if err := replaceFile(w.cmd.CursorFile, []byte(b.Cursor+"\n")); err != nil {
				return fmt.Errorf("save cursor: %w", err)
			}
			saved = b.Cursor
		}
		if !b.UpToDate {
			continue
		}
		if w.cmd.Once {
			return nil
		}
		pause := w.cmd.Interval
		if len(b.Updates) == 0 {
			// A node that does not hold its answers is not to be asked in a
			// tight loop.
			pause = max(pause, 50*time.Millisecond)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// next gets a batch and makes its lines, however often a node fails meanwhile.
// Nothing is printed before the whole batch can be.
func (w *watcher) next(ctx context.Context) (*batch, [][]byte, error) {
	var lines [][]byte
	b, err := w.feed.poll(ctx, func(b *batch) error {
		lines = lines[:0]
		for _, r := range b.Retracted {
			if err := w.retract(&r); err != nil {
				return err
			}
		}
		for _, raw := range b.Updates {
			line, err := w.line(ctx, raw)
			if err != nil {
				return err
			}
			if line != nil {
				lines = append(lines, line)
			}
		}
		return nil
	})
	return b, lines, err
}

// line is what is printed of an update, nil for nothing.
func (w *watcher) line(ctx context.Context, raw json.RawMessage) ([]byte, error) {
	var u updateJSON
	if err := json.Unmarshal(raw, &u); err != nil {
		return nil, fmt.Errorf("answer is not what a node gives: %w", err)
	}
	if w.cmd.Subject != "" && u.Subject != w.cmd.Subject {
		return nil, nil
	}
	if w.s.json() {
		return append(bytes.Clone(raw), '\n'), nil
	}
	status, err := w.roll(ctx, &u)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s  %s  %s  %s  =>  %s\n",
		plain(u.Time), plain(u.Authority), plain(u.Subject), plain(string(u.Delta)), plain(status.String())), nil
}

// roll folds an update in. A subject that was written to before the place
// where this watch began starts from its history, which may be ahead of the
// feed; it is as new as the update at least, and the feed catches up with it.
func (w *watcher) roll(ctx context.Context, u *updateJSON) (chain.Value, error) {
	if !w.rolls.has(u.Subject) {
		var h historyJSON
		if !w.fromStart {
			if err := w.feed.history(ctx, u, &h); err != nil {
				return chain.Value{}, err
			}
		}
		full, err := w.rolls.start(u.Subject, h.Updates)
		if full {
			// Subjects were let go, so what is absent is not new any more.
			w.fromStart = false
		}
		if err != nil {
			return chain.Value{}, err
		}
	}
	return w.rolls.add(u)
}

// retract takes back the updates that a proven fork invalidated.
func (w *watcher) retract(r *retraction) error {
	origin, err := chain.ParseOrigin(r.Origin)
	if err != nil {
		return fmt.Errorf("answer is not what a node gives: %w", err)
	}
	changed := w.rolls.retract(origin, chain.Seq(r.After))
	w.s.say("retracted: updates of %s after %d, because its chain was forked", origin, r.After)
	for _, subject := range changed {
		w.s.say("retracted: %s is now %s", plain(subject), plain(w.rolls.subjects[subject].status.String()))
	}
	return nil
}
