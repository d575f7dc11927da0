package store

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// seriesShare is the part of a memtable from which on a series of keys has tables of its
// own. With what is between them a flush writes some sixteen more of each memtable at
// most, and each is synced by itself.
const seriesShare = 8

// series gives each series of keys that grows much, see [Options.Series], tables
// of its own. A table that has two of them ranges from the end of one to the end
// of the other, over all that the other had before, so that a compaction would
// write that again and again. Tables of one series follow on each other: nothing
// is to be merged.
type series struct {
	of    func(key []byte) []byte
	least int

	mu     sync.Mutex
	bytes  map[string]int // since the last flush began
	before map[string]int // up to it: when a flush begins, the memtable after may be full too

	large atomic.Pointer[[]string] // as of the last flush, ascending
}

func newSeries(of func(key []byte) []byte, memTable uint64) *series {
	s := &series{of: of, least: int(memTable / seriesShare), bytes: map[string]int{}, before: map[string]int{}}
	s.large.Store(new([]string))
	return s
}

// seriesCount counts the writes of one batch.
type seriesCount struct {
	*series
	last []byte
	size int
}

func (c *seriesCount) add(key, value []byte) {
	if c.of == nil {
		return
	}
	if s := c.of(key); s != nil {
		if !bytes.Equal(s, c.last) {
			c.done()
			c.last = s
		}
		c.size += len(key) + len(value)
	}
}

// done ends the batch, or what it has of a series.
func (c *seriesCount) done() {
	if c.size > 0 {
		c.mu.Lock()
		c.bytes[string(c.last)] += c.size
		c.mu.Unlock()
		c.size = 0
	}
}

// flushes takes in what was written up to a flush that begins.
func (s *series) flushes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var large []string
	for _, sizes := range []map[string]int{s.bytes, s.before} {
		for name, size := range sizes {
			if size >= s.least {
				large = append(large, name)
			}
		}
	}
	slices.Sort(large)
	large = slices.Compact(large)
	s.large.Store(&large)
	clear(s.before)
	s.bytes, s.before = s.before, s.bytes
}

// policy ends a table that begins with key where a series begins or ends. What a
// compaction writes is divided by what the last flush was.
func (s *series) policy(key []byte) (pebble.SpanPolicy, []byte, error) {
	large := *s.large.Load()
	at := string(key)
	i, found := slices.BinarySearch(large, at)
	switch {
	case found:
		return pebble.SpanPolicy{}, behind(large[i]), nil
	case i > 0 && strings.HasPrefix(at, large[i-1]):
		return pebble.SpanPolicy{}, behind(large[i-1]), nil
	case i < len(large):
		return pebble.SpanPolicy{}, []byte(large[i]), nil
	}
	return pebble.SpanPolicy{}, nil, nil
}

// behind is the first key after all that begin with prefix, nil if there is none.
func behind(prefix string) []byte {
	end := []byte(prefix)
	for len(end) > 0 && end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	if len(end) == 0 {
		return nil
	}
	end[len(end)-1]++
	return end
}
