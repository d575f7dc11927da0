package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// An answer that the node does not take is counted as that, and published once
// the node takes it.
func TestAnAnswerThatCannotBePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := Open(t.Context(), Config{Name: "wh-1"})
		require.NoError(t, err)
		defer func() { require.NoError(t, n.Close()) }()
		n.state.setRefusal(fmt.Errorf("%w: for a while", ErrNotReady))
		var asked atomic.Int64
		_, err = Poll(n, Source[map[string]int]{Name: "wms", Every: time.Second, Ask: One("order/1", func(context.Context) (map[string]int, error) {
			asked.Add(1)
			return map[string]int{"n": 1}, nil
		})})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		synctest.Wait()
		p := n.sources.pollers()[0]
		require.Less(t, asked.Load(), int64(15), "it is asked less often")
		require.EqualValues(t, asked.Load(), p.counts[pollUnpublished].Load())
		require.Zero(t, p.refused.Load())

		n.state.setRefusal(nil)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		s, err := n.View(t.Context(), "order/1")
		require.NoError(t, err)
		require.Equal(t, `{"n":1}`, s.Status().String())
	})
}

// A source is not asked while nothing of what it says could be published.
func TestNoSourceIsAskedBeforeTheOwnChainIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Name: "n"}
		cfg.setDefaults()
		n := newNode(cfg)
		for _, step := range n.steps()[:6] { // all but the mesh and the recovery
			require.NoError(t, step(t.Context()))
		}
		var asked atomic.Int64
		stop, err := Poll(n, Source[map[string]int]{Name: "wms", Every: time.Second, Ask: func(context.Context) (map[string]map[string]int, error) {
			asked.Add(1)
			return nil, nil
		}})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Zero(t, asked.Load())
		n.state.setClocks()
		n.state.setOwn()
		time.Sleep(time.Minute)
		stop()
		require.Greater(t, asked.Load(), int64(50))
		require.NoError(t, n.Close())
	})
}
