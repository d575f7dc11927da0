package client

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// pool is the endpoints, and how each of them did. It is safe for concurrent
// use.
type pool struct {
	inOrder bool

	mu  sync.Mutex // protects what follows, and the fields of endpoints
	all []*endpoint
	at  int // place of the one to ask first
}

// endpoint is one node's HTTP interface, as far as is known: the pool's.
type endpoint struct {
	url   string
	pause *backoff.ExponentialBackOff // while it fails, else nil
	aside time.Time                   // others are asked before it until then
	quiet time.Time                   // it asked to be left alone until then
	// lagging: others are preferred until then, because of its feed.
	lagging time.Time
	lag     lag
}

// lag is what was said of an endpoint whose feed stays behind, which may be for ever:
// where what a cursor has seen is lost.
type lag struct {
	by   *feed         // that left it last; nil if that has found it well since
	left time.Time     // when it did
	next time.Time     // it is logged again from then on
	wait time.Duration // and then after twice that
}

const (
	// An endpoint that fails is put aside for the first to the last of these,
	// doubling, give or take a half.
	asideFirst = 250 * time.Millisecond
	asideLast  = 30 * time.Second
	// A node is left once its feed has been behind for lagPatience: gossip takes
	// milliseconds, and a node that catches up should not be asked meanwhile.
	lagPatience = 5 * time.Second
	// lagAside is for how long others are preferred to it.
	lagAside = 30 * time.Second
	// One that stays behind is logged when that begins, and then after the first to
	// the last of these, doubling. It has begun anew if it was not left for lagAnew.
	lagLogFirst = time.Minute
	lagLogLast  = time.Hour
	lagAnew     = 5 * time.Minute
)

// newPause returns pauses that double from first to last, give or take a half.
func newPause(first, last time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = first, last, 2, 0.5
	b.Reset()
	return b
}

func newPool(urls []string, inOrder bool) *pool {
	p := &pool{inOrder: inOrder}
	for _, url := range urls {
		p.all = append(p.all, &endpoint{url: url})
	}
	if !inOrder && len(urls) > 0 {
		p.at = rand.IntN(len(urls))
	}
	return p
}

// rank tells good endpoints (0) from ones that lag (1) and that fail (2).
func (e *endpoint) rank(now time.Time) int {
	switch {
	case now.Before(e.aside):
		return 2
	case now.Before(e.lagging):
		return 1
	}
	return 0
}

// order is the endpoints as they are to be asked: the present one, then others,
// and last those that are put aside, which may have come back.
func (p *pool) order() []*endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	order := slices.Concat(p.all[p.at:], p.all[:p.at])
	if !p.inOrder && len(order) > 1 {
		rest := order[1:]
		rand.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	}
	now := time.Now()
	slices.SortStableFunc(order, func(a, b *endpoint) int {
		by := cmp.Compare(a.rank(now), b.rank(now))
		if by == 0 && a.rank(now) == 2 {
			by = a.aside.Compare(b.aside)
		}
		return by
	})
	return order
}

// answered records that an endpoint serves, and reports whether it had failed. It
// becomes the present one where that does not serve well.
func (p *pool) answered(e *endpoint) (again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again = e.pause != nil
	e.pause, e.aside, e.quiet = nil, time.Time{}, time.Time{}
	if p.all[p.at].rank(time.Now()) > e.rank(time.Now()) {
		p.at = slices.Index(p.all, e)
	}
	return again
}

// failed puts an endpoint aside, for at least the time that it asks for. first
// tells that it answered before.
func (p *pool) failed(e *endpoint, atLeast time.Duration) (pause time.Duration, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first = e.pause == nil
	if first {
		e.pause = newPause(asideFirst, asideLast)
	}
	now := time.Now()
	pause = max(e.pause.NextBackOff(), atLeast)
	e.aside, e.quiet = now.Add(pause), now.Add(atLeast)
	return pause, first
}

// quiet is for how long all endpoints have asked to be left alone.
func (p *pool) quiet() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := slices.MinFunc(p.all, func(a, b *endpoint) int { return a.quiet.Compare(b.quiet) })
	return max(time.Until(first.quiet), 0)
}

// leave lets others be preferred to an endpoint whose feed has been behind since a
// time, if that is long enough. It returns for how long, whether that is to be
// logged, and whether it has still to be seen.
func (p *pool) leave(e *endpoint, f *feed, since time.Time) (pause time.Duration, log, watch bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case len(p.all) == 1 || now.Before(e.lagging):
		return 0, false, false
	case now.Sub(since) < lagPatience:
		return 0, false, true
	}
	pause = lagAside/2 + rand.N(lagAside)
	e.lagging = now.Add(pause)
	l := &e.lag
	switch {
	case l.by == nil || now.Sub(l.left) > lagAnew:
		log, l.wait = true, lagLogFirst
	case !now.Before(l.next):
		log, l.wait = true, min(2*l.wait, lagLogLast)
	}
	if log {
		l.next = now.Add(l.wait)
	}
	l.by, l.left = f, now
	return pause, log, false
}

// caughtUp records that a feed is not behind at an endpoint, and reports whether it is
// the one that left it last because of that.
func (p *pool) caughtUp(e *endpoint, f *feed) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.lag.by != f {
		return false
	}
	e.lag = lag{}
	return true
}
