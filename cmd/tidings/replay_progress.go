package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress shows on standard error how far a replay is: a bar on a terminal,
// else a line now and then. Notes go through it, so that they do not end up
// within the bar.
type progress struct {
	out   io.Writer
	width func() int             // columns of the terminal; nil where there is none
	text  func() (string, int64) // what is going on, and lines done
	total int64                  // lines to do, 0 if that is not known

	mu    sync.Mutex // protects what follows, and out
	drawn bool       // the cursor is behind the bar
	ended bool

	stop chan struct{}
	done chan struct{}
}

const (
	// barEvery redraws the bar, lineEvery writes a line where there is none.
	barEvery  = 100 * time.Millisecond
	lineEvery = 5 * time.Second
	barWidth  = 30
)

// startProgress begins to show progress until end is called.
func startProgress(out io.Writer, total int64, text func() (string, int64)) *progress {
	p := &progress{out: out, text: text, total: total, stop: make(chan struct{}), done: make(chan struct{})}
	every := lineEvery
	if isTerminal(out) {
		f := out.(*os.File)
		every = barEvery
		p.width = func() int {
			w, _, err := term.GetSize(int(f.Fd()))
			if err != nil || w < 20 {
				return 80
			}
			return w
		}
	}
	go p.run(every)
	return p
}

func (p *progress) run(every time.Duration) {
	defer close(p.done)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		case <-p.stop:
			return
		}
	}
}

// draw shows the state of things. The lock is held.
func (p *progress) draw() {
	text, lines := p.text()
	if p.width == nil {
		fmt.Fprintf(p.out, "tidings: %s\n", text)
		return
	}
	if bar := progressBar(lines, p.total); bar != "" {
		text = bar + " " + text
	}
	if most := p.width() - 1; len(text) > most {
		text = text[:most]
	}
	fmt.Fprintf(p.out, "\r\x1b[K%s", text)
	p.drawn = true
}

// progressBar draws a part of a whole, "" where the whole is not known.
func progressBar(part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	part = min(max(part, 0), whole)
	full := int(part * barWidth / whole)
	return fmt.Sprintf("[%s%s] %3d%%", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), part*100/whole)
}

// note writes a line of its own.
func (p *progress) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, "tidings: "+format+"\n", args...)
	if p.width != nil && !p.ended {
		p.draw()
	}
}

func (p *progress) clear() {
	if p.drawn {
		io.WriteString(p.out, "\r\x1b[K")
		p.drawn = false
	}
}

// end takes the bar away. Notes can still be written. It may be called twice.
func (p *progress) end() {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return
	}
	p.ended = true
	p.mu.Unlock()
	close(p.stop)
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}
