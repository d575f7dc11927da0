package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// FormatVersion is the version of what a store and the note beside it are written
// in. A store of version 1, whose note had another form, of 2, which had the states of
// subjects in their version 1 alone, of 3, in which none lacked updates, of 4, in which
// each run's last record had its seal, or of 5, in which no state lacked the first update
// of an origin (chain/FORMAT.md), is read, and is of this one from its opening on: so a
// program of before refuses it, and changes nothing. Later versions are refused.
const FormatVersion = 6

// identityFormat is the version of identity.json; others are refused.
const identityFormat = 1

var (
	// ErrFormat is wrapped when what is on disk was written by another version
	// of the format, or is not a store at all.
	ErrFormat = errors.New("not of this format")
	// errNoVersion is a store of somebody else's, or of ours that lost its first
	// table.
	errNoVersion = fmt.Errorf("%w: a Pebble database without a format version", ErrFormat)
	// ErrReserved is wrapped by Commit for a key that is empty or begins with
	// 0x00. Nothing of the batch is written, and the store lives on.
	ErrReserved = errors.New("reserved key")
)

// The store's own keys. Their first byte keeps them out of every Scan.
var (
	keyFormat = []byte("\x00format") // FormatVersion in decimal
	keyNoted  = []byte("\x00noted")  // there is a side file
	keyFirst  = []byte{0x01}         // the lowest key of a user
)

func checkKeys(b *chain.Batch) error {
	check := func(key []byte) error {
		if len(key) == 0 || key[0] == 0 {
			return fmt.Errorf("%w: %q", ErrReserved, key)
		}
		return nil
	}
	return b.Each(func(key, _ []byte) error { return check(key) }, check)
}

// userLow raises a scan's lower bound to the first key that a user may have,
// and copies it.
func userLow(lo []byte) []byte {
	if bytes.Compare(lo, keyFirst) < 0 {
		return keyFirst
	}
	return slices.Clone(lo)
}
