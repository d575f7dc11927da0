package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/node/api"
)

// scenario is how the third authority fares. The others answer in 5 ms.
type scenario struct {
	Name   string
	delay  time.Duration // of the third one's answers
	polled bool          // it embeds no node: one beside it polls it
	hangs  bool          // from the start of the measurement on
	dies   bool          // so does its node
}

const healthy = 5 * time.Millisecond

var scenarios = []scenario{
	{Name: "all well", delay: healthy},
	{Name: "one takes 2 s", delay: 2 * time.Second, polled: true},
	{Name: "one hangs", delay: healthy, polled: true, hangs: true},
	{Name: "one is down", delay: healthy, dies: true},
}

// world is three authorities and a mesh of three nodes, on disk.
type world struct {
	authorities []*authority
	nodes       []*node.Node
	servers     []*http.Server
	urls        []string
}

func newWorld(ctx context.Context, s scenario, o options, dir string) (_ *world, err error) {
	w := &world{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	for i, name := range []string{"warehouse", "payments", "fleet"} {
		delay := healthy
		if i == 2 {
			delay = s.delay
		}
		a, err := newAuthority(name, o.orders, delay)
		if err != nil {
			return nil, err
		}
		w.authorities = append(w.authorities, a)
		c := node.Config{Name: name + "-1", Authority: name, DataDir: filepath.Join(dir, name), Bind: "127.0.0.1:0"}
		for _, other := range w.nodes {
			c.Join = append(c.Join, other.Addr())
		}
		n, err := node.Open(ctx, c)
		if err != nil {
			return nil, err
		}
		w.nodes = append(w.nodes, n)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		server := api.NewServer(n.Handler(), nil)
		go server.Serve(listener) // until it is closed
		w.servers, w.urls = append(w.servers, server), append(w.urls, "http://"+listener.Addr().String())
	}
	return w, nil
}

// settle has every authority say what is true, by whatever way it has, and waits
// until every node knows.
func (w *world) settle(ctx context.Context, s scenario, o options) error {
	for i, a := range w.authorities {
		<-w.nodes[i].Ready()
		if i == 2 && s.polled {
			if err := a.poll(w.nodes[i], o.timeout); err != nil {
				return err
			}
		} else if err := a.say(ctx, w.nodes[i]); err != nil {
			return err
		}
	}
	for _, n := range w.nodes {
		for i := range o.orders {
			for {
				v, err := n.View(ctx, subject(i))
				if err == nil && len(v.Authorities()) == len(w.authorities) {
					break
				}
				if ctx.Err() != nil {
					return fmt.Errorf("%s was not on every node in time: %w", subject(i), ctx.Err())
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
	return nil
}

func (w *world) close() error {
	var errs []error
	for _, n := range w.nodes {
		errs = append(errs, n.Close())
	}
	for _, server := range w.servers {
		errs = append(errs, server.Close())
	}
	for _, a := range w.authorities {
		errs = append(errs, a.server.Close())
	}
	return errors.Join(errs...)
}

// measure runs one scenario, with both consumers at the same time.
func measure(s scenario, o options) (results []Result, err error) {
	dir, err := os.MkdirTemp("", "why-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	start, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w, err := newWorld(start, s, o, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.settle(start, s, o); err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(context.Background(), o.length)
	defer stop()
	third := w.authorities[2]
	if s.hangs {
		third.hang()
	}
	if s.dies {
		if err := errors.Join(w.nodes[2].Close(), w.servers[2].Close(), third.server.Close()); err != nil {
			return nil, err
		}
	}
	for _, a := range w.authorities {
		a.served[forConsumer].Store(0)
		a.served[forMesh].Store(0)
	}
	var wg sync.WaitGroup
	failures := make([]error, len(w.authorities))
	for i, a := range w.authorities {
		n := w.nodes[i]
		if a == third && s.dies {
			continue // nothing changes where nobody is
		}
		if a == third && s.polled {
			n = nil
		}
		random := rand.New(rand.NewPCG(o.seed, uint64(i)))
		wg.Go(func() { failures[i] = a.live(ctx, n, o.changes, random) })
	}
	asks, polls := newConsumer(w, "asks each authority"), newConsumer(w, "polls any node")
	wg.Go(func() { asks.run(ctx, o, asks.askEach(o.timeout)) })
	wg.Go(func() { polls.run(ctx, o, polls.pollAny()) })
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	return []Result{asks.result(s, o, forConsumer), polls.result(s, o, forMesh)}, nil
}
