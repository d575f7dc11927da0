package cluster

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/node/client"
)

var (
	rollFor  = flag.Duration("roll", 8*time.Second, "how long TestConsumerThroughRollingRestarts restarts one agent after the other")
	rollRate = flag.Int("rate", 300, "updates a second that it publishes meanwhile")
)

// rollingGap bounds how long the consumer may be without news while one agent of
// three restarts at a time, with others to go on to.
const rollingGap = 10 * time.Second

// A consumer with the product's own client polls three agents, of which one after
// the other is restarted while producers publish to all. It loses, repeats and
// disorders nothing.
func TestConsumerThroughRollingRestarts(t *testing.T) {
	first := start(t, "wh-1", "warehouse")
	agents := []*agent{first, start(t, "fl-1", "fleet", "--join", first.bind), start(t, "pay-1", "payments", "--join", first.bind)}
	converged(t, 30*time.Second, agents...)

	followed, unfollow := context.WithCancel(t.Context())
	defer unfollow()
	c := &follower{t: t}
	var following sync.WaitGroup
	following.Go(func() { c.follow(followed, agents) })

	publishing, enough := context.WithCancel(t.Context())
	defer enough()
	var publishers sync.WaitGroup
	producers := make([]*producer, len(agents))
	for i, a := range agents {
		producers[i] = newProducer(a)
		pace := time.Second * time.Duration(len(agents)) / time.Duration(*rollRate)
		publishers.Go(func() { producers[i].steady(publishing, t, pace) })
	}

	restarts := 0
	for began := time.Now(); time.Since(began) < *rollFor; restarts++ {
		a := agents[restarts%len(agents)]
		require.NoError(t, a.stop())
		a.run()
		until(t, 30*time.Second, a.name+" is ready again", a.ready)
	}
	enough()
	publishers.Wait()
	converged(t, 30*time.Second, agents...)

	h := &history{}
	h.take(producers...)
	published := 0
	for _, it := range h.items {
		if it.id != "" {
			published++
		}
	}
	until(t, 30*time.Second, "the consumer has the newest of each", func() bool { return c.has(producers) })
	unfollow()
	following.Wait()
	for _, a := range agents {
		h.copies = append(h.copies, copyOf(t, a))
	}
	h.streams = []stream{{name: "the client", updates: c.got, whole: true}}
	require.Empty(t, h.faults())
	t.Logf("%d restarts, %d acknowledged in %s, %d received; longest without news %s; went on to another endpoint %d times",
		restarts, published, *rollFor, len(c.got), c.gap.Round(time.Millisecond), c.moves.Load())
	require.Less(t, c.gap, rollingGap)
	require.NotZero(t, restarts)
}

// steady publishes at a pace until ctx ends, from as many clients as that takes.
// What was begun then is still brought to its end. Subjects change with time, as
// orders do.
func (p *producer) steady(ctx context.Context, t *testing.T, pace time.Duration) {
	var next atomic.Int64
	var clients sync.WaitGroup
	began := time.Now()
	for range 8 {
		clients.Go(func() {
			for {
				i := next.Add(1)
				if !sleep(ctx, time.Until(began.Add(time.Duration(i)*pace))) {
					return
				}
				p.one(t.Context(), t, fmt.Sprintf("order/%d", i/1000), int(i))
			}
		})
	}
	clients.Wait()
}

// follower follows the feed by package client.
type follower struct {
	t     *testing.T
	moves atomic.Int64

	mu  sync.Mutex // protects what follows
	got []update
	ids map[string]bool
	gap time.Duration // the longest between two batches with something
}

func (f *follower) follow(ctx context.Context, agents []*agent) {
	cfg := client.Config{Timeout: 5 * time.Second, Notify: func(e client.Event) {
		if e.Kind == client.EndpointDown {
			f.moves.Add(1)
		}
	}}
	for _, a := range agents {
		cfg.Endpoints = append(cfg.Endpoints, a.url(""))
	}
	c := client.New(cfg)
	defer c.Close()
	f.ids = map[string]bool{}
	var last time.Time
	for batch, err := range c.Changes(ctx) {
		if err != nil {
			f.t.Errorf("the feed ended: %v", err)
			return
		}
		f.mu.Lock()
		if now := time.Now(); len(batch.Updates) > 0 {
			if !last.IsZero() {
				f.gap = max(f.gap, now.Sub(last))
			}
			last = now
		}
		for i := range batch.Updates {
			var u update
			if err := json.Unmarshal(batch.Updates[i].Raw, &u); err != nil {
				f.t.Errorf("an update that is none: %v", err)
			}
			f.got = append(f.got, u)
			f.ids[u.ID] = true
		}
		f.mu.Unlock()
	}
}

// has reports whether all that was acknowledged was received.
func (f *follower) has(producers []*producer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !slices.ContainsFunc(producers, func(p *producer) bool {
		return slices.ContainsFunc(p.acked(), func(it *item) bool { return !f.ids[it.id] })
	})
}
