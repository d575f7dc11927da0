package store

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tidings-mesh/tidings/chain"
)

// guard stands between Pebble and the process that hosts it. Pebble answers a
// failed write by ending the process, by a panic, or by trying again without
// end. The guard turns each into the death of this one store: the first
// failure is kept, dead is closed, and no write passes again.
type guard struct {
	log  *slog.Logger
	dead chan struct{}
	once sync.Once
	err  error // why; written before dead is closed

	// armed is off while Pebble opens and closes, where it returns the errors
	// of file calls as others do.
	armed atomic.Bool

	met func(error) // hears of background work that failed, nil for nobody

	parked      atomic.Int64 // committers that will never go on
	corruptions atomic.Int64
	stalls      atomic.Int64
}

func newGuard(log *slog.Logger) *guard {
	return &guard{log: log, dead: make(chan struct{})}
}

// fail kills the store, if nothing did before, and returns why it is dead.
func (g *guard) fail(what string, cause error) error {
	g.once.Do(func() {
		g.err = fmt.Errorf("%w: %s: %w", chain.ErrStoreFailed, what, cause)
		close(g.dead)
		g.log.Error("store failed, it takes no more writes", slog.String("step", what), slog.Any("error", cause))
	})
	<-g.dead
	return g.err
}

// check returns why the store is dead, nil while it lives.
func (g *guard) check() error {
	select {
	case <-g.dead:
		return g.err
	default:
		return nil
	}
}

// parkCommitter never returns if the calling goroutine is a committer. What it
// holds no reader needs, and whoever waits for it is woken by dead. Pebble's
// Close does need it, and is abandoned.
func (g *guard) parkCommitter() {
	if onStack(committer) {
		g.parked.Add(1)
		select {}
	}
}

// Infof implements [pebble.Logger]; what Pebble does when all is well is not
// the host's concern.
func (g *guard) Infof(string, ...any) {}

// Errorf implements [pebble.Logger].
func (g *guard) Errorf(format string, args ...any) {
	g.log.Warn("pebble reports an error", slog.String("detail", fmt.Sprintf(format, args...)))
}

// Fatalf implements [pebble.Logger]. Pebble counts on it not to return. By
// default it ends the process; here it kills the store and ends the goroutine,
// which is the committer, whose defer answers the caller, or one of Pebble's
// own. A reader's goroutine belongs to the caller: there Pebble goes on, to
// return an error.
func (g *guard) Fatalf(format string, args ...any) {
	_ = g.fail("pebble gave up", newFatal(format, args))
	if !onStack(readers) {
		runtime.Goexit()
	}
}

// fatal keeps the reasons that Pebble only prints.
type fatal struct {
	text    string
	reasons []error
}

func newFatal(format string, args []any) *fatal {
	f := &fatal{text: fmt.Sprintf(format, args...)}
	for _, a := range args {
		if err, ok := a.(error); ok {
			f.reasons = append(f.reasons, err)
		}
	}
	return f
}

func (f *fatal) Error() string   { return f.text }
func (f *fatal) Unwrap() []error { return f.reasons }

// events are what Pebble tells of its background work.
func (g *guard) events() *pebble.EventListener {
	return &pebble.EventListener{
		// Pebble would begin the same flush or compaction again at once. That
		// the goroutine ends here keeps its mark of one in progress, so that
		// none follows. It holds only locks that it releases by defer.
		BackgroundError: func(err error) {
			if errors.Is(err, pebble.ErrCancelledCompaction) {
				return
			}
			err = readError(err)
			_ = g.fail("flush or compaction", err)
			if g.met != nil {
				g.met(err)
			}
			runtime.Goexit()
		},
		// By default fatal. The read that met it says so, and others are whole.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			if g.corruptions.Add(1) == 1 { // each read that meets it would say it again
				g.log.Error("a stored table is corrupt", slog.String("path", info.Path), slog.String("error", info.Details.Error()))
			}
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			g.stalls.Add(1)
			g.log.Warn("store stalls writes until it has caught up", slog.String("reason", info.Reason))
		},
	}
}

// Names by which a stack tells whose goroutine it is.
var (
	committer = []string{"/store.(*Disk).commitLoop"}
	// A panic there is an error.
	recovering = []string{"/store.(*Disk).serve"}
	// The callers of all other calls wait for a goroutine of ours.
	readers = []string{
		"/store.(*Disk).Get", "/store.(*Disk).Scan", "/store.(*Disk).Stats", "/store.(*diskIterator).",
		"/store.(*wreck).Get", "/store.(*wreck).Scan",
	}
)

// onStack reports whether the calling goroutine is inside a function of one of
// these names. It is slow, and asked only once something has failed.
func onStack(names []string) bool {
	pcs := make([]uintptr, 128)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		frame, more := frames.Next()
		for _, name := range names {
			if strings.Contains(frame.Function, name) {
				return true
			}
		}
		if !more {
			return false
		}
	}
}

// readError marks what Pebble calls corruption as ours.
func readError(err error) error {
	if err != nil && pebble.IsCorruptionError(err) && !errors.Is(err, chain.ErrCorrupt) {
		return fmt.Errorf("%w: %w", chain.ErrCorrupt, err)
	}
	return err
}
