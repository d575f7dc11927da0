// Package room bounds what is held at a time, by places that are taken and given
// back. Who needs several has them all or none, and comes in turn, so that a large
// one is not passed over by small ones for ever.
package room

// Room is a number of places. It is safe for concurrent use.
type Room struct {
	places chan struct{} // holds one for each that is taken
	turn   chan struct{} // held while several are taken: of two with a part each, neither would get the rest
}

// New returns a room with so many places, all free.
func New(places int) *Room {
	return &Room{places: make(chan struct{}, places), turn: make(chan struct{}, 1)}
}

// Clamp is n, or all places if that is more than there are: what can be taken at
// once, and is to be given back.
func (r *Room) Clamp(n int) int { return min(n, cap(r.places)) }

// Take waits for n places, clamped, until one of the channels is closed. It reports
// whether it has them.
func (r *Room) Take(n int, end, quit <-chan struct{}) bool {
	n = r.Clamp(n)
	if n > 1 {
		select {
		case r.turn <- struct{}{}:
		case <-end:
			return false
		case <-quit:
			return false
		}
		defer func() { <-r.turn }()
	}
	for taken := range n {
		select {
		case r.places <- struct{}{}:
		case <-end:
			r.Give(taken)
			return false
		case <-quit:
			r.Give(taken)
			return false
		}
	}
	return true
}

// TryTake takes n places, clamped, if they are free.
func (r *Room) TryTake(n int) bool {
	n = r.Clamp(n)
	if n > 1 {
		select {
		case r.turn <- struct{}{}:
		default:
			return false
		}
		defer func() { <-r.turn }()
	}
	for taken := range n {
		select {
		case r.places <- struct{}{}:
		default:
			r.Give(taken)
			return false
		}
	}
	return true
}

// Give gives back n places, clamped, that were taken.
func (r *Room) Give(n int) {
	for range r.Clamp(n) {
		<-r.places
	}
}

// Full reports whether no place is free.
func (r *Room) Full() bool { return len(r.places) == cap(r.places) }
