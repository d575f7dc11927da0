package virtual

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/node"
)

// Nodes that start at once find each other. What is published on any of them is
// shown by all, with the same bytes.
func TestNodesAgree(t *testing.T) {
	for _, disk := range []bool{false, true} {
		t.Run(fmt.Sprintf("disk=%v", disk), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				nodes := w.mesh(5, func(c *node.Config) {
					if disk {
						w.onDisk(c)
					}
				})
				found := time.Since(w.began)
				b, c := newBooks(), newConsumer(nodes...)
				stop, unfollow := b.produce(w, 40*time.Millisecond, nodes...), c.follow(w)
				time.Sleep(2 * time.Second)
				stop()
				took := w.settle(5*time.Second, nodes...)
				unfollow()
				c.finish(w, b)
				w.same(b, nodes...)
				require.Greater(t, len(b.acked), 150)
				require.Equal(t, len(b.tried), len(b.acked))
				t.Logf("whole after %s; %d updates, converged %s after the last", found, len(b.acked), took)
			})
		})
	}
}

// A poll that waits on one node is answered as soon as another one publishes, and
// without news exactly when its time is over.
func TestLongPollAcrossNodes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const delay = 20 * time.Millisecond
		nodes := w.mesh(3)
		w.setPath(slow(delay))
		b := newBooks()
		b.publish(w, nodes[1], "order/1")
		w.settle(5*time.Second, nodes...)

		var now page
		nodes[2].get("/v1/changes?since=now").into(t, http.StatusOK, &now)
		wait := func(path string) (a answer, took time.Duration) {
			began := time.Now()
			a = nodes[2].get(path)
			return a, time.Since(began)
		}
		feed := "/v1/changes?" + url.Values{"since": {now.Cursor}, "wait": {"30s"}}.Encode()
		a, took := wait(feed)
		require.Equal(t, 30*time.Second, took)
		var p page
		a.into(t, http.StatusOK, &p)
		require.Empty(t, p.Updates)
		require.Equal(t, now.Cursor, p.Cursor)

		view := nodes[2].get("/v1/subjects/order/1")
		ifChanged := func() answer {
			return nodes[2].get("/v1/subjects/order/1?wait=30s", "If-None-Match", view.Header().Get("ETag"))
		}
		began := time.Now()
		require.Equal(t, http.StatusNotModified, ifChanged().Code)
		require.Equal(t, 30*time.Second, time.Since(began))

		type result struct {
			answer
			at time.Time
		}
		waiters := []chan result{make(chan result, 1), make(chan result, 1)}
		go func() { a := nodes[2].get(feed); waiters[0] <- result{a, time.Now()} }()
		go func() { a := ifChanged(); waiters[1] <- result{a, time.Now()} }()
		time.Sleep(7 * time.Second)
		synctest.Wait()
		published := time.Now()
		id, ok := b.publish(w, nodes[0], "order/1")
		require.True(t, ok)
		first, second := <-waiters[0], <-waiters[1]
		for _, r := range []result{first, second} {
			require.Less(t, r.at.Sub(published), delay+10*time.Millisecond)
		}
		first.into(t, http.StatusOK, &p)
		require.Len(t, p.Updates, 1)
		require.Equal(t, id, p.Updates[0].ID)
		var v struct{ Heads []string }
		second.into(t, http.StatusOK, &v)
		require.Contains(t, v.Heads, id)
		t.Logf("answered %s after the publish, over a network of %s", first.at.Sub(published), delay)
	})
}

// A node that is gone without a word is seen to have failed. Who is left says
// that it is converged while it is the majority of those it knows, and again
// once the lost ones are forgotten.
func TestCrashesAndConvergence(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		nodes := w.mesh(5)
		b := newBooks()
		for _, m := range nodes {
			b.publish(w, m, "order/1")
		}
		w.settle(5*time.Second, nodes...)
		left := nodes
		for len(left) > 2 {
			gone := left[len(left)-1]
			left = left[:len(left)-1]
			w.pull(gone)
			seen := w.within(10*time.Second, "the crash is seen", func() bool {
				return !slices.ContainsFunc(left, func(m *member) bool { return m.mesh().status(gone.Name()) != "failed" })
			})
			require.Less(t, seen, 6*time.Second)
			t.Logf("%d of 5 left: seen after %s", len(left), seen)
			if len(left) > 2 { // more than half of five
				w.settle(5*time.Second, left...)
			}
			w.crash(gone)
		}
		time.Sleep(10 * time.Second)
		for _, m := range left {
			require.False(t, m.mesh().Converged, "2 of 5 are not the majority")
			require.Equal(t, "false", m.get("/healthz").Header().Get("Tidings-Converged"))
		}
		refused := left[0].call(http.MethodDelete, "/v1/mesh/members/n2", "")
		require.Equal(t, http.StatusForbidden, refused.Code, "it is alive: %s", refused.Body)
		forget := func(m *member, name string) {
			a := m.call(http.MethodDelete, "/v1/mesh/members/"+name, "")
			require.Equal(t, http.StatusNoContent, a.Code, "%s", a.Body)
			w.within(2*time.Minute, "forgotten everywhere", func() bool {
				return left[0].mesh().status(name) == "" && left[1].mesh().status(name) == ""
			})
		}
		forget(left[0], "n5")
		time.Sleep(10 * time.Second)
		require.False(t, left[0].mesh().Converged, "2 of 4 are not the majority")
		forget(left[1], "n4")
		w.settle(5*time.Second, left...)
		w.same(b, left...)
	})
}

// Who waits for others to have an update durably waits for their syncs, not until they
// would have synced anyhow.
func TestAcknowledgementsComeAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		nodes := w.mesh(3, w.onDisk)
		for i := range 20 {
			began := time.Now()
			a := nodes[i%3].call(http.MethodPost, "/v1/updates?ack=3", fmt.Sprintf(`{"subject":"order/1","delta":{"n":%d}}`, i), "Content-Type", "application/json")
			var got struct {
				Acks int `json:"acks"`
			}
			a.into(t, http.StatusCreated, &got)
			require.Equal(t, 3, got.Acks)
			require.Less(t, time.Since(began), 20*time.Millisecond)
			time.Sleep(7 * time.Millisecond)
		}
	})
}
