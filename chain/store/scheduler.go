package store

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// scheduler lets Pebble compact, as many at a time as it asks for, but not
// before begin. Pebble begins while it opens otherwise, and if that fails in
// the end it takes the caches from under a compaction, which ends the process.
// An open that failed leaves no goroutine of it either.
type scheduler struct {
	db   pebble.DBForCompaction // set by Register
	wake chan struct{}          // takes one
	quit chan struct{}
	done chan struct{} // closed when the goroutine of begin has ended

	mu      sync.Mutex // protects what follows; Pebble may hold its own before it
	begun   bool
	running int
}

func newScheduler() *scheduler {
	return &scheduler{wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// begin lets compactions run from now on.
func (s *scheduler) begin() {
	s.mu.Lock()
	s.begun = true
	s.mu.Unlock()
	s.poke()
	go s.grantLoop()
}

func (s *scheduler) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *scheduler) grantLoop() {
	defer close(s.done)
	for {
		select {
		case <-s.wake:
			for s.grant() {
			}
		case <-s.quit:
			return
		}
	}
}

// grant starts a compaction that waits, and reports whether there was one.
func (s *scheduler) grant() bool {
	if !s.reserve() {
		return false
	}
	if waiting, _ := s.db.GetWaitingCompaction(); waiting && s.db.Schedule(s) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	return false
}

func (s *scheduler) reserve() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun || s.running >= s.db.GetAllowedWithoutPermission() {
		return false
	}
	s.running++
	return true
}

// Register implements [pebble.CompactionScheduler].
func (s *scheduler) Register(_ int, db pebble.DBForCompaction) { s.db = db }

// Unregister implements [pebble.CompactionScheduler]. Pebble calls it once, at
// its Close.
func (s *scheduler) Unregister() {
	s.mu.Lock()
	begun := s.begun
	s.begun = false
	s.mu.Unlock()
	if begun {
		close(s.quit)
		<-s.done
	}
}

// TrySchedule implements [pebble.CompactionScheduler]. Pebble keeps in mind
// what it is refused, until grant finds it.
func (s *scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	if !s.reserve() {
		return false, nil
	}
	return true, s
}

// UpdateGetAllowedWithoutPermission implements [pebble.CompactionScheduler].
func (s *scheduler) UpdateGetAllowedWithoutPermission() { s.poke() }

// The scheduler is the handle of every compaction.

func (s *scheduler) Started()                                          {}
func (s *scheduler) MeasureCPU(pebble.CompactionGoroutineKind)         {}
func (s *scheduler) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done ends a compaction.
func (s *scheduler) Done() {
	s.mu.Lock()
	s.running--
	s.mu.Unlock()
	s.poke()
}
