package chain

import "container/list"

// stateCache keeps decoded states between batches, those written last, up to a
// number of encoded bytes.
type stateCache struct {
	most, size int
	order      *list.List // of *cachedState, the newest in front
	entries    map[string]*list.Element
}

type cachedState struct {
	subject string
	state   *State
	encoded int // bytes
	size    int
}

func newStateCache(most int) stateCache {
	return stateCache{most: most, order: list.New(), entries: map[string]*list.Element{}}
}

// take removes a state from the cache and returns it with the size of its
// encoding, nil if it is not there.
func (c *stateCache) take(subject string) (*State, int) {
	e := c.entries[subject]
	if e == nil {
		return nil, 0
	}
	s := c.drop(e)
	return s.state, s.encoded
}

func (c *stateCache) drop(e *list.Element) *cachedState {
	s := c.order.Remove(e).(*cachedState)
	delete(c.entries, s.subject)
	c.size -= s.size
	return s
}

// decodedOverhead is about what a decoded state takes beside its encoding, in
// bytes.
const decodedOverhead = 1 << 10

// put keeps a state. size is that of its encoding.
func (c *stateCache) put(subject string, s *State, size int) {
	if e := c.entries[subject]; e != nil {
		c.drop(e)
	}
	entry := &cachedState{subject, s, size, 3*size + decodedOverhead}
	c.entries[subject] = c.order.PushFront(entry)
	c.size += entry.size
	for c.size > c.most {
		c.drop(c.order.Back())
	}
}
