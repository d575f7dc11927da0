package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/tidings-mesh/tidings/test/bench/agent"
)

const (
	fillClients = 4
	fillItems   = 1000
	readClients = 16
	progress    = 10 * time.Second
)

// store grows one node's store to each of the marks; there it is closed, opened,
// read and written.
func store(r *report, o options, dir string) error {
	a, err := agent.Start(o.path, filepath.Join(dir, "node"), "memory", "")
	if err != nil {
		return err
	}
	defer func() { a.Kill() }()
	deadline := time.Now().Add(o.limit)
	var subjects int64
	for _, mark := range o.marks {
		if time.Now().After(deadline) {
			say("%s are over: %d subjects and more are not measured", o.limit, mark)
			break
		}
		if subjects, err = fill(r, a, o, subjects, mark, deadline); err != nil {
			return err
		}
		if a, err = reopen(r, a, o, subjects); err != nil {
			return err
		}
		if err := use(r, a, o, subjects); err != nil {
			return err
		}
	}
	return nil
}

// fill publishes subjects from have to mark, each once. It returns how many there
// are in the end, fewer if the deadline came first.
func fill(r *report, a *agent.Agent, o options, have, mark int64, deadline time.Time) (int64, error) {
	if err := a.ForgetPeak(); err != nil {
		return have, err
	}
	ctx, stop := context.WithDeadline(context.Background(), deadline)
	defer stop()
	ctx, full := context.WithCancel(ctx)
	defer full()
	calls := (mark - have + fillItems - 1) / fillItems
	l := &load{clients: fillClients, do: func(c *client, call int64) error {
		if call >= calls {
			full()
			return nil
		}
		from := have + call*fillItems
		return c.publish(int(min(fillItems, mark-from)), func(i int) int64 { return from + int64(i) }, o.payload)
	}}
	began := time.Now()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(progress):
				u, _ := a.Usage() // for show
				done := l.done.Load()
				say("%d of %d subjects, %.0f/s, RSS %.0f MB", have+done, mark, float64(done)/time.Since(began).Seconds(), u.RSS)
			}
		}
	}()
	if err := l.run(ctx, a); err != nil {
		return have, err
	}
	took := time.Since(began).Seconds()
	u, err := a.Usage()
	if err != nil {
		return have, err
	}
	m, err := a.Look()
	if err != nil {
		return have, err
	}
	r.add(Row{
		What: fmt.Sprintf("filling to %s subjects", count(m.Store.Subjects)), RSSMB: u.RSS, PeakMB: u.PeakRSS,
		PerSec: float64(l.done.Load()) / took, StoreMB: float64(m.Store.Bytes) / 1e6,
	})
	return m.Store.Subjects, nil
}

// reopen stops the agent and starts it anew.
func reopen(r *report, a *agent.Agent, o options, subjects int64) (*agent.Agent, error) {
	began := time.Now()
	if err := a.Stop(); err != nil {
		return a, fmt.Errorf("stop: %w", err)
	}
	closed := time.Since(began)
	b, err := agent.Start(o.path, a.Dir, "memory", "")
	if err != nil {
		return a, err
	}
	m, err := b.Look()
	if err != nil {
		return b, err
	}
	if m.Store.Subjects != subjects {
		return b, fmt.Errorf("%d subjects after opening, %d before", m.Store.Subjects, subjects)
	}
	u, err := b.Usage()
	if err != nil {
		return b, err
	}
	r.add(Row{
		What: fmt.Sprintf("%s subjects: opened", count(subjects)), RSSMB: u.RSS, PeakMB: u.PeakRSS, Ms: b.Opened.Seconds() * 1e3,
		StoreMB: float64(m.Store.Bytes) / 1e6, Notes: fmt.Sprintf("start of the process included; closed in %.0f ms", closed.Seconds()*1e3),
	})
	return b, nil
}

// use reads and writes all over the store.
func use(r *report, a *agent.Agent, o options, subjects int64) error {
	at := func(what string) string { return count(subjects) + " subjects: " + what }
	views := &load{clients: readClients}
	views.do = func(c *client, _ int64) error {
		views.done.Add(1)
		return c.get("/v1/subjects/" + path(rand.Int64N(subjects)))
	}
	if err := views.measured(r, a, at("views of any"), o.length); err != nil {
		return err
	}
	pages := &load{clients: readClients}
	pages.do = func(c *client, call int64) error {
		pages.done.Add(1)
		return c.get(fmt.Sprintf("/v1/subjects?limit=1000&prefix=fill/%03d", call%1000))
	}
	if err := pages.measured(r, a, at("pages of up to 1,000 views"), o.length); err != nil {
		return err
	}
	writes := &load{clients: fillClients}
	writes.do = func(c *client, _ int64) error {
		return c.publish(fillItems, func(int) int64 { return rand.Int64N(subjects) }, o.payload)
	}
	return writes.measured(r, a, at("updates of any"), o.length)
}

// count is a number as it is said.
func count(n int64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.3g million", float64(n)/1e6)
	case n >= 1000:
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	}
	return fmt.Sprint(n)
}
