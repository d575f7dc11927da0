package node

import "sync"

// intakeBytes bounds what peers have brought and the writer has not dealt with
// yet, but for one arrival. The rest waits in the streams, which is the
// back-pressure on the peers.
const intakeBytes = 8 << 20

// intake bounds what waits for the writer by its bytes; a frame may bring a
// thousand times as many as another. Who comes first is let in first, so that
// small ones cannot keep a large one out.
type intake struct {
	turn  chan struct{} // one place: whose turn it is to wait for room
	freed chan struct{} // one place: bytes have fallen
	mu    sync.Mutex    // protects bytes
	bytes int
}

func newIntake() *intake {
	return &intake{turn: make(chan struct{}, 1), freed: make(chan struct{}, 1)}
}

// enter waits for room, and reports whether there was before quit was closed.
// leave is to be called after it.
func (i *intake) enter(size int, quit <-chan struct{}) bool {
	select {
	case i.turn <- struct{}{}:
	case <-quit:
		return false
	}
	defer func() { <-i.turn }()
	for {
		i.mu.Lock()
		if i.bytes == 0 || i.bytes+size <= intakeBytes {
			i.bytes += size
			i.mu.Unlock()
			return true
		}
		i.mu.Unlock()
		select {
		case <-i.freed:
		case <-quit:
			return false
		}
	}
}

// leave gives room back.
func (i *intake) leave(size int) {
	i.mu.Lock()
	i.bytes -= size
	i.mu.Unlock()
	select {
	case i.freed <- struct{}{}:
	default:
	}
}
