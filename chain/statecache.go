package chain

// stateCache keeps decoded states between batches, up to a number of bytes. When it is
// full any of them gives way, not that which was written longest ago: of subjects that are
// written in turn, as by a node that catches up or a source that is polled, and that are
// more than fit, it would always be the one that is written next.
type stateCache struct {
	most, size int
	entries    []cachedState
	places     map[string]int // in entries
	random     uint32         // the last; the same in every run
}

type cachedState struct {
	state   *State
	stored  storedState
	size    int  // bytes
	written bool // since the last sweep
}

func newStateCache(most int) stateCache {
	return stateCache{most: most, places: map[string]int{}, random: 1}
}

// get returns a state with what the store has of it, nil if it is not there. Who
// changes it puts it back, or removes it.
func (c *stateCache) get(subject string) (*State, storedState) {
	i, ok := c.places[subject]
	if !ok {
		return nil, storedState{}
	}
	return c.entries[i].state, c.entries[i].stored
}

// remove forgets a state, if it is there.
func (c *stateCache) remove(subject string) {
	if i, ok := c.places[subject]; ok {
		c.drop(i)
	}
}

// drop forgets a state by its place.
func (c *stateCache) drop(i int) {
	gone, last := c.entries[i], len(c.entries)-1
	c.size -= gone.size
	c.entries[i] = c.entries[last]
	c.places[c.entries[i].state.Subject()] = i
	delete(c.places, gone.state.Subject())
	c.entries[last] = cachedState{}
	c.entries = c.entries[:last]
}

// put keeps a state, unless it is larger than all may be, with what the store has of it.
func (c *stateCache) put(s *State, stored storedState) {
	size := s.memory(stored.size+stored.bytes) + cap(stored.lacks) + len(Origin{})*cap(stored.firsts)
	if i, ok := c.places[s.Subject()]; ok && size <= c.entries[i].size {
		c.size -= c.entries[i].size - size
		c.entries[i] = cachedState{s, stored, size, true}
		return
	}
	c.remove(s.Subject())
	if size > c.most {
		return
	}
	for c.size+size > c.most {
		c.drop(c.any())
	}
	c.places[s.Subject()] = len(c.entries)
	c.entries = append(c.entries, cachedState{s, stored, size, true})
	c.size += size
}

// sweep forgets what was not put since the last sweep.
func (c *stateCache) sweep() {
	for i := len(c.entries) - 1; i >= 0; i-- {
		if e := &c.entries[i]; e.written {
			e.written = false
		} else {
			c.drop(i)
		}
	}
	if len(c.entries) == 0 {
		*c = newStateCache(c.most) // a map keeps the room that it had
	}
}

// any is the place of some state.
func (c *stateCache) any() int {
	c.random ^= c.random << 13
	c.random ^= c.random >> 17
	c.random ^= c.random << 5
	return int(uint64(c.random) * uint64(len(c.entries)) >> 32)
}

// What a decoded state takes beside its encoding, in bytes: by itself with its place in
// the cache, and for each of its paths, each tip and what that has seen.
const (
	stateOverhead   = 400
	pathOverhead    = 240
	tipOverhead     = 64
	contextOverhead = 24
)

// memory is about what the state takes, in bytes, if its encoding has so many. Where short
// fields of many updates each keep the delta that they came in (valueShared) it may be two
// and a half times that. A point counts as a whole status with its members, though it has a
// part of them in common with the next.
func (s *State) memory(encoded int) int {
	n := stateOverhead + encoded + pathOverhead*len(s.live) + tipOverhead*len(s.tips)
	for i := range s.tips {
		n += contextOverhead * len(s.tips[i].context)
		if before := s.tips[i].before; before != nil {
			n += tipOverhead + contextOverhead*len(before.context)
		}
	}
	return n + len(s.points)*(encoded+64*len(s.live))
}
