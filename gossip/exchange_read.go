package gossip

import (
	"sync"
	"time"
)

// inQueue holds the frames that a stream has brought and that are not taken yet:
// while one waits for the ledger, what comes meanwhile is gathered, so that
// pushes grow with load as the sender's do.
type inQueue struct {
	mu     sync.Mutex // protects what follows
	frames []inFrame
	bytes  int
	err    error // why no more comes
	closed bool  // nothing is taken any more

	some chan struct{} // one place: there is something to take
	room chan struct{} // one place: something was taken, or the queue is closed
	over chan struct{} // closed when no more comes
}

type inFrame struct {
	frame Frame
	size  int
	read  time.Time
}

// inQueueBytes bounds the queue, but for one frame. The rest waits in the
// stream, which is the back-pressure on the peer.
const inQueueBytes = 256 << 10

func newInQueue() *inQueue {
	return &inQueue{some: make(chan struct{}, 1), room: make(chan struct{}, 1), over: make(chan struct{})}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds a frame and waits while the queue is full. It reports whether the
// queue is still taken from. One goroutine calls it.
func (q *inQueue) put(f Frame, size int) bool {
	for {
		q.mu.Lock()
		switch {
		case q.closed:
			q.mu.Unlock()
			return false
		case len(q.frames) == 0 || q.bytes+size <= inQueueBytes:
			q.frames, q.bytes = append(q.frames, inFrame{f, size, time.Now()}), q.bytes+size
			q.mu.Unlock()
			signal(q.some)
			return true
		}
		q.mu.Unlock()
		<-q.room
	}
}

// end says why no more frames come. It is called once.
func (q *inQueue) end(err error) {
	q.mu.Lock()
	q.err = err
	q.mu.Unlock()
	close(q.over)
	signal(q.some)
}

// close ends the taking.
func (q *inQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	signal(q.room)
}

// wait waits until there is a frame to take. The error is end's. One goroutine calls
// it, and take.
func (q *inQueue) wait() error {
	for {
		q.mu.Lock()
		some, err := len(q.frames) > 0, q.err
		q.mu.Unlock()
		switch {
		case some:
			return nil
		case err != nil:
			return err
		}
		<-q.some
	}
}

// bringsRuns reports whether the first frame, which there is, has runs.
func (q *inQueue) bringsRuns() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(runsOf(q.frames[0].frame)) > 0
}

// take takes the first frame, which there is, and tells when it was read. Pushes that
// follow each other are one.
func (q *inQueue) take() (Frame, time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer signal(q.room)
	first := q.frames[0]
	n := 1
	if push, ok := first.frame.(*Push); ok && push.Cover == (Cover{}) {
		for n < len(q.frames) {
			more, ok := q.frames[n].frame.(*Push)
			if !ok || more.Cover != (Cover{}) {
				break
			}
			push.AckWanted = push.AckWanted || more.AckWanted
			push.Runs = append(push.Runs, more.Runs...)
			n++
		}
	}
	for i := range n {
		q.bytes -= q.frames[i].size
		q.frames[i] = inFrame{}
	}
	q.frames = q.frames[n:]
	return first.frame, first.read
}

// read reads frames until the stream ends, or one is not well-formed.
func (x *Exchange) read(l *linkLoop, in *inQueue) {
	for {
		// Runs keep pointing into the bytes, so each frame has its own.
		b, err := l.link.ReadFrame(nil)
		if err != nil {
			in.end(err)
			return
		}
		f, err := DecodeFrame(b)
		if err != nil {
			in.end(&refusal{"frame", err})
			return
		}
		x.meters.count(directionIn, f.Kind(), len(b))
		if !in.put(f, len(b)) {
			return
		}
	}
}
