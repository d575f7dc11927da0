package api

import (
	"container/list"
	"errors"
	"sync"
)

// shared are answers that others may get too: who asks for the same before it is
// something else shares one reading and one encoding. What was used last is
// kept, up to a number of bytes.
type shared[K comparable, V any] struct {
	most int // bytes that are kept, in all

	mu    sync.Mutex // protects what follows
	made  map[K]*making[K, V]
	order list.List // of made, the newest in use first
	bytes int
}

// making is an answer that is made once, by whoever asks first.
type making[K comparable, V any] struct {
	key   K
	once  sync.Once
	value V
	err   error
	size  int // bytes; 0 until it is made
	at    *list.Element
}

func newShared[K comparable, V any](most int) *shared[K, V] {
	return &shared[K, V]{most: most, made: map[K]*making[K, V]{}}
}

var errNotMade = errors.New("making the answer failed")

// get returns the answer of a key, and whether another request has made it. A
// failure is nobody else's but of those who wait for it. make returns with its
// value how many bytes that takes.
func (s *shared[K, V]) get(key K, make func() (V, int, error)) (v V, again bool, err error) {
	s.mu.Lock()
	m, again := s.made[key]
	if again {
		s.order.MoveToFront(m.at)
	} else {
		m = &making[K, V]{key: key, err: errNotMade}
		m.at = s.order.PushFront(m)
		s.made[key] = m
	}
	s.mu.Unlock()
	m.once.Do(func() {
		size := 0
		defer func() { s.keep(m, size) }()
		m.value, size, m.err = make()
	})
	return m.value, again, m.err
}

// keep counts what was made, and lets go of what was not used for longest.
func (s *shared[K, V]) keep(m *making[K, V], size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made[m.key] != m {
		return
	}
	if m.err != nil || size > s.most/4 {
		s.drop(m)
		return
	}
	m.size = size
	s.bytes += size
	for s.bytes > s.most {
		s.drop(s.order.Back().Value.(*making[K, V]))
	}
}

func (s *shared[K, V]) drop(m *making[K, V]) {
	delete(s.made, m.key)
	s.order.Remove(m.at)
	s.bytes -= m.size
}
