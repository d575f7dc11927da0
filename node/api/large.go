package api

import (
	"time"

	"github.com/tidings-mesh/tidings/node/room"
)

// Bodies of drafts are held from their first bytes until all is answered. Those
// that are large share a room, of which each takes what it says it has; where it
// does not say, all that it may have. Small ones are bounded by connections.
const (
	smallBody  = 64 << 10 // bytes up to which a body needs no room
	largePlace = 64 << 10 // bytes of a place
)

// newLargeRoom returns the room for so many bytes.
func newLargeRoom(bytes int) *room.Room { return room.New(max(1, bytes/largePlace)) }

// largeBody is the room that a request has for its body.
type largeBody struct {
	x      *exchange
	wait   time.Duration // for room
	places int           // taken, 0 for none
}

// need is called with the bytes that have come, and the most that may. It waits for
// room where that is necessary, and refuses as busy where there is none in time.
func (b *largeBody) need(have, most int) (waited bool, refused error) {
	if b == nil || b.places > 0 || have <= smallBody {
		return false, nil
	}
	size := int64(most)
	if claimed := b.x.r.ContentLength; claimed >= 0 {
		size = min(size, claimed)
	}
	places := b.x.h.large.Clamp(int((size + largePlace - 1) / largePlace))
	timeout := make(chan struct{})
	timer := time.AfterFunc(max(b.wait, minRoomWait), func() { close(timeout) })
	defer timer.Stop()
	if !b.x.h.large.Take(places, timeout, b.x.h.closing.Done()) {
		if b.x.h.closing.Err() != nil {
			return true, errClosing
		}
		b.x.h.metrics.refused.WithLabelValues("body").Inc()
		return true, newProblem(CodeBusy, "", "the node holds as many bytes of drafts as it may; try again later, or send fewer at a time")
	}
	b.places = places
	return true, nil
}

// end gives the room back. It may be called on nil.
func (b *largeBody) end() {
	if b != nil {
		b.x.h.large.Give(b.places)
		b.places = 0
	}
}
