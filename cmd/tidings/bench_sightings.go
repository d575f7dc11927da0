package main

import (
	"context"
	"sync"
	"time"
)

// sighting is an update, by what its sender knows before it has an ID: others may
// see it before the answer comes.
type sighting struct {
	subject string
	n       int
}

// sightings are the times of updates. It is safe for concurrent use.
type sightings struct {
	mu      sync.Mutex // protects what follows
	flying  map[sighting]*flight
	answers []time.Duration // from sent until answered
	visible []time.Duration // from sent until seen everywhere
	failed  int
	landed  chan struct{} // gets a token where nothing flies any more
}

// flight is an update that has not been seen everywhere.
type flight struct {
	sent     time.Time
	left     int // endpoints that are still to see it
	answered bool
}

func newSightings() *sightings {
	return &sightings{flying: map[sighting]*flight{}, landed: make(chan struct{}, 1)}
}

// sent begins with an update that so many others are to see.
func (s *sightings) sent(u sighting, at time.Time, others int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying[u] = &flight{sent: at, left: others}
}

// answered notes the answer to an update. One that failed is waited for no more.
func (s *sightings) answered(u sighting, sent time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed++
		delete(s.flying, u)
	} else {
		s.answers = append(s.answers, time.Since(sent))
		if f := s.flying[u]; f != nil {
			f.answered = true
			s.land(u, f)
		}
	}
	s.ring()
}

// forget drops an update of which nobody will know what became of it.
func (s *sightings) forget(u sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flying, u)
	s.ring()
}

// seen notes that one of the others has an update.
func (s *sightings) seen(u sighting, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flying[u]
	if f == nil {
		return
	}
	if f.left--; f.left == 0 {
		s.visible = append(s.visible, at.Sub(f.sent))
	}
	s.land(u, f)
	s.ring()
}

// land lets go of what is answered and seen. The lock is held.
func (s *sightings) land(u sighting, f *flight) {
	if f.answered && f.left <= 0 {
		delete(s.flying, u)
	}
}

// ring tells whoever waits that nothing flies. The lock is held.
func (s *sightings) ring() {
	if len(s.flying) == 0 {
		select {
		case s.landed <- struct{}{}:
		default:
		}
	}
}

// wait waits until nothing flies, as long as patience lasts; 0 is for ever.
func (s *sightings) wait(ctx context.Context, patience time.Duration) {
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	for {
		s.mu.Lock()
		left := len(s.flying)
		s.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-s.landed:
		case <-ctx.Done():
			return
		}
	}
}

func (s *sightings) published() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.answers)
}

// result fills in what the times come to.
func (s *sightings) result(r *benchResult, others bool) *benchResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Published, r.Failed = len(s.answers), s.failed
	r.Rate = round(float64(r.Published)/max(r.Seconds, 1e-3), 10)
	r.Publish = latencyOf(s.answers)
	if others {
		visible := latencyOf(s.visible)
		r.Visible, r.Unseen = &visible, len(s.flying)
	}
	return r
}
