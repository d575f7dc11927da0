package store

import (
	"errors"
	"fmt"
	"time"
)

// ErrAbandoned is wrapped by the error of a Close that Pebble, or a reader, did
// not let finish in time. The memory and the goroutines of that store remain
// until the process ends; it writes nothing any more if it had failed.
var ErrAbandoned = errors.New("abandoned")

// Close implements [chain.Store]. It flushes, so that nothing is left in the
// log, and waits for what is inside: 2 s for reads, and 30 s for Pebble. To a
// store that has failed it gives 2 s in all. Then it abandons Pebble and says
// so by ErrAbandoned. A failed store's Close returns why it failed.
func (d *Disk) Close() error {
	d.closing.once.Do(func() {
		d.closing.err = d.shutdown()
		dropPool()
	})
	return d.closing.err
}

func (d *Disk) shutdown() error {
	d.gate.shut()
	patience := time.NewTimer(graceAlive)
	defer patience.Stop()

	// What is still inside may be a writer in breach of the contract, or one
	// that the death of the store is about to wake; neither harms a flush.
	var flushed error
	if d.unclean.Load() {
		flushed = d.await(patience, func() error { return d.do("flush", d.db.Flush) })
		if errors.Is(flushed, ErrAbandoned) && d.g.check() == nil {
			flushed = d.g.fail("flush", flushed)
			patience.Reset(graceDead)
		}
	}
	if n := d.gate.wait(graceDead); n > 0 {
		// To close Pebble now would free memory that they read.
		close(d.quit)
		err := fmt.Errorf("close store: %w with %d calls or iterators still in it", ErrAbandoned, n)
		return errors.Join(flushed, err)
	}
	close(d.quit)
	closed := d.await(patience, func() error {
		// A committer that has just been given up on may still be in Pebble, and
		// must not be handed an error there.
		<-d.stopped
		d.g.armed.Store(false)
		return errors.Join(d.notes.close(), d.db.Close())
	})
	switch dead := d.g.check(); {
	case dead != nil && errors.Is(closed, ErrAbandoned):
		return errors.Join(dead, closed)
	case dead != nil:
		return dead // what Pebble says to its end adds nothing
	case closed != nil:
		return errors.Join(flushed, fmt.Errorf("close store: %w", readError(closed)))
	default:
		return flushed
	}
}

// await runs a call into Pebble for as long as patience lasts, and no longer
// than graceDead once the store is dead.
func (d *Disk) await(patience *time.Timer, run func() error) error {
	done := make(chan error, 1)
	go d.serve(task{name: "close", run: run}, done)
	dead := d.g.dead
	for {
		select {
		case err := <-done:
			return err
		case <-dead:
			dead = nil
			patience.Reset(graceDead)
		case <-patience.C:
			return fmt.Errorf("%w: pebble does not end, %d goroutines of ours are parked in it", ErrAbandoned, d.g.parked.Load())
		}
	}
}
