package chain

import (
	"crypto/ed25519"
	"fmt"

	"github.com/tidings-mesh/tidings/chain/wire"
)

// record is an update as it is kept: absolute, so that it reads back without
// its chain, and with the entry as it travels, so that it is served as it came.
type record struct {
	hlc    HLC
	hash   Hash
	deps   []ID
	cause  ID
	header []byte
	body   []byte
	// seal is the signature of the run that ended here, empty if none did, and before
	// that of the one that ended before this update, if the record before does not
	// have it.
	seal, before []byte
}

func appendRecord(dst []byte, u *Update, e *Entry, seal, before []byte) []byte {
	items := 7
	if len(before) > 0 {
		items++
	}
	dst = wire.AppendArray(dst, items)
	dst = wire.AppendUint(dst, uint64(u.HLC))
	dst = wire.AppendBin(dst, u.Hash[:])
	dst = wire.AppendArray(dst, 2*len(u.Deps))
	for _, id := range u.Deps {
		dst = wire.AppendBin(dst, id.Origin[:])
		dst = wire.AppendUint(dst, uint64(id.Seq))
	}
	if u.Cause.IsZero() {
		dst = wire.AppendArray(dst, 0)
	} else {
		dst = wire.AppendArray(dst, 2)
		dst = wire.AppendBin(dst, u.Cause.Origin[:])
		dst = wire.AppendUint(dst, uint64(u.Cause.Seq))
	}
	dst = wire.AppendBin(dst, e.Header)
	dst = wire.AppendBin(dst, e.Body)
	dst = wire.AppendBin(dst, seal)
	if len(before) > 0 {
		dst = wire.AppendBin(dst, before)
	}
	return dst
}

// decodeRecord reads a record, whose slices point into b.
func decodeRecord(id ID, b []byte) (*record, error) {
	r := new(record)
	if err := r.decode(id, b); err != nil {
		return nil, err
	}
	return r, nil
}

// decode is decodeRecord into an empty record.
func (r *record) decode(id ID, b []byte) error {
	d := newDecoder(b)
	items := d.Array()
	if items != 7 && items != 8 {
		d.Fail("%d items", items)
	}
	r.hlc = HLC(d.Uint())
	copy(r.hash[:], d.BinLen(len(r.hash)))
	n := d.Array()
	if n%2 != 0 || n > 2*MaxDeps {
		d.Fail("%d items for deps", n)
	}
	if d.Err() == nil && n > 0 {
		r.deps = make([]ID, n/2)
		for i := range r.deps {
			r.deps[i] = d.id()
		}
	}
	switch d.Array() {
	case 0:
	case 2:
		if r.cause = d.id(); r.cause.IsZero() {
			d.Fail("no cause")
		}
	default:
		d.Fail("cause")
	}
	r.header = d.Bin(maxHeader)
	r.body = d.Bin(MaxDelta)
	r.seal = d.Bin(ed25519.SignatureSize)
	if n := len(r.seal); n != 0 && n != ed25519.SignatureSize {
		d.Fail("seal of %d bytes", n)
	}
	if items == 8 {
		r.before = d.BinLen(ed25519.SignatureSize)
	}
	if err := d.End(); err != nil {
		return fmt.Errorf("record of %s: %w: %w", id, ErrCorrupt, err)
	}
	return nil
}

func (d *decoder) id() (id ID) {
	copy(id.Origin[:], d.BinLen(len(id.Origin)))
	id.Seq = Seq(d.Uint())
	return id
}

// update is the update that the record keeps. Prev is left zero: it is the
// hash of the record before.
func (r *record) update(id ID) (*Update, error) {
	u := new(Update)
	if err := r.read(id, u); err != nil {
		return nil, err
	}
	return u, nil
}

// read is update into u.
func (r *record) read(id ID, u *Update) error {
	d := newDecoder(r.header)
	d.Array()
	form := d.Uint()
	d.Uint()
	d.Uint()
	*u = Update{ID: id, Kind: Kind(form >> formKind), HLC: r.hlc, Hash: r.hash, Deps: r.deps, Cause: r.cause, Delta: r.body}
	if u.Kind == KindStatus {
		d.statusFields(u, form)
	}
	if d.Err() != nil {
		return fmt.Errorf("record of %s: %w: %w", id, ErrCorrupt, d.Err())
	}
	return nil
}
