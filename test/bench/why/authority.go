package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-mesh/tidings/node"
)

// authority is a service that knows a part of each order: a number that counts how
// often that part changed.
type authority struct {
	name   string
	delay  atomic.Int64    // that an answer takes, in ns; negative: it never comes
	served [2]atomic.Int64 // requests
	url    string
	server *http.Server

	mu      sync.Mutex // protects what follows
	changed [][]time.Time
}

// Whom an authority's system serves.
const (
	forConsumer = iota
	forMesh
)

func newAuthority(name string, orders int, delay time.Duration) (*authority, error) {
	a := &authority{name: name, changed: make([][]time.Time, orders)}
	a.delay.Store(int64(delay))
	began := time.Now()
	for i := range a.changed {
		a.changed[i] = []time.Time{began}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.PathValue("n"))
		if err != nil || n < 0 || n >= orders {
			http.NotFound(w, r)
			return
		}
		if a.work(r.Context(), forConsumer) {
			_ = json.NewEncoder(w).Encode(a.version(n)) // who hung up does not read it
		}
	})
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		if a.work(r.Context(), forMesh) {
			_ = json.NewEncoder(w).Encode(a.all())
		}
	})
	a.url, a.server = "http://"+listener.Addr().String(), &http.Server{Handler: mux}
	go a.server.Serve(listener) // until it is closed
	return a, nil
}

// work is what an answer takes. The facts are read after it: that is as fresh as
// an answer can be.
func (a *authority) work(ctx context.Context, whom int) bool {
	a.served[whom].Add(1)
	delay := a.delay.Load()
	if delay < 0 {
		<-ctx.Done()
		return false
	}
	select {
	case <-time.After(time.Duration(delay)):
		return true
	case <-ctx.Done():
		return false
	}
}

// hang has it answer nothing any more. Its facts change on.
func (a *authority) hang() { a.delay.Store(-1) }

// change changes one order, and returns what this authority says of it then.
func (a *authority) change(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changed[n] = append(a.changed[n], time.Now())
	return len(a.changed[n])
}

func (a *authority) version(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.changed[n])
}

func (a *authority) all() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	versions := make([]int, len(a.changed))
	for n, times := range a.changed {
		versions[n] = len(times)
	}
	return versions
}

// age is for how long a version had not been true any more, at a time.
func (a *authority) age(n, version int, at time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if version >= len(a.changed[n]) {
		return 0
	}
	return max(0, at.Sub(a.changed[n][version]))
}

// part is what an authority says of an order: {"fleet":7}.
type part map[string]int

func subject(n int) string { return "order/" + strconv.Itoa(n) }

// live changes facts until ctx ends, and tells the node of each, if there is one.
func (a *authority) live(ctx context.Context, n *node.Node, perSecond int, random *rand.Rand) error {
	tracks := make([]*node.Track[part], len(a.changed))
	if n != nil {
		for i := range tracks {
			tracks[i] = node.TrackOf[part](n, subject(i))
		}
	}
	for range instants(ctx, perSecond) {
		i := random.IntN(len(a.changed))
		version := a.change(i)
		if n == nil {
			continue
		}
		if err := tracks[i].Set(ctx, part{a.name: version}); err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	return nil
}

// say publishes what is true at the start.
func (a *authority) say(ctx context.Context, n *node.Node) error {
	for i, version := range a.all() {
		if err := node.TrackOf[part](n, subject(i)).Set(ctx, part{a.name: version}); err != nil {
			return err
		}
	}
	return nil
}

// poll has a node ask the authority, which does not know of it.
func (a *authority) poll(n *node.Node, timeout time.Duration) error {
	_, err := node.Poll(n, node.Source[part]{Name: a.name, Every: time.Second, Timeout: timeout, Ask: func(ctx context.Context) (map[string]part, error) {
		var versions []int
		if err := get(ctx, a.url+"/orders", &versions); err != nil {
			return nil, err
		}
		answer := map[string]part{}
		for i, version := range versions {
			answer[subject(i)] = part{a.name: version}
		}
		return answer, nil
	}})
	return err
}
