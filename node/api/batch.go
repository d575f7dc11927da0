package api

import (
	"strconv"

	"github.com/tidings-mesh/tidings/chain"
)

// batch is a batch of the feed on its way to consumers. Nobody writes to it once
// it is made.
type batch struct {
	changes *Changes // its Updates are in json alone
	found   bool
	version uint64 // of what was applied before it was made: all of that is in it, or before it
	// Where nothing was found these are empty, unless others are to be sent it.
	place string // the text of the cursor
	json  []byte
}

// newBatch encodes a batch if it has something, or is sent in any case.
func (h *Handler) newBatch(c *Changes, converged, sent bool) *batch {
	b := &batch{changes: c, found: c.Found()}
	if b.found || sent {
		b.place = c.Cursor.String()
		b.json = h.appendChanges(make([]byte, 0, c.roughSize()+len(b.place)), c, b.place, converged)
		c.Updates = nil
	}
	return b
}

// roughSize is about how many bytes the updates take when they are encoded,
// rather more than fewer: a large batch that outgrows its buffer is copied as a
// whole.
func (c *Changes) roughSize() int {
	const (
		frame     = 256 // of an update: names, ID, times, an authority's name
		oneOrigin = 32  // of a dependency
	)
	size := frame
	for _, u := range c.Updates {
		size += frame + len(u.Subject) + len(u.Delta) + oneOrigin*len(u.Deps)
	}
	return size + oneOrigin*(len(c.Behind)+2*len(c.Retracted))
}

// text is the batch as it is answered, and the text of its cursor.
func (b *batch) text(h *Handler) (json []byte, place string) {
	if b.json != nil {
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

// batches are those of consumers that are woken together, or that ask for the
// same before anything else is applied.
type batches = shared[batchKey, *batch]

// batchKey names what a batch answers: either a place, with the version of what
// is applied, or a group of consumers that were woken at one place, or that
// passed to one in the same moment.
type batchKey struct {
	place, filter  string
	version, group uint64
	moment         int64 // 0 for those that were woken
	limit          int
	converged      bool
}

const (
	maxBatchBytes = 8 << 20 // of encodings that are kept, in all
	batchOverhead = 512     // bytes of one besides its texts and cursor
)

// size is about what the batch of a key takes, in bytes.
func (b *batch) size(key batchKey) int {
	c := b.changes.Cursor
	return batchOverhead + len(key.place) + len(b.json) + 48*(len(c.Frontier)+len(c.Told))
}
