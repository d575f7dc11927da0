package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/tidings-mesh/tidings/node"
)

// state is what a service might say of an order.
type state struct {
	State string         `json:"state"`
	Shelf string         `json:"shelf"`
	Items map[string]int `json:"items"`
}

// unchanged sets states that have not changed, over and over.
func unchanged(r *report, dir string, times int) error {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "unchanged", DataDir: dir})
	if err != nil {
		return err
	}
	defer n.Close()
	const subjects = 1000
	var tracks []*node.Track[state]
	same := state{State: "picked", Shelf: "B7", Items: map[string]int{"lamp": 1, "desk": 2}}
	for i := range subjects {
		tracks = append(tracks, node.TrackOf[state](n, "order/"+strconv.Itoa(i)))
		if err := tracks[i].Set(ctx, same); err != nil {
			return err
		}
	}
	updates := n.Mesh().Store.Updates
	began := time.Now()
	for i := range times {
		if err := tracks[i%subjects].Set(ctx, same); err != nil {
			return err
		}
	}
	took := time.Since(began)
	if now := n.Mesh().Store.Updates; now != updates {
		return fmt.Errorf("%d states that have not changed made %d updates", times, now-updates)
	}
	r.add(fmt.Sprintf("%d times `Track.Set` of what has not changed", times), "0 updates, %.1f µs each",
		took.Seconds()/float64(times)*1e6)
	return nil
}

// closes counts goroutines before, while and after a node with peers is open.
func closes(r *report, dir string) error {
	ctx := context.Background()
	before := runtime.NumGoroutine()
	var nodes []*node.Node
	var open []int
	for i := range 3 {
		was := runtime.NumGoroutine()
		c := node.Config{Name: "closes-" + strconv.Itoa(i), DataDir: dir + strconv.Itoa(i), Bind: "127.0.0.1:0"}
		for _, n := range nodes {
			c.Join = append(c.Join, n.Addr())
		}
		n, err := node.Open(ctx, c)
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
		open = append(open, runtime.NumGoroutine()-was)
	}
	for _, n := range nodes {
		<-n.Ready()
	}
	time.Sleep(time.Second) // streams that are being opened are
	all := runtime.NumGoroutine() - before
	for _, n := range nodes {
		if err := n.Close(); err != nil {
			return err
		}
	}
	left := runtime.NumGoroutine() - before
	if left > 0 {
		return fmt.Errorf("%d goroutines are left after Close", left)
	}
	r.add("goroutines of a node", "%d alone, %d on average in a mesh of 3", open[0], all/3)
	r.add("goroutines left after `Close`", "0")
	return nil
}
