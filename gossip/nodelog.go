package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// serfLogger adapts serf's and memberlist's lines, `[LEVEL] component: text`, to
// slog. What they call info belongs to debugging here, for membership itself is
// logged by this package. Warnings and errors, many of which a stranger can
// cause at will, are counted, and logged at most once a minute for each kind.
func serfLogger(log_ *slog.Logger, meters *Meters) *log.Logger {
	return log.New(&lineWriter{log: log_, meters: meters, seen: make(map[string]lineKind)}, "", 0)
}

// lineWriter is called by log.Logger, which gives it whole lines.
type lineWriter struct {
	log    *slog.Logger
	meters *Meters

	mu   sync.Mutex // protects seen
	seen map[string]lineKind
}

type lineKind struct {
	last    time.Time
	skipped int
}

const (
	// lineKinds bounds the kinds that are told apart; there are about 150.
	lineKinds   = 256
	lineKindLen = 48
)

func (w *lineWriter) Write(b []byte) (int, error) {
	level, component, text := parseLine(string(bytes.TrimSpace(b)))
	if level >= slog.LevelWarn {
		w.meters.noise.Add(1)
		if usual(text) {
			level = slog.LevelDebug
		}
	}
	ctx := context.Background()
	if !w.log.Enabled(ctx, level) {
		return len(b), nil
	}
	skipped := 0
	if level >= slog.LevelWarn {
		var ok bool
		if skipped, ok = w.admit(kindOfLine(component, text), time.Now()); !ok {
			return len(b), nil
		}
	}
	w.log.LogAttrs(ctx, level, "membership library", slog.String("component", component), slog.String("text", text), slog.Int("not_logged", skipped))
	return len(b), nil
}

// admit says whether a line of this kind may be logged now, and how many were
// not since the last one.
func (w *lineWriter) admit(kind string, now time.Time) (skipped int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k, known := w.seen[kind]
	if !known && len(w.seen) >= lineKinds {
		kind = "" // the rest shares one place
		k, known = w.seen[kind]
	}
	if known && now.Sub(k.last) < reportEvery {
		k.skipped++
		w.seen[kind] = k
		return 0, false
	}
	w.seen[kind] = lineKind{last: now}
	return k.skipped, true
}

// parseLine takes a line apart; what has no level is taken for debugging.
func parseLine(line string) (level slog.Level, component, text string) {
	level = slog.LevelDebug
	text = line
	if strings.HasPrefix(line, "[") {
		if name, rest, ok := strings.Cut(line[1:], "]"); ok {
			switch name {
			case "WARN":
				level = slog.LevelWarn
			case "ERR", "ERROR":
				level = slog.LevelError
			}
			text = strings.TrimSpace(rest)
		}
	}
	if name, rest, ok := strings.Cut(text, ": "); ok && !strings.ContainsAny(name, " \t") {
		component, text = name, rest
	}
	return level, component, text
}

// kindOfLine is the constant beginning of a line's text.
func kindOfLine(component, text string) string {
	if i := strings.IndexAny(text, "0123456789:'\"(["); i >= 0 {
		text = text[:i]
	}
	return component + ": " + text[:min(len(text), lineKindLen)]
}

// usual tells warnings and errors that a healthy mesh gives too: a node that
// was restarted answers for its earlier start; it stops; one that has just
// failed is still sent to; a busy machine is suspected for a moment; those that
// stop together have soon nobody left to tell.
func usual(text string) bool {
	for _, begin := range []string{
		"Got ping for unexpected node",
		"Shutdown without a Leave",
		"timeout waiting for leave broadcast",
		"Refuting a suspect message",
		"Failed fallback TCP ping",
		"Failed to send gossip to",
		"Failed to send UDP",
		"Failed to send indirect",
		"Push/Pull with",
		"failed to receive: EOF",
	} {
		if strings.HasPrefix(text, begin) {
			return true
		}
	}
	return false
}
