package store

import "bytes"

// memIterator walks one tree that nobody writes to. The tree has no cursors,
// so entries are fetched in growing pages in the direction of the walk.
type memIterator struct {
	tree   *tree
	lo, hi []byte

	page    []entry
	i       int  // place in page, if on
	forward bool // page ascends
	grow    int  // size of the next page
	place   place
}

// place is where an iterator is.
type place uint8

const (
	before place = iota // before the first key
	on                  // on a key
	after               // after the last key
)

const (
	firstPage = 4
	mostPage  = 128
)

func (it *memIterator) Next() bool {
	switch it.place {
	case before:
		return it.SeekGE(it.lo)
	case after:
		return false
	}
	if it.forward && it.i+1 < len(it.page) {
		it.i++
		return true
	}
	return it.ascend(it.page[it.i].key, true)
}

func (it *memIterator) Prev() bool {
	switch it.place {
	case before:
		return false
	case after:
		return it.Last()
	}
	if !it.forward && it.i+1 < len(it.page) {
		it.i++
		return true
	}
	return it.descend(it.page[it.i].key)
}

func (it *memIterator) Last() bool {
	it.grow = 0
	return it.descend(it.hi)
}

func (it *memIterator) SeekGE(key []byte) bool {
	if bytes.Compare(key, it.lo) < 0 {
		key = it.lo
	}
	it.grow = 0
	return it.ascend(key, false)
}

// ascend pages forward from key, without key itself if past.
func (it *memIterator) ascend(key []byte, past bool) bool {
	limit := it.begin(true)
	if it.tree != nil {
		it.tree.AscendGreaterOrEqual(entry{key: key}, func(e entry) bool {
			if it.hi != nil && bytes.Compare(e.key, it.hi) >= 0 {
				return false
			}
			if past && bytes.Equal(e.key, key) {
				return true
			}
			it.page = append(it.page, e)
			return len(it.page) < limit
		})
	}
	return it.land(after)
}

// descend pages backward from below key, or from the end if key is nil.
func (it *memIterator) descend(key []byte) bool {
	limit := it.begin(false)
	take := func(e entry) bool {
		if bytes.Compare(e.key, it.lo) < 0 {
			return false
		}
		if key != nil && bytes.Compare(e.key, key) >= 0 {
			return true
		}
		it.page = append(it.page, e)
		return len(it.page) < limit
	}
	switch {
	case it.tree == nil:
	case key == nil:
		it.tree.Descend(take)
	default:
		it.tree.DescendLessOrEqual(entry{key: key}, take)
	}
	return it.land(before)
}

func (it *memIterator) begin(forward bool) (limit int) {
	if it.forward != forward {
		it.grow = 0
	}
	it.forward, it.page, it.i = forward, it.page[:0], 0
	it.grow = min(max(firstPage, it.grow*2), mostPage)
	return it.grow
}

func (it *memIterator) land(otherwise place) bool {
	it.place = otherwise
	if len(it.page) > 0 {
		it.place = on
	}
	return it.place == on
}

func (it *memIterator) Key() []byte {
	if it.place != on {
		return nil
	}
	return it.page[it.i].key
}

func (it *memIterator) Value() []byte {
	if it.place != on {
		return nil
	}
	return it.page[it.i].value
}

func (it *memIterator) Close() error {
	it.tree, it.page, it.place = nil, nil, after
	return nil
}

// failedIterator is what Scan returns where there is nothing to walk.
type failedIterator struct{ err error }

func (failedIterator) Next() bool         { return false }
func (failedIterator) Last() bool         { return false }
func (failedIterator) Prev() bool         { return false }
func (failedIterator) SeekGE([]byte) bool { return false }
func (failedIterator) Key() []byte        { return nil }
func (failedIterator) Value() []byte      { return nil }
func (f failedIterator) Close() error     { return f.err }
