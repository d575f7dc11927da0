// Command single measures one node: publishing by Go call beside the disk's own
// rate, publishing over HTTP, memory, opening a large store, reading, and the
// catch-up of an empty node. The node and the load are processes of their own
// on the same cores.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

type options struct {
	updates, subjects, payload int
	length                     time.Duration
	tmp, profiles              string
	asJSON                     bool
}

func main() {
	var o options
	flag.IntVar(&o.updates, "updates", 1_000_000, "updates published over HTTP")
	flag.IntVar(&o.subjects, "subjects", 100_000, "subjects that they are spread over")
	flag.IntVar(&o.payload, "payload", 256, "bytes of a delta")
	flag.DurationVar(&o.length, "length", 5*time.Second, "length of what is measured by time")
	flag.StringVar(&o.tmp, "tmp", "", "where stores go (default: the system's temporary folder)")
	flag.StringVar(&o.profiles, "profiles", "", "folder for CPU profiles of the node under each load")
	flag.BoolVar(&o.asJSON, "json", false, "print JSON, not a table")
	serving := flag.Bool("serve", false, "internal: be the node")
	dir := flag.String("dir", "", "internal: its data directory")
	join := flag.String("join", "", "internal: whom it joins")
	flag.Parse()
	var err error
	if *serving {
		err = serve(*dir, *join)
	} else {
		err = measure(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "single:", err)
		os.Exit(1)
	}
}

func measure(o options) error {
	r := &report{live: os.Stderr}
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return err
		}
	}
	if err := goCalls(r, o); err != nil {
		return err
	}
	root, err := os.MkdirTemp(o.tmp, "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	if err := large(r, o, root); err != nil {
		return err
	}
	return r.print(os.Stdout, o.asJSON)
}

// large measures a node with a large store, from its first update on.
func large(r *report, o options, root string) error {
	dir := filepath.Join(root, "first")
	p, err := start(dir, "")
	if err != nil {
		return err
	}
	defer func() { p.kill() }()
	if err := httpPublish(r, p, o); err != nil {
		return err
	}
	began := time.Now()
	if err := p.stop(); err != nil {
		return err
	}
	r.add(Row{What: "close", Value: time.Since(began).Seconds() * 1e3, Unit: "ms"})
	for _, after := range []string{"a close", "a kill"} {
		if p, err = start(dir, ""); err != nil {
			return err
		}
		now, _ := p.memory()
		r.add(Row{What: "open after " + after, Value: p.OpenMs, Unit: "ms", RSSMB: now})
		if after == "a close" {
			p.kill()
		}
	}
	if err := reads(r, p, o); err != nil {
		return err
	}
	if err := feed(r, p, o); err != nil {
		return err
	}
	return catchUp(r, o, p, root)
}

// catchUp has an empty node join, with a data directory and without.
func catchUp(r *report, o options, p *process, root string) error {
	for _, kind := range []string{"on disk", "in memory"} {
		dir := ""
		if kind == "on disk" {
			dir = filepath.Join(root, "late")
		}
		late, err := start(dir, p.Mesh)
		if err != nil {
			return err
		}
		began := late.began
		profiled := late.profile(o.profiles, "catch-up "+kind)
		var state struct {
			Progress struct{ Have, Want int64 }
		}
		for {
			status, err := late.get("/readyz", &state)
			if err != nil {
				late.kill()
				return err
			}
			if status == 200 {
				break
			}
			if time.Since(began) > 5*time.Minute {
				late.kill()
				return fmt.Errorf("catch-up %s: not ready after 5 minutes: %+v", kind, state)
			}
			time.Sleep(10 * time.Millisecond)
		}
		took := time.Since(began).Seconds()
		profiled()
		var mesh struct{ Store struct{ Updates int64 } }
		if _, err := late.get("/v1/mesh", &mesh); err != nil {
			late.kill()
			return err
		}
		now, _ := late.memory()
		cpu := late.cpu()
		// It leaves, or the next one would wait for it to answer what it knows.
		if err := late.stop(); err != nil {
			return err
		}
		if mesh.Store.Updates < int64(o.updates)*99/100 {
			return fmt.Errorf("catch-up %s: ready with %d of %d updates", kind, mesh.Store.Updates, o.updates)
		}
		r.add(Row{What: "catch-up of an empty node, " + kind + ", start included", Value: float64(mesh.Store.Updates) / took, Unit: "updates/s", RSSMB: now, CPUus: cpu / float64(mesh.Store.Updates)})
	}
	return nil
}
