package harness

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"
)

// start brings up the mesh of a run.
func start(spec Spec, env Env, t *tracker, r *Result) (Mesh, error) {
	env.Deliver = t.deliver
	began := time.Now()
	m, err := spec.Start(env)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	r.StartMs = float64(time.Since(began)) / 1e6
	time.Sleep(spec.Settle)
	return m, nil
}

// latency publishes count updates from random nodes, rate of them a second, at
// times that do not depend on what the mesh does.
func latency(spec Spec, env Env, j Job) (r Result) {
	t := newTracker(env.N, j.Payload, j.Count+env.N)
	m, err := start(spec, env, t, &r)
	if err != nil {
		r.Failure = err.Error()
		return r
	}
	defer m.Close()
	// One update from each node, not measured, opens connections and fills caches.
	for node := range env.N {
		if _, err := t.publish(m, node); err != nil {
			r.Failure = "warm-up: " + err.Error()
			return r
		}
	}
	t.drain(3*time.Second, 10*time.Second)
	warm := t.next.Load()
	if got := t.complete.Load(); got < warm && !spec.Lossy {
		r.Failure = fmt.Sprintf("warm-up: %d of %d updates reached every node", got, warm)
	}
	for id := range warm {
		t.slot(id).ok = false
	}
	t.pairs.Store(0)

	u := startUsage(j.Profile)
	rng := rand.New(rand.NewPCG(2, uint64(j.Run)))
	began := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex // protects acks and r
	var acks []float64
	for i := range j.Count {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(j.Rate))
		time.Sleep(time.Until(due) + time.Duration(rng.Int64N(int64(time.Second)/int64(j.Rate)/2)))
		node := rng.IntN(env.N)
		wg.Go(func() {
			took, err := t.publish(m, node)
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
	r.Secs = time.Since(began).Seconds()
	u.stop(&r, int(t.complete.Load()-warm))
	t.drain(5*time.Second, 10*time.Second)
	u.wire(&r, float64(t.pairs.Load())*float64(env.N-1)/float64(env.N))
	t.summarize(&r)
	note(m, &r)
	r.PerSec = float64(j.Rate)
	if len(acks) > 0 {
		slices.Sort(acks)
		r.AckP50 = quantile(acks, 0.5)
	}
	return r
}

// throughput publishes from all nodes as fast as the window lets it. What
// completes after the warm-up counts.
func throughput(spec Spec, env Env, j Job) (r Result) {
	t := newTracker(env.N, j.Payload, j.Window*env.N)
	m, err := start(spec, env, t, &r)
	if err != nil {
		r.Failure = err.Error()
		return r
	}
	defer m.Close()
	length := time.Duration(j.Secs * float64(time.Second))
	runtime.GC()
	u := startUsage(j.Profile)
	began := time.Now()
	stop := began.Add(length)
	var wg sync.WaitGroup
	var mu sync.Mutex // protects r
	for p := range max(spec.Publishers, env.N) {
		wg.Go(func() {
			for time.Now().Before(stop) && t.window.acquire() {
				if _, err := t.publish(m, p%env.N); err != nil {
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
	warm := min(time.Second, length/4)
	time.Sleep(time.Until(began.Add(warm)))
	before, from := t.complete.Load(), time.Now()
	time.Sleep(time.Until(stop))
	after := t.complete.Load()
	perSec := float64(after-before) / time.Since(from).Seconds()
	secs := time.Since(began).Seconds()
	t.window.close()
	var usage Result
	u.stop(&usage, int(after))
	wg.Wait()
	close(quit)
	t.drain(5*time.Second, 10*time.Second)
	r.PerSec, r.Secs = perSec, secs
	r.CPUCores, r.CPUPer1k, r.HeapMB, r.RSSMB = usage.CPUCores, usage.CPUPer1k, usage.HeapMB, usage.RSSMB
	u.wire(&r, float64(t.pairs.Load())*float64(env.N-1)/float64(env.N))
	t.summarize(&r)
	note(m, &r)
	return r
}

func note(m Mesh, r *Result) {
	if noted, ok := m.(Noted); ok {
		r.Notes = noted.Notes()
	}
}

// summarize reads the slots, once nobody publishes any more.
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
	slices.Sort(lats)
	if len(lats) > 0 {
		r.P50ms, r.P99ms, r.MaxMs = quantile(lats, 0.50), quantile(lats, 0.99), lats[len(lats)-1]
	}
	if r.Published > 0 {
		r.Complete = float64(len(lats)) / float64(r.Published)
		r.Delivered = min(1, float64(t.pairs.Load())/float64(r.Published*t.n))
	}
}

func quantile(sorted []float64, q float64) float64 {
	return sorted[int(q*float64(len(sorted)-1))]
}
