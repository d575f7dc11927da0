package cluster

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// count is a number that longer runs raise.
func count(env string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(env)); err == nil && n > 0 {
		return n
	}
	return usual
}

// A node on disk, killed again and again while 16 clients publish to it and one
// polls it: all that was acknowledged is there, once, and the cursor holds.
func TestKilledUnderLoad(t *testing.T) {
	kills, items := count("TIDINGS_KILLS", 10), count("TIDINGS_ITEMS", 10_000)
	a := start(t, "wh-1", "warehouse", "--recover-wait", "100ms")
	p := newProducer(a)
	c := newConsumer(a)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	following, stop := context.WithCancel(ctx)
	var wg, polls sync.WaitGroup
	wg.Go(func() { p.publish(ctx, t, 16, items, "order") })
	polls.Go(func() { c.follow(following) })
	for range kills {
		time.Sleep(time.Duration(20+rand.IntN(150)) * time.Millisecond)
		a.kill()
		a.run()
	}
	wg.Wait()
	stop()
	polls.Wait()
	require.NoError(t, ctx.Err())
	require.Len(t, p.acked(), items)
	c.finish(t, p)
	require.Len(t, c.got, items)
	command(t, "verify", "--endpoints", a.url(""))
	require.NoError(t, a.stop())
}
