package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// task is one call into Pebble that writes. Pebble may never return from it.
type task struct {
	name string
	run  func() error
	done chan error // takes one
}

// do has the committer run a call and waits until it has, or the store is
// dead. Any error of the call kills the store.
func (d *Disk) do(name string, run func() error) error {
	if err := d.g.check(); err != nil {
		return err
	}
	t := task{name, run, make(chan error, 1)}
	select {
	case d.work <- t:
	case <-d.g.dead:
		return d.g.err
	}
	select {
	case err := <-t.done:
		return err
	case <-d.g.dead:
		return d.g.err
	}
}

// commitLoop is the one goroutine on which writes enter Pebble, so that
// Pebble's way to give up, to end the goroutine, ends nobody else's.
func (d *Disk) commitLoop(open func() (*pebble.DB, error), opened chan<- error) {
	defer close(d.stopped)
	d.serve(task{"open", func() (err error) {
		d.db, err = open()
		return err
	}, nil}, opened)
	for {
		select {
		case t := <-d.work:
			d.serve(t, t.done)
		case <-d.quit:
			return
		case <-d.g.dead:
			return
		}
	}
}

// serve runs a task and answers it in any case: when it returns, when it
// panics, and when Pebble ends the goroutine.
func (d *Disk) serve(t task, done chan<- error) {
	err := errors.New("pebble ended the goroutine")
	defer func() {
		if r := recover(); r != nil {
			err = panicError(r)
		}
		if dead := d.g.check(); err != nil && dead != nil {
			err = dead
		} else if err != nil && t.done != nil {
			err = d.g.fail(t.name, readError(err))
		}
		done <- err
	}()
	err = t.run()
}

func panicError(r any) error {
	if err, ok := r.(error); ok {
		return fmt.Errorf("pebble panicked: %w", err)
	}
	return fmt.Errorf("pebble panicked: %v", r)
}
