package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Between what peers sent the writer rests for longer than that took, where it has
// committed drafts lately, and not otherwise.
func TestWriterRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{outbox: make(chan *Ack), settles: make(chan *settling), quit: make(chan struct{}), inbox: newInbox()}
		rested := func(took time.Duration) time.Duration {
			began := time.Now()
			w.rest(took)
			return time.Since(began)
		}
		require.Zero(t, rested(time.Millisecond), "nobody has published yet")
		w.drafted = time.Now()
		require.Equal(t, restTimes*time.Millisecond, rested(time.Millisecond))
		require.Equal(t, restMost, rested(time.Second))
		time.Sleep(restAfter)
		require.Zero(t, rested(time.Millisecond), "nobody publishes any more")
		w.drafted = time.Now()
		close(w.quit)
		require.Zero(t, rested(time.Millisecond), "it is to end")
	})
}
