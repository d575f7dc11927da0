package store

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// diskIterator walks a snapshot of Pebble's. It keeps the store's gate open
// until it is closed.
type diskIterator struct {
	it    *pebble.Iterator
	place place
	value []byte
	err   error // the first; it ends the walk
	leave func()
	met   func(error) // hears of the error at Close
}

func (d *diskIterator) open(db *pebble.DB, lo, hi []byte) (err error) {
	lo = userLow(lo)
	if hi != nil {
		// Pebble wants bounds in order; a range that ends before it begins is
		// empty all the same.
		if hi = slices.Clone(hi); bytes.Compare(hi, lo) < 0 {
			hi = lo
		}
	}
	d.it, err = db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	return readError(err)
}

func (d *diskIterator) Next() bool {
	switch {
	case d.done() || d.place == after:
		return false
	case d.place == before:
		return d.land(d.it.First(), after)
	}
	return d.land(d.it.Next(), after)
}

func (d *diskIterator) Prev() bool {
	switch {
	case d.done() || d.place == before:
		return false
	case d.place == after:
		return d.land(d.it.Last(), before)
	}
	return d.land(d.it.Prev(), before)
}

func (d *diskIterator) Last() bool {
	return !d.done() && d.land(d.it.Last(), before)
}

func (d *diskIterator) SeekGE(key []byte) bool {
	return !d.done() && d.land(d.it.SeekGE(key), after)
}

func (d *diskIterator) done() bool { return d.it == nil || d.err != nil }

// land takes what the move came to. The value is fetched now, for Value has no
// way to say that it could not be read.
func (d *diskIterator) land(ok bool, otherwise place) bool {
	d.place, d.value = otherwise, nil
	if ok {
		d.value, d.err = d.it.ValueAndErr()
	} else {
		d.err = d.it.Error()
	}
	if d.err = readError(d.err); d.err != nil || !ok {
		return false
	}
	d.place = on
	return true
}

func (d *diskIterator) Key() []byte {
	if d.place != on {
		return nil
	}
	return d.it.Key()
}

func (d *diskIterator) Value() []byte {
	if d.place != on {
		return nil
	}
	if d.value == nil {
		return []byte{}
	}
	return d.value
}

func (d *diskIterator) Close() error {
	if d.leave == nil {
		return d.err
	}
	if d.it != nil {
		if err := d.it.Close(); d.err == nil {
			d.err = readError(err)
		}
	}
	if d.met != nil {
		d.met(d.err)
	}
	d.leave()
	d.it, d.leave, d.place = nil, nil, after
	return d.err
}
