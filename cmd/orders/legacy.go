package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// legacy is a system that knows nothing of Tidings, as there is one in every
// company: bookings go into a queue, and each look at them takes seconds.
type legacy struct {
	slow  time.Duration
	mu    sync.Mutex // protects what follows
	trips map[string]trip
}

// trip is one delivery, in the old system's words.
type trip struct {
	Status string `json:"STATUS"` // UNDERWAY, DELIVERED
	Van    string `json:"VAN"`
	booked time.Time
}

// tripTime is how long a van is under way.
const tripTime = time.Second

func serveLegacy(ctx context.Context, args []string) error {
	l := &legacy{trips: map[string]trip{}}
	f := flag.NewFlagSet("legacy", flag.ContinueOnError)
	at := f.String("http", "127.0.0.1:0", "where it serves")
	addrFile := f.String("addr-file", "", "file to write the address to, once it serves")
	f.DurationVar(&l.slow, "slow", 2*time.Second, "how long it takes to say something")
	if err := parse(f, args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *at)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /deliveries/{number}", l.book)
	mux.HandleFunc("GET /deliveries", l.list)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if err := writeAddresses(*addrFile, addresses{HTTP: listener.Addr().String()}); err != nil {
		return errors.Join(err, server.Close())
	}
	fmt.Fprintln(os.Stderr, "legacy serves http://"+listener.Addr().String())
	select {
	case <-ctx.Done():
		return server.Close()
	case err := <-failed:
		return err
	}
}

func (l *legacy) book(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.trips[r.PathValue("number")]; !ok {
		l.trips[r.PathValue("number")] = trip{Status: "UNDERWAY", Van: "north", booked: time.Now()}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (l *legacy) list(w http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(l.slow):
	case <-r.Context().Done():
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(l.now()) // who hung up does not read it
}

// now are all trips as they are.
func (l *legacy) now() map[string]trip {
	l.mu.Lock()
	defer l.mu.Unlock()
	for number, t := range l.trips {
		if time.Since(t.booked) >= tripTime {
			t.Status = "DELIVERED"
			l.trips[number] = t
		}
	}
	return maps.Clone(l.trips)
}
