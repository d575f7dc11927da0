package api

import (
	"bytes"
	"strconv"
	"sync"

	"github.com/tidings-mesh/tidings/chain"
)

// batch is a batch of the feed on its way to consumers. Nobody writes to it once
// it is made.
type batch struct {
	changes *Changes // without its Updates, which are in json alone
	found   bool
	version uint64 // of what was applied before it was made: all of that is in it, or before it
	// Where nothing was found these are empty, unless others are to be sent it.
	place string // the text of the cursor
	json  []byte
}

// batchText is the text of a batch while it is made.
type batchText struct {
	names authorities
	b     []byte
	n     int // updates
}

const batchBegin = `{"updates":[`

// scratch has the room of texts that were made, for the next ones, until the collector
// takes it.
var scratch = sync.Pool{New: func() any { return new(batchText) }}

func (h *Handler) newBatchText() *batchText {
	t := scratch.Get().(*batchText)
	*t = batchText{names: authorities{backend: h.backend}, b: append(t.b[:0], batchBegin...)}
	return t
}

// add writes an update. It keeps nothing of it.
func (t *batchText) add(u *chain.Update) {
	if t.n++; t.n > 1 {
		t.b = append(t.b, ',')
	}
	t.b = chain.AppendUpdateJSON(t.b, u, t.names.of(u.ID.Origin))
}

// batch ends the text, and makes a batch of it if it has something, or is sent in any
// case.
func (t *batchText) batch(c *Changes, converged, sent bool) *batch {
	b := &batch{changes: c, found: t.n > 0 || c.Found()}
	if b.found || sent {
		b.place = c.Cursor.String()
		t.b = appendChangesEnd(t.b, c, b.place, converged)
		b.json = bytes.Clone(t.b)
	}
	t.names = authorities{}
	scratch.Put(t)
	return b
}

// text is the batch as it is answered, and the text of its cursor.
func (b *batch) text(h *Handler) (json []byte, place string) {
	if b.json != nil {
		return b.json, b.place
	}
	place = b.changes.Cursor.String()
	return appendChangesEnd([]byte(batchBegin), b.changes, place, h.backend.Converged()), place
}

// appendChangesEnd is what follows the updates of a batch.
func appendChangesEnd(dst []byte, c *Changes, place string, converged bool) []byte {
	b := append(dst, `],"cursor":`...)
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
