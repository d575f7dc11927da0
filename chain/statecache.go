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

// get returns a state with the size of its encoding, nil if it is not there. Who
// changes it puts it back, or removes it.
func (c *stateCache) get(subject string) (*State, int) {
	e := c.entries[subject]
	if e == nil {
		return nil, 0
	}
	s := e.Value.(*cachedState)
	return s.state, s.encoded
}

// remove forgets a state, if it is there.
func (c *stateCache) remove(subject string) {
	if e := c.entries[subject]; e != nil {
		c.drop(e)
	}
}

func (c *stateCache) drop(e *list.Element) {
	s := c.order.Remove(e).(*cachedState)
	delete(c.entries, s.subject)
	c.size -= s.size
}

// decodedOverhead is about what a decoded state takes beside its encoding, in
// bytes.
const decodedOverhead = 1 << 10

// put keeps a state. size is that of its encoding.
func (c *stateCache) put(subject string, s *State, size int) {
	e := c.entries[subject]
	if e == nil {
		e = c.order.PushFront(&cachedState{subject: subject})
		c.entries[subject] = e
	}
	entry := e.Value.(*cachedState)
	c.size -= entry.size
	entry.state, entry.encoded, entry.size = s, size, (3+len(s.points))*size+decodedOverhead
	c.size += entry.size
	c.order.MoveToFront(e)
	for c.size > c.most {
		c.drop(c.order.Back())
	}
}
