package harness

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	chunkBits = 15
	chunkLen  = 1 << chunkBits
	maxChunks = 1 << 10
	// expiry is when an update that is not everywhere gives its place in the
	// window to another.
	expiry = 5 * time.Second
	// maxNodes is what fits into a slot's bits.
	maxNodes = 64
)

// slot is one update on its way.
type slot struct {
	t0    int64         // when Publish was called: ns since the tracker began
	seen  atomic.Uint64 // a bit for each node
	done  atomic.Int64  // when the last node had it, 0 before: ns since the tracker began
	freed atomic.Bool   // its place in the window is given back
	ok    bool          // Publish returned without an error
}

// tracker follows every update from Publish to the last node.
type tracker struct {
	n       int
	payload int
	full    uint64
	began   time.Time
	window  *window

	chunks   [maxChunks]atomic.Pointer[[chunkLen]slot]
	mu       sync.Mutex // held to add a chunk
	next     atomic.Int64
	complete atomic.Int64
	pairs    atomic.Int64
}

func newTracker(n, payload, limit int) *tracker {
	return &tracker{n: n, payload: payload, full: 1<<uint(n) - 1, began: time.Now(), window: newWindow(limit)}
}

func (t *tracker) now() int64 { return int64(time.Since(t.began)) + 1 }

func (t *tracker) slot(id int64) *slot {
	c := id >> chunkBits
	if c < 0 || c >= maxChunks {
		return nil
	}
	p := t.chunks[c].Load()
	if p == nil {
		t.mu.Lock()
		if p = t.chunks[c].Load(); p == nil {
			p = new([chunkLen]slot)
			t.chunks[c].Store(p)
		}
		t.mu.Unlock()
	}
	return &p[id&(chunkLen-1)]
}

// deliver is the mesh's [Deliver].
func (t *tracker) deliver(node int, payload []byte) {
	id := payloadNumber(payload)
	if id < 0 || id >= t.next.Load() {
		return
	}
	s := t.slot(id)
	if s == nil {
		return
	}
	bit := uint64(1) << uint(node)
	old := s.seen.Or(bit)
	if old&bit != 0 {
		return
	}
	t.pairs.Add(1)
	if old|bit == t.full {
		s.done.Store(t.now())
		t.complete.Add(1)
		t.free(s)
	}
}

func (t *tracker) free(s *slot) {
	if s.freed.CompareAndSwap(false, true) {
		t.window.release()
	}
}

// publish sends one new update from node; it reports how long Publish took.
// The caller holds a place in the window for it.
func (t *tracker) publish(m Mesh, node int) (time.Duration, error) {
	id := t.next.Add(1) - 1
	s := t.slot(id)
	if s == nil {
		return 0, errors.New("out of slots: the run is too long")
	}
	p := NewPayload(t.payload, id)
	s.t0 = t.now()
	err := m.Publish(node, p)
	took := time.Duration(t.now() - s.t0)
	if err != nil {
		t.free(s)
		return took, err
	}
	s.ok = true
	return took, nil
}

// drain waits until everything is delivered, or nothing has moved for quiet,
// or limit has passed.
func (t *tracker) drain(quiet, limit time.Duration) {
	end := time.Now().Add(limit)
	last, since := t.pairs.Load(), time.Now()
	for time.Now().Before(end) {
		if t.complete.Load() >= t.next.Load() {
			return
		}
		time.Sleep(20 * time.Millisecond)
		if p := t.pairs.Load(); p != last {
			last, since = p, time.Now()
		} else if time.Since(since) > quiet {
			return
		}
	}
}

// expire gives back the places of updates that look lost, until quit is closed.
func (t *tracker) expire(quit chan struct{}) {
	var head int64
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-quit:
			return
		case <-tick.C:
		}
		for ; head < t.next.Load(); head++ {
			s := t.slot(head)
			if s == nil || s.done.Load() > 0 {
				continue
			}
			if t.now()-s.t0 < int64(expiry) {
				break
			}
			t.free(s)
		}
	}
}

// window bounds the updates on their way. Who finds it full sleeps until an
// eighth of it is free, so that waking up costs little beside the work.
type window struct {
	limit, low int64
	out        atomic.Int64
	waiting    atomic.Int64
	mu         sync.Mutex // of the condition
	room       sync.Cond
	closed     atomic.Bool
}

func newWindow(limit int) *window {
	w := &window{limit: int64(limit), low: int64(limit - max(1, limit/8))}
	w.room.L = &w.mu
	return w
}

// acquire takes a place; it reports false once the window is closed.
func (w *window) acquire() bool {
	for !w.closed.Load() {
		if w.out.Add(1) <= w.limit {
			return true
		}
		w.release()
		w.mu.Lock()
		w.waiting.Add(1)
		for w.out.Load() > w.low && !w.closed.Load() {
			w.room.Wait()
		}
		w.waiting.Add(-1)
		w.mu.Unlock()
	}
	return false
}

func (w *window) release() {
	if w.out.Add(-1) <= w.low && w.waiting.Load() > 0 {
		w.mu.Lock()
		w.room.Broadcast()
		w.mu.Unlock()
	}
}

func (w *window) close() {
	w.closed.Store(true)
	w.mu.Lock()
	w.room.Broadcast()
	w.mu.Unlock()
}
