package api

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// TestSharedBatches: consumers that wait for the same are answered with one scan
// and one encoding, which is byte for byte what one alone would get. Another
// place, filter or limit is another batch.
func TestSharedBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := newMeasured(f, Limits{})
		defer h.Close()
		f.put(ownOrigin, "s", `{"n":0}`)
		now := f.Now(chain.Filter{}).String()
		queries := []string{"since=" + now, "since=" + now + "&limit=1", "since=start&prefix=v", "since=start&prefix=v&authority=fleet"}
		const each = 50
		var wg sync.WaitGroup
		answers := make([][each]string, len(queries))
		for i, q := range queries {
			for k := range each {
				wg.Go(func() { answers[i][k] = call(h, "GET", "/v1/changes?wait=50s&"+q, "").body })
			}
		}
		synctest.Wait()
		looks := f.scans
		if looks > len(queries) {
			t.Errorf("%d scans to find that there is nothing", looks)
		}
		f.put(fleet, "v/1", `{"n":1}`)
		wg.Wait()
		if f.scans-looks > len(queries) {
			t.Errorf("%d scans for %d batches", f.scans-looks, len(queries))
		}
		for i, q := range queries {
			alone := call(newHandler(t, f), "GET", "/v1/changes?"+q, "").body
			for k, got := range answers[i] {
				if got != alone {
					t.Fatalf("%s: answer %d\n%s\nalone\n%s", q, k, got, alone)
				}
			}
		}
		wantMetrics(t, h, fmt.Sprint("tidings_http_shared_batches_total ", len(queries)*(each-1)), fmt.Sprint("tidings_http_woken_total ", len(queries)*each))
		if f.watched.Load() > f.stopped.Load() {
			t.Errorf("%d watches, %d stopped", f.watched.Load(), f.stopped.Load())
		}
	})
}

// TestSharedPlaces: consumers whose time is over at once read and encode once, and
// each gets what it would get alone.
func TestSharedPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := newMeasured(f, Limits{})
		defer h.Close()
		f.put(ownOrigin, "s", `{"n":0}`)
		const each = 50
		var wg sync.WaitGroup
		var answers [each]string
		for k := range each {
			wg.Go(func() { answers[k] = call(h, "GET", "/v1/changes?wait=10s&prefix=v", "").body })
		}
		synctest.Wait()
		f.mu.Lock()
		looks := f.scans
		f.mu.Unlock()
		wg.Wait()
		if f.scans != looks+1 {
			t.Errorf("%d scans for one place", f.scans-looks)
		}
		alone := call(newHandler(t, f), "GET", "/v1/changes?prefix=v", "").body
		for _, got := range answers {
			if got != alone {
				t.Fatalf("\n%s\nalone\n%s", got, alone)
			}
		}
	})
}

// TestSharedViews: a view is read and encoded once for all who ask before it
// changes, whether they wait for it or poll.
func TestSharedViews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := newMeasured(f, Limits{})
		defer h.Close()
		f.put(ownOrigin, "s", `{"n":0}`)
		tag := call(h, "GET", "/v1/subjects/s", "").header.Get("ETag")
		const each = 50
		var wg sync.WaitGroup
		var answers [each]string
		for k := range each {
			wg.Go(func() {
				answers[k] = call(h, "GET", "/v1/subjects/s?wait=50s", "", "If-None-Match: "+tag).body
			})
		}
		synctest.Wait()
		if f.reads != 1 {
			t.Errorf("%d reads of one view", f.reads)
		}
		f.put(fleet, "s", `{"n":1}`)
		wg.Wait()
		if f.reads != 2 {
			t.Errorf("%d reads of two views", f.reads)
		}
		for _, got := range answers {
			if want := f.states["s"].String(); got != want {
				t.Fatalf("\n%s\nwant\n%s", got, want)
			}
		}
	})
}

// TestSharedBatchesAreBounded: what is kept has a bound, a batch that is too
// large is not kept, and failures are not shared.
func TestSharedBatchesAreBounded(t *testing.T) {
	s := newShared[batchKey, *batch](maxBatchBytes)
	count := func(key batchKey, size int) (shared bool) {
		_, shared, err := s.get(key, func() (*batch, int, error) {
			b := &batch{changes: &Changes{}, found: true, json: make([]byte, size)}
			return b, b.size(key), nil
		})
		if err != nil {
			t.Error(err)
		}
		return shared
	}
	for i := range 100 {
		count(batchKey{group: uint64(i)}, 1<<20)
		if s.bytes > maxBatchBytes || s.order.Len() != len(s.made) {
			t.Fatalf("%d bytes are kept, in %d of %d", s.bytes, s.order.Len(), len(s.made))
		}
	}
	if newest, oldest := count(batchKey{group: 99}, 0), count(batchKey{group: 0}, 1<<20); !newest || oldest {
		t.Error("the newest is kept, the oldest is not")
	}
	before := s.bytes
	for range 2 {
		if count(batchKey{group: 1000}, maxBatchBytes) || s.bytes != before {
			t.Errorf("%d bytes with one that is too large, %d before", s.bytes, before)
		}
	}
	for range 2 {
		if _, shared, err := s.get(batchKey{group: 2000}, func() (*batch, int, error) { return nil, 0, errPlanted }); shared || err == nil {
			t.Errorf("a failure that is shared: %t, %v", shared, err)
		}
	}
}

// TestWaitersAreBounded: one more than may wait is refused, also as a stream, its
// connection is not kept, and what does not wait is answered all the same.
func TestWaitersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := newMeasured(f, Limits{Waiters: 3})
		f.put(ownOrigin, "s", `{"n":0}`)
		tag := call(h, "GET", "/v1/subjects/s", "").header.Get("ETag")
		var wg sync.WaitGroup
		wg.Go(func() { call(h, "GET", "/v1/changes?since=now", "", "Accept: text/event-stream") })
		wg.Go(func() { call(h, "GET", "/v1/subjects/none?wait=50s", "") })
		wg.Go(func() { call(h, "GET", "/v1/changes?wait=50s&prefix=none", "") })
		synctest.Wait()
		for i, a := range []answer{
			call(h, "GET", "/v1/changes?wait=1s", ""),
			call(h, "GET", "/v1/changes", "", "Accept: text/event-stream"),
			call(h, "GET", "/v1/subjects/s?wait=1s", "", "If-None-Match: "+tag),
		} {
			if p := a.problem(t); p.Status != 429 || p.Code != CodeBusy || a.header.Get("Retry-After") == "" || a.header.Get("Connection") != "close" {
				t.Errorf("%d: %+v %v", i, p, a.header)
			}
		}
		wantMetrics(t, h, `tidings_http_refused_total{what="waiter"} 3`, `tidings_http_waiters 3`)
		wantStatus(t, call(h, "POST", "/v1/updates", `{"subject":"s","delta":{"n":1}}`), 201)
		wantStatus(t, call(h, "GET", "/v1/changes", ""), 200)
		h.Close()
		wg.Wait()
	})
}

// TestEventsShare: streams that are at the same place share what they are sent.
func TestEventsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := New(Config{Backend: f})
		var streams []*events
		for range 20 {
			streams = append(streams, openEvents(t, h, "GET", "/v1/changes", ""))
		}
		for i := range 5 {
			time.Sleep(time.Second)
			synctest.Wait()
			before := f.scans
			f.put(ownOrigin, "s", fmt.Sprintf(`{"n":%d}`, i))
			var first event
			for k, e := range streams {
				got := e.next(t)
				if k == 0 {
					first = got
				}
				if got != first || !strings.Contains(got.data, fmt.Sprintf(`"n":%d`, i)) {
					t.Fatalf("stream %d: %+v, want %+v", k, got, first)
				}
			}
			synctest.Wait()
			if f.scans-before > 2 { // one that finds it, one that finds nothing more
				t.Errorf("%d scans", f.scans-before)
			}
		}
		h.Close()
		for _, e := range streams {
			e.next(t)
		}
	})
}
