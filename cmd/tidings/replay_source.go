package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// replaySource is a replay file, open at its start.
type replaySource struct {
	in    io.Reader
	close func() error
}

// openReplay opens a file, or in for "-", and unpacks what is gzip.
func openReplay(path string, in io.Reader) (*replaySource, error) {
	s := &replaySource{in: in, close: func() error { return nil }}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usagef("%w", err)
		}
		s.in, s.close = f, f.Close
	}
	buffered := bufio.NewReaderSize(s.in, 64<<10)
	s.in = buffered
	// A pipe has no name to tell by, so the first bytes do. A short file is
	// not gzip, and an error comes again with the first read.
	magic, _ := buffered.Peek(2)
	packed := len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b
	if !packed && strings.HasSuffix(path, ".gz") {
		return nil, errors.Join(usagef("%s: not gzip", path), s.close())
	}
	if packed {
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, errors.Join(usagef("%s: %w", path, err), s.close())
		}
		s.in = unpacked
	}
	return s, nil
}

// each calls use for each line that is not blank, in order, until the end, a
// failed read, or the end of ctx. The error of a line is its own: use gets it
// in place of the line. What is returned is about the file.
func (s *replaySource) each(ctx context.Context, use func(*replayLine, *badLine) error) error {
	// The reader may stay in its read of a terminal or a pipe after the
	// command has failed; it ends with the process.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan streamLine, 256)
	go readLines(ctx, s.in, lines)
	for {
		var l streamLine
		var open bool
		select {
		case l, open = <-lines:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !open {
			return ctx.Err()
		}
		line, err := (*replayLine)(nil), l.err
		switch {
		case errors.Is(err, errLineTooLong):
		case err != nil:
			return fmt.Errorf("line %d: %w", l.number, err)
		default:
			line, err = parseReplayLine(l.number, l.text)
		}
		var bad *badLine
		if err != nil {
			bad = &badLine{l.number, err}
		}
		if err := use(line, bad); err != nil {
			return err
		}
	}
}

// badLine is a line that cannot be published.
type badLine struct {
	number int
	err    error
}

func (b *badLine) Error() string { return fmt.Sprintf("line %d: %v", b.number, b.err) }

// replayOutline is what a look through a file before its replay finds.
type replayOutline struct {
	lines       int64
	authorities []string // of the lines that can be published, by first use
}

// outlineReplay looks through a file, so that all nodes run before the first
// line, and progress has an end. It is nil for what can be read only once.
func outlineReplay(ctx context.Context, path string) (*replayOutline, error) {
	if path == "-" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, usagef("%w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil
	}
	s, err := openReplay(path, nil)
	if err != nil {
		return nil, err
	}
	o := &replayOutline{}
	known := map[string]bool{}
	// A file that breaks off is replayed as far as it goes, and then says so.
	_ = s.each(ctx, func(l *replayLine, bad *badLine) error {
		o.lines++
		if bad == nil && !known[l.authority] {
			known[l.authority] = true
			o.authorities = append(o.authorities, l.authority)
		}
		return nil
	})
	return o, errors.Join(ctx.Err(), s.close())
}
