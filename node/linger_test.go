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

func enqueue(t *testing.T, n *node.Node, subject, delta string) *node.Ack {
	t.Helper()
	ack, err := n.Enqueue(t.Context(), draft(subject, delta))
	require.NoError(t, err)
	return ack
}

func isDone(p *node.Ack) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

func TestEnqueuedDraftsLingerForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := open(t, node.Config{Linger: 50 * time.Millisecond})
		for range 3 { // again after each
			commits := metric(t, n, `tidings_store_commits_total{synced="yes"}`)
			began := time.Now()
			var acks []*node.Ack
			for i := range 10 {
				acks = append(acks, enqueue(t, n, "s", fmt.Sprintf(`{"i":"%d at %s"}`, i, began)))
				time.Sleep(4 * time.Millisecond)
			}
			time.Sleep(9 * time.Millisecond)
			synctest.Wait()
			require.Equal(t, 10, n.OutboxDepth())
			require.Equal(t, "10", metric(t, n, "tidings_outbox_drafts"))
			require.False(t, isDone(acks[0]))
			for _, ack := range acks {
				_, err := ack.Wait(t.Context())
				require.NoError(t, err)
			}
			require.Equal(t, 50*time.Millisecond, time.Since(began))
			require.Zero(t, n.OutboxDepth())
			var before, after int
			_, _ = fmt.Sscan(commits, &before)
			_, err := fmt.Sscan(metric(t, n, `tidings_store_commits_total{synced="yes"}`), &after)
			require.NoError(t, err)
			require.Equal(t, 1, after-before)
		}
	})
}

// Publish, a track and the HTTP interface wait for no company, and take with
// them what lingers, in the order of the calls.
func TestNobodyElseLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := open(t, node.Config{Linger: time.Hour})
		began := time.Now()
		for name, call := range map[string]func(){
			"Publish": func() { publish(t, n, "s", `{"v":2}`) },
			"Set": func() {
				require.NoError(t, node.TrackOf[map[string]int](n, "s").Set(t.Context(), map[string]int{"v": 2}))
			},
			"HTTP": func() {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodPost, "/v1/updates", strings.NewReader(`{"subject":"s","delta":{"v":2}}`))
				r.Header.Set("Content-Type", "application/json")
				n.Handler().ServeHTTP(w, r)
				require.Equal(t, http.StatusCreated, w.Code)
			},
		} {
			ack := enqueue(t, n, "s", `{"v":1}`)
			call()
			require.True(t, isDone(ack), name)
			require.Equal(t, `{"v":2}`, view(t, n, "s"), name)
		}
		require.Zero(t, time.Since(began))
	})
}

func TestAFullOutboxDoesNotLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := open(t, node.Config{Linger: time.Hour, Outbox: 4})
		for i := range 40 {
			enqueue(t, n, "s", fmt.Sprintf(`{"i":%d}`, i))
			if i%4 == 3 {
				synctest.Wait()
				require.Zero(t, n.OutboxDepth())
			}
		}
		require.Equal(t, `{"i":39}`, view(t, n, "s"))
		require.Equal(t, "0", metric(t, n, "tidings_enqueue_refused_total"))
	})
}

func TestCloseCommitsWhatLingers(t *testing.T) {
	c := node.Config{Name: "wh-1", DataDir: t.TempDir(), Linger: time.Hour}
	n := open(t, c)
	acks := []*node.Ack{enqueue(t, n, "s", `{"a":1}`), enqueue(t, n, "s", `{"b":1}`)}
	require.Equal(t, 2, n.OutboxDepth())
	require.NoError(t, n.Close())
	for _, ack := range acks {
		_, err := ack.Result()
		require.NoError(t, err)
	}
	n = open(t, c)
	require.Equal(t, `{"a":1,"b":1}`, view(t, n, "s"))
}

// However calls of both kinds follow each other, each caller's drafts are on the
// chain in the order of its calls.
func TestOrderOfCallsIsThatOfTheChain(t *testing.T) {
	for _, linger := range []time.Duration{0, time.Millisecond} {
		n := open(t, node.Config{Linger: linger, Outbox: 64})
		var wg sync.WaitGroup
		for caller := range 8 {
			wg.Go(func() {
				last := chain.ID{}
				var acks []*node.Ack
				for i := range 60 {
					d := draft(fmt.Sprint("s/", caller), fmt.Sprintf(`{"i":%d}`, i))
					if i%7 != caller%7 {
						if ack, err := n.Enqueue(context.Background(), d); err == nil {
							acks = append(acks, ack)
							continue
						}
					}
					id, err := n.Publish(context.Background(), d)
					if err != nil {
						t.Error(err)
						return
					}
					for _, ack := range acks {
						r, err := ack.Result()
						if err != nil || r.ID.Seq <= last.Seq || r.ID.Seq >= id.Seq {
							t.Errorf("seq %d after %d and before %d: %v", r.ID.Seq, last.Seq, id.Seq, err)
						}
						last = r.ID
					}
					acks, last = nil, id
				}
			})
		}
		wg.Wait()
		require.NoError(t, n.Close())
		require.Zero(t, n.OutboxDepth())
	}
}

func TestUndeliveredErrorNamesWhatItIsAbout(t *testing.T) {
	n := recovering(t, node.Config{Linger: time.Hour})
	for i := range 5 {
		enqueue(t, n, fmt.Sprint("order/", i), `{"a":2}`)
	}
	err := n.Close()
	var undelivered *node.UndeliveredError
	require.ErrorAs(t, err, &undelivered)
	require.Len(t, undelivered.Drafts, 5)
	require.Equal(t, "order/4", undelivered.Drafts[4].Subject)
	require.Equal(t, `enqueued and not committed: 5, about "order/0" "order/1" "order/2" and 2 more: closed`, undelivered.Error())
	require.Equal(t, err, n.Close(), "it is told whoever closes")
}

// A large draft that does not fit beside what lingers ends its lingering.
func TestNothingLingersWhereALargeDraftWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := open(t, node.Config{Linger: time.Hour, Outbox: 4})
		large := draft("large", `{"a":"`+strings.Repeat("x", 20<<10)+`"}`)
		small := enqueue(t, n, "s", `{"v":1}`)
		_, err := n.Enqueue(t.Context(), large)
		require.ErrorIs(t, err, node.ErrBusy)
		synctest.Wait()
		require.True(t, isDone(small))
		began := time.Now()
		small = enqueue(t, n, "s", `{"v":2}`)
		_, err = n.Publish(t.Context(), large)
		require.NoError(t, err)
		require.True(t, isDone(small))
		require.Less(t, time.Since(began), time.Minute)
	})
}
