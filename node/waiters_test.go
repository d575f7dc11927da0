package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node"
)

// Whoever waits is woken by each update that concerns it, gets it once, and is
// never left to wait for what is there: in virtual time that would take the 55 s
// of a poll, and all of this takes a few.
func TestWaitersMissNothing(t *testing.T) {
	const producers, each = 4, 60
	synctest.Test(t, func(t *testing.T) {
		n := open(t, node.Config{Name: "wh-1", Authority: "warehouse"})
		defer n.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		subject := func(producer, i int) string { return fmt.Sprintf("order/%d/%d", producer%2, i%5) }
		admitted := func(f chain.Filter) (want int) {
			for p := range producers {
				for i := range each {
					if f.Admits(subject(p, i), "warehouse") {
						want++
					}
				}
			}
			return want
		}
		var wg sync.WaitGroup
		for _, prefix := range []chain.Prefix{"", "order", "order/", "order/0", "order/1/", "order/1/3"} {
			for _, authority := range []string{"", "warehouse"} {
				filter := chain.Filter{Prefix: prefix}
				if authority != "" {
					filter.Authorities = []string{authority}
				}
				for range 3 {
					wg.Go(func() { pollAll(ctx, t, n, filter, admitted(filter)) })
				}
				wg.Go(func() {
					seen := 0
					options := []node.ChangesOption{node.InPrefix(prefix), node.ByAuthority(filter.Authorities...), node.Limit(7)}
					for batch, err := range n.Changes(ctx, options...) {
						if err != nil {
							t.Error(err)
						}
						if seen += len(batch.Updates); seen == admitted(filter) {
							break
						}
					}
				})
			}
		}
		for i := range 5 {
			want := admitted(chain.Filter{Prefix: chain.Prefix(subject(1, i))})
			wg.Go(func() { watchView(ctx, t, n, subject(1, i), want) })
		}
		for seq := chain.Seq(2); seq <= producers*each+1; seq++ {
			wg.Go(func() {
				if err := n.Wait(ctx, chain.ID{Origin: n.Origin(), Seq: seq}); err != nil {
					t.Error(err)
				}
			})
		}
		for p := range producers {
			wg.Go(func() {
				for i := range each {
					if rand.IntN(4) == 0 {
						time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
					}
					if _, err := n.Publish(ctx, draft(subject(p, i), fmt.Sprintf(`{"p":%d,"i":%d}`, p, i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.Less(t, time.Since(began), 10*time.Second, "somebody waited for what was there")
	})
}

// pollAll polls until it has so many updates, each once.
func pollAll(ctx context.Context, t *testing.T, n *node.Node, f chain.Filter, want int) {
	query := url.Values{"wait": {"55s"}, "prefix": {string(f.Prefix)}, "since": {"start"}, "authority": f.Authorities}
	seen := map[string]bool{}
	for len(seen) < want && ctx.Err() == nil {
		var b struct {
			Updates []struct{ ID string }
			Cursor  string
		}
		if !get(t, n, "/v1/changes?"+query.Encode(), &b) {
			return
		}
		for _, u := range b.Updates {
			if seen[u.ID] {
				t.Errorf("%s came twice", u.ID)
			}
			seen[u.ID] = true
		}
		query.Set("since", b.Cursor)
	}
	if len(seen) != want {
		t.Errorf("%+v: %d updates, want %d", f, len(seen), want)
	}
}

// watchView waits for a view to change until it has so many updates.
func watchView(ctx context.Context, t *testing.T, n *node.Node, subject string, want int) {
	var v struct{ Updates int }
	for tag := ""; v.Updates < want && ctx.Err() == nil; {
		r := httptest.NewRequest("GET", "/v1/subjects/"+subject+"?wait=55s", nil)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		n.Handler().ServeHTTP(w, r)
		if err := json.Unmarshal(w.Body.Bytes(), &v); w.Code != 200 || err != nil {
			t.Errorf("%s: %d %s", subject, w.Code, w.Body)
			return
		}
		tag = w.Header().Get("ETag")
	}
}

func get(t *testing.T, n *node.Node, path string, into any) bool {
	w := httptest.NewRecorder()
	n.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if err := json.Unmarshal(w.Body.Bytes(), into); w.Code != 200 || err != nil {
		t.Errorf("%s: %d %s", path, w.Code, w.Body)
		return false
	}
	return true
}
