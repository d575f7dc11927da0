// Package bench measures gossip-like meshes: every update published on any
// node must reach all nodes, and the clock stops at the last of them.
package harness

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// Mesh is one running cluster of N in-process nodes.
type Mesh interface {
	// Publish hands one update to a node. It returns once the peer has
	// accepted it, in whatever sense the peer has (queued, acked, committed).
	Publish(node int, payload []byte) error
	Close()
}

// Deliver is called by a mesh when a node has received an update. It may be
// called from any goroutine, more than once, and does not keep the payload.
type Deliver func(node int, payload []byte)

// Env is what a mesh gets to start.
type Env struct {
	N       int
	Dir     string // empty directory on a real disk, for peers that store
	Deliver Deliver
}

// Spec describes one row family of the table.
type Spec struct {
	Name string
	// Exe is the program that has the peer; empty means this one.
	Exe     string
	Durable string // what is on disk when Publish returns
	Loss    string // what the peer promises about losses
	// Windows are the outstanding updates per node in the throughput phase
	// (released on delivery to all nodes, or after expiry when lost). One run
	// per window.
	Windows []int
	// Publishers is the number of concurrent Publish calls over the whole
	// mesh in the throughput phase; 0 means one per node.
	Publishers int
	// Rates are extra latency runs below the common rate, for peers that
	// saturate there.
	Rates []int
	// Settle is a pause after Start, before anything is published.
	Settle time.Duration
	Start  func(Env) (Mesh, error) `json:"-"`
}

// Result is one measured run.
type Result struct {
	Peer   string  `json:"peer"`
	Phase  string  `json:"phase"` // "latency" or "throughput"
	N      int     `json:"nodes"`
	Rate   int     `json:"rate,omitempty"`
	Window int     `json:"window,omitempty"`
	Secs   float64 `json:"secs"`

	Published int     `json:"published"`
	Errors    int     `json:"errors"`
	FirstErr  string  `json:"first_err,omitempty"`
	Complete  float64 `json:"complete"`  // share of updates on all nodes
	Delivered float64 `json:"delivered"` // share of (update, node) pairs

	P50ms  float64 `json:"p50_ms"`
	P99ms  float64 `json:"p99_ms"`
	MaxMs  float64 `json:"max_ms"`
	AckP50 float64 `json:"ack_p50_ms"` // time Publish itself took

	PerSec   float64 `json:"updates_per_s"`
	CPUPer1k float64 `json:"cpu_s_per_1k"`
	CPUCores float64 `json:"cpu_cores"`
	RSSMB    float64 `json:"rss_mb"`
	HeapMB   float64 `json:"heap_mb"`
	// WireB is loopback bytes per update and remote receiver (N-1).
	WireB    float64 `json:"wire_b"`
	Isolated bool    `json:"isolated"`
	Failure  string  `json:"failure,omitempty"`
}

const (
	idBytes   = 8
	chunkBits = 15
	chunkLen  = 1 << chunkBits
	maxChunks = 1 << 10
	expiry    = 5 * time.Second
)

type slot struct {
	t0    int64         // ns since the phase began
	seen  atomic.Uint64 // bit per node
	done  atomic.Int64  // ns since the phase began, 0 if incomplete
	freed atomic.Bool   // its place in the window is given back
	ok    bool
}

// tracker follows every update from Publish to the last node.
type tracker struct {
	n           int
	full        uint64
	began       time.Time
	chunks      [maxChunks]atomic.Pointer[[chunkLen]slot]
	mu          sync.Mutex
	next        atomic.Int64
	complete    atomic.Int64
	pairs       atomic.Int64
	outstanding atomic.Int64
}

func newTracker(n int) *tracker {
	return &tracker{n: n, full: 1<<uint(n) - 1, began: time.Now()}
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

func (t *tracker) deliver(node int, payload []byte) {
	if len(payload) < idBytes {
		return
	}
	id := int64(binary.LittleEndian.Uint64(payload))
	if id >= t.next.Load() {
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
		t.outstanding.Add(-1)
	}
}

// publish sends one new update from node; it reports how long Publish took.
func (t *tracker) publish(m Mesh, node int, body []byte) (time.Duration, error) {
	id := t.next.Add(1) - 1
	s := t.slot(id)
	if s == nil {
		return 0, fmt.Errorf("out of slots")
	}
	t.outstanding.Add(1)
	p := make([]byte, len(body))
	copy(p, body)
	binary.LittleEndian.PutUint64(p, uint64(id))
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

// bodies makes status-like payloads: half structure, half noise.
func bodies(size int) [][]byte {
	rng := rand.New(rand.NewSource(1))
	const alpha = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	out := make([][]byte, 256)
	for i := range out {
		b := fmt.Appendf(make([]byte, idBytes), `{"service":"svc-%03d","state":"degraded","dc":"eu-%d","ver":%d,"latency_ms":%.3f,"note":"`,
			i, i%4, rng.Intn(1<<30), rng.Float64()*100)
		for len(b) < size-2 {
			b = append(b, alpha[rng.Intn(len(alpha))])
		}
		b = append(b, '"', '}')
		out[i] = b[:size]
	}
	return out
}

func (t *tracker) summarize(r *Result) {
	var lats []float64
	for id := range t.next.Load() {
		s := t.slot(id)
		if s == nil || !s.ok {
			continue
		}
		r.Published++
		if d := s.done.Load(); d > 0 {
			lats = append(lats, float64(d-s.t0)/1e6)
		}
	}
	sort.Float64s(lats)
	if len(lats) > 0 {
		r.P50ms = quantile(lats, 0.50)
		r.P99ms = quantile(lats, 0.99)
		r.MaxMs = lats[len(lats)-1]
	}
	if r.Published > 0 {
		r.Complete = float64(len(lats)) / float64(r.Published)
		r.Delivered = min(1, float64(t.pairs.Load())/float64(r.Published*t.n))
	}
}

func quantile(sorted []float64, q float64) float64 {
	return sorted[int(q*float64(len(sorted)-1))]
}

// Latency publishes count updates at rate per second from random nodes.
func Latency(spec Spec, env Env, payload, rate, count int) (r Result) {
	r = Result{Peer: spec.Name, Phase: "latency", N: env.N, Rate: rate}
	t := newTracker(env.N)
	env.Deliver = t.deliver
	m, err := spec.Start(env)
	if err != nil {
		r.Failure = err.Error()
		return r
	}
	defer m.Close()
	time.Sleep(spec.Settle)
	body, rng := bodies(payload), rand.New(rand.NewSource(2))

	// One unmeasured update per node opens connections and fills caches.
	for node := range env.N {
		if _, err := t.publish(m, node, body[0]); err != nil {
			r.Failure = "warm-up: " + err.Error()
			return r
		}
	}
	t.drain(3*time.Second, 10*time.Second)
	warm := t.next.Load()
	r.Failure = warmFailure(t, warm)
	for id := range warm {
		t.slot(id).ok = false
	}
	t.pairs.Store(0)

	u := startUsage()
	start := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var acks []float64
	for i := range count {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due) + time.Duration(rng.Int63n(int64(time.Second)/int64(rate)/2)))
		node, b := rng.Intn(env.N), body[i%len(body)]
		wg.Go(func() {
			took, err := t.publish(m, node, b)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.Errors++
				r.FirstErr = err.Error()
				return
			}
			acks = append(acks, float64(took)/1e6)
		})
	}
	wg.Wait()
	r.Secs = time.Since(start).Seconds()
	u.stop(&r, int(t.complete.Load()-warm))
	t.drain(5*time.Second, 10*time.Second)
	u.wire(&r, float64(t.pairs.Load())*float64(env.N-1)/float64(env.N))
	t.summarize(&r)
	r.PerSec = float64(rate)
	if len(acks) > 0 {
		sort.Float64s(acks)
		r.AckP50 = quantile(acks, 0.5)
	}
	return r
}

func warmFailure(t *tracker, warm int64) string {
	if got := t.complete.Load(); got < warm {
		return fmt.Sprintf("warm-up: %d of %d updates reached every node", got, warm)
	}
	return ""
}

// Throughput publishes as fast as the window lets it from all nodes.
func Throughput(spec Spec, env Env, payload, window int, length time.Duration) (r Result) {
	r = Result{Peer: spec.Name, Phase: "throughput", N: env.N, Window: window}
	t := newTracker(env.N)
	env.Deliver = t.deliver
	m, err := spec.Start(env)
	if err != nil {
		r.Failure = err.Error()
		return r
	}
	defer m.Close()
	time.Sleep(spec.Settle)
	body := bodies(payload)
	publishers := max(spec.Publishers, env.N)
	limit := int64(window * env.N)

	runtime.GC()
	u := startUsage()
	start := time.Now()
	stop := start.Add(length)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for p := range publishers {
		wg.Go(func() {
			for i := p; time.Now().Before(stop); i++ {
				for t.outstanding.Load() >= limit {
					time.Sleep(100 * time.Microsecond)
					if !time.Now().Before(stop) {
						return
					}
				}
				if _, err := t.publish(m, p%env.N, body[i%len(body)]); err != nil {
					mu.Lock()
					r.Errors++
					r.FirstErr = err.Error()
					mu.Unlock()
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	quit := make(chan struct{})
	go t.expire(quit)
	// The first second is warm-up and is not counted.
	warm := min(time.Second, length/4)
	time.Sleep(time.Until(start.Add(warm)))
	before := t.complete.Load()
	time.Sleep(time.Until(stop))
	after := t.complete.Load()
	r.Secs = time.Since(start).Seconds()
	r.PerSec = float64(after-before) / (r.Secs - warm.Seconds())
	u.stop(&r, int(after))
	wg.Wait()
	close(quit)
	t.drain(5*time.Second, 10*time.Second)
	u.wire(&r, float64(t.pairs.Load())*float64(env.N-1)/float64(env.N))
	t.summarize(&r)
	return r
}

// expire gives back the window places of updates that look lost.
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
			if s.done.Load() > 0 {
				continue
			}
			if t.now()-s.t0 < int64(expiry) {
				break
			}
			t.free(s)
		}
	}
}
