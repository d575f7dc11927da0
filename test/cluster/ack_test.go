package cluster

import (
	"context"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Of two nodes each publishes with ack=2, and one loses its process and its
// directory at any moment, again and again: every update that was answered 201
// is on the other one, and comes back to the node under its new origin.
func TestTwoCopiesSurviveADisk(t *testing.T) {
	agents := []*agent{start(t, "wh-1", "warehouse")}
	agents = append(agents, start(t, "wh-2", "warehouse", "--join", agents[0].bind))
	agents[0].args = append(agents[0].args, "--join", agents[1].bind)
	converged(t, 30*time.Second, agents...)
	h := &history{gone: map[string]bool{}}
	var producers []*producer
	for _, a := range agents {
		p := newProducer(a)
		p.ack, p.once = 2, true
		producers = append(producers, p)
	}
	rounds := count("TIDINGS_LOSSES", 2)
	for round := range rounds {
		victim := agents[round%2]
		before, ok := victim.mesh()
		require.True(t, ok)
		acked := len(producers[round%2].acked())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var wg sync.WaitGroup
		for _, p := range producers {
			p.until = make(chan struct{})
			wg.Go(func() { p.publish(ctx, t, 8, 1, "order/"+before.Origin) })
		}
		time.Sleep(time.Duration(200+rand.IntN(300)) * time.Millisecond)
		victim.kill()
		for _, p := range producers {
			close(p.until)
		}
		require.NoError(t, os.RemoveAll(victim.data()))
		h.gone[before.Origin] = true
		wg.Wait()
		cancel()
		victim.run()
		converged(t, 30*time.Second, agents...)
		require.Greater(t, len(producers[round%2].acked()), acked, "something was acknowledged before")
	}
	h.take(producers...)
	for _, a := range agents {
		h.copies = append(h.copies, copyOf(t, a))
	}
	require.Equal(t, h.copies[0].root, h.copies[1].root)
	require.Empty(t, h.faults())
	copied := 0
	for _, it := range h.items {
		if it.acks >= 2 && h.gone[originOf(it.id)] {
			copied++
		}
	}
	require.NotZero(t, copied)
	t.Logf("%d disks lost; %d updates tried, %d of them acknowledged by two and their origin's disk lost", rounds, len(h.items), copied)
}
