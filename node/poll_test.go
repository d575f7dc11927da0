package node_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node"
)

// What a poll costs in allocations does not depend on the machine: more of them is a
// change that has to be meant.
func TestPollAllocates(t *testing.T) {
	const updates = 1000
	n := open(t, node.Config{Name: "wh-1"})
	defer n.Close()
	for i := range updates {
		_, err := n.Enqueue(t.Context(), draft("order/1", fmt.Sprintf(`{"n":%d}`, i)))
		require.NoError(t, err)
	}
	_, err := n.Publish(t.Context(), draft("order/1", `{"last":true}`))
	require.NoError(t, err)
	allocations := func(r *http.Request, status int) float64 {
		return testing.AllocsPerRun(100, func() {
			w := discarded{header: http.Header{}}
			if n.Handler().ServeHTTP(&w, r); w.status != status {
				t.Fatalf("%s: status %d, want %d", r.URL, w.status, status)
			}
		})
	}
	view := httptest.NewRequest("GET", "/v1/subjects/order/1", nil)
	unchanged := httptest.NewRequest("GET", "/v1/subjects/order/1", nil)
	w := httptest.NewRecorder()
	n.Handler().ServeHTTP(w, view)
	unchanged.Header.Set("If-None-Match", w.Header().Get("ETag"))
	require.LessOrEqual(t, allocations(view, http.StatusOK), 10.0)
	require.LessOrEqual(t, allocations(unchanged, http.StatusNotModified), 10.0)

	limit := 0
	each := testing.AllocsPerRun(20, func() {
		limit++ // another batch each time: one that was made is shared
		w := discarded{header: http.Header{}}
		n.Handler().ServeHTTP(&w, httptest.NewRequest("GET", fmt.Sprintf("/v1/changes?limit=%d", updates-limit), nil))
	}) / updates
	t.Logf("%.2f allocations an update of the feed", each)
	require.Less(t, each, 2.0)
}

// A place that consumers share who wait for the same is never behind one that any of
// them was told before, whenever they come and however short they wait.
func TestSharedPlacesNeverGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := open(t, node.Config{Name: "wh-1"})
		defer n.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				last := chain.Seq(0)
				ask := func(since string, wait int) string {
					var b struct{ Cursor string }
					get(t, n, fmt.Sprintf("/v1/changes?prefix=van&wait=%dms&since=%s", wait, since), &b)
					c, err := chain.ParseCursor(b.Cursor)
					if at := c.Frontier[n.Origin()]; err != nil || at < last {
						t.Errorf("from %d to %d: %v", last, at, err)
					} else {
						last = at
					}
					return b.Cursor
				}
				for ctx.Err() == nil && !t.Failed() {
					ask(ask("now", 0), 1+i*7)
				}
				if last < 100 {
					t.Errorf("got to %d only", last)
				}
			})
		}
		for i := 0; ctx.Err() == nil; i++ {
			_, err := n.Publish(context.WithoutCancel(ctx), draft("order/"+strings.Repeat("x", i%3+1), fmt.Sprintf(`{"n":%d}`, i)))
			require.NoError(t, err)
			time.Sleep(3 * time.Millisecond)
		}
		wg.Wait()
	})
}
