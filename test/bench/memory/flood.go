package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/tidings-mesh/tidings/test/bench/agent"
)

const (
	floodSubjects = 100_000
	largeDelta    = 64_000 // bytes, near the most that a delta may have
	catchUpLimit  = 5 * time.Minute
)

// floodOfPublishes has more clients than a node can serve publish, in four
// forms, each on a new node.
func floodOfPublishes(r *report, o options, dir string) error {
	anySubject := func(int) int64 { return rand.Int64N(floodSubjects) }
	forms := []struct {
		what    string
		clients int
		do      func(c *client, call int64) error
	}{
		{"512 clients, one by one", 512, func(c *client, _ int64) error {
			return c.publishOne(anySubject(0), o.payload)
		}},
		{"64 clients, arrays of 1,000", 64, func(c *client, _ int64) error {
			return c.publish(1000, anySubject, o.payload)
		}},
		{"32 clients, arrays of 240 updates of 64 KB", 32, func(c *client, _ int64) error {
			return c.publish(240, anySubject, largeDelta)
		}},
		{"32 clients, streams of 240 lines of 64 KB", 32, func(c *client, _ int64) error {
			return c.stream(240, anySubject, largeDelta)
		}},
	}
	for i, f := range forms {
		a, err := agent.Start(o.path, filepath.Join(dir, fmt.Sprint(i)), "flooded", "")
		if err != nil {
			return err
		}
		l := &load{clients: f.clients, do: f.do}
		err = l.measured(r, a, "flood of publishes: "+f.what, o.length)
		a.Kill()
		if err != nil {
			return err
		}
	}
	return nil
}

// floodFromPeer has one node publish as fast as it can, and looks at another that
// has to take it: as it goes, and after it did not run for a while.
func floodFromPeer(r *report, o options, dir string) error {
	flooding, err := agent.Start(o.path, filepath.Join(dir, "flooding"), "flooding", "")
	if err != nil {
		return err
	}
	defer flooding.Kill()
	taking, err := agent.Start(o.path, filepath.Join(dir, "taking"), "taking", flooding.Mesh)
	if err != nil {
		return err
	}
	defer taking.Kill()
	for _, a := range []*agent.Agent{flooding, taking} {
		if err := a.Await(time.Minute, func(m agent.Mesh) bool { return m.Converged && m.Alive() == 2 }); err != nil {
			return err
		}
	}
	if err := flood(r, o, flooding, taking, "both run", func() error { return nil }); err != nil {
		return err
	}
	return flood(r, o, flooding, taking, "the peer stands still", func() error {
		if err := taking.Pause(); err != nil {
			return err
		}
		time.AfterFunc(o.length, func() { _ = taking.Resume() }) // if it has ended, that shows
		return nil
	})
}

// flood publishes at one node for o.length, and waits until the other has all.
func flood(r *report, o options, from, to *agent.Agent, how string, begin func() error) error {
	if err := to.ForgetPeak(); err != nil {
		return err
	}
	if err := begin(); err != nil {
		return err
	}
	l := &load{clients: 2 * fillClients}
	l.do = func(c *client, _ int64) error {
		return c.publish(fillItems, func(int) int64 { return rand.Int64N(floodSubjects) }, o.payload)
	}
	if err := l.measured(r, from, "flood to a peer, "+how+": who publishes", o.length); err != nil {
		return err
	}
	ended := time.Now()
	m, err := from.Look()
	if err != nil {
		return err
	}
	if err := to.Await(catchUpLimit, func(theirs agent.Mesh) bool { return theirs.Store.Updates == m.Store.Updates }); err != nil {
		return err
	}
	u, err := to.Usage()
	if err != nil {
		return err
	}
	r.add(Row{
		What: "flood to a peer, " + how + ": the peer", RSSMB: u.RSS, PeakMB: u.PeakRSS,
		Notes: fmt.Sprintf("had all %d updates %.1f s after the flood", m.Store.Updates, time.Since(ended).Seconds()),
	})
	return nil
}
