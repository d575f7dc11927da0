package api

import (
	"container/list"
	"errors"
	"strconv"
	"sync"

	"github.com/tidings-mesh/tidings/chain"
)

// batch is a batch of the feed on its way to consumers. Nobody writes to it once
// it is made.
type batch struct {
	changes *Changes // its Updates are in json alone
	found   bool
	// Where nothing was found these are empty: it is seldom sent.
	place string // the text of the cursor
	json  []byte
}

func (h *Handler) newBatch(c *Changes, converged bool) *batch {
	b := &batch{changes: c, found: c.Found()}
	if b.found {
		b.place = c.Cursor.String()
		b.json = h.appendChanges(nil, c, b.place, converged)
		c.Updates = nil
	}
	return b
}

// text is the batch as it is answered, and the text of its cursor.
func (b *batch) text(h *Handler) (json []byte, place string) {
	if b.found {
		return b.json, b.place
	}
	place = b.changes.Cursor.String()
	return h.appendChanges(nil, b.changes, place, h.backend.Converged()), place
}

func (h *Handler) appendChanges(dst []byte, c *Changes, place string, converged bool) []byte {
	names := authorities{backend: h.backend}
	b := append(dst, `{"updates":[`...)
	for i, u := range c.Updates {
		if i > 0 {
			b = append(b, ',')
		}
		b = chain.AppendUpdateJSON(b, u, names.of(u.ID.Origin))
	}
	b = append(b, `],"cursor":`...)
	b = chain.AppendJSONString(b, place)
	b = append(b, `,"up_to_date":`...)
	b = strconv.AppendBool(b, c.UpToDate)
	b = append(b, `,"behind":[`...)
	for i, o := range c.Behind {
		if i > 0 {
			b = append(b, ',')
		}
		b = chain.AppendJSONString(b, o.String())
	}
	b = append(b, `],"converged":`...)
	b = strconv.AppendBool(b, converged)
	if len(c.Retracted) > 0 {
		b = append(b, `,"retracted":[`...)
		for i, r := range c.Retracted {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"origin":`...)
			b = chain.AppendJSONString(b, r.Origin.String())
			b = append(b, `,"after":`...)
			b = strconv.AppendUint(b, uint64(r.After), 10)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// batches are those that others may get too: consumers that are woken together,
// or that ask for the same before anything else is applied, share one scan and
// one encoding. What was made last is kept, up to a number of bytes. The zero
// value is ready.
type batches struct {
	mu    sync.Mutex // protects what follows
	made  map[batchKey]*madeBatch
	order list.List // of made, the newest first
	bytes int
}

// batchKey names what a batch answers: either a place, with the version of what
// is applied, or a group of consumers that were woken at one place.
type batchKey struct {
	place, filter  string
	version, group uint64
	limit          int
	converged      bool
}

type madeBatch struct {
	key   batchKey
	once  sync.Once
	batch *batch
	err   error
	size  int
	at    *list.Element
}

const (
	maxSharedBytes = 8 << 20 // of encodings that are kept, in all
	batchOverhead  = 512     // bytes of one besides its texts and cursor
)

var errNotMade = errors.New("making the batch failed")

// get returns the batch of a key, and whether another consumer has made it. A
// failure is nobody else's.
func (s *batches) get(key batchKey, make func() (*batch, error)) (b *batch, shared bool, err error) {
	s.mu.Lock()
	m := s.made[key]
	if shared = m != nil; !shared {
		m = &madeBatch{key: key, err: errNotMade}
		m.at = s.order.PushFront(m)
		if s.made == nil {
			s.made = map[batchKey]*madeBatch{}
		}
		s.made[key] = m
	}
	s.mu.Unlock()
	m.once.Do(func() {
		defer s.keep(m)
		m.batch, m.err = make()
	})
	return m.batch, shared, m.err
}

// keep counts what was made, and lets go of the oldest.
func (s *batches) keep(m *madeBatch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made[m.key] != m {
		return
	}
	if m.err != nil {
		s.drop(m)
		return
	}
	c := m.batch.changes.Cursor
	m.size = batchOverhead + len(m.key.place) + len(m.batch.json) + 48*(len(c.Frontier)+len(c.Told))
	if s.bytes += m.size; m.size > maxSharedBytes/4 {
		s.drop(m)
	}
	for s.bytes > maxSharedBytes {
		s.drop(s.order.Back().Value.(*madeBatch))
	}
}

func (s *batches) drop(m *madeBatch) {
	if s.made[m.key] != m {
		return
	}
	delete(s.made, m.key)
	s.order.Remove(m.at)
	s.bytes -= m.size
}
