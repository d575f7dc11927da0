package chain

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// The keys of a ledger's store. One byte tells the kind; integers are
// big-endian, so that keys sort as what they name does. No key begins with a
// zero byte, which is the store's own.
//
//	c ORIGIN                        chain: genesis, received and applied heads, floor
//	t ORIGIN place(4)               one entry of the chain's table of origins
//	u ORIGIN seq(8)                 update: absolute time, deps and hash, then its entry
//	i SUBJECT 00 hlc(8) ORIGIN seq(8)  index of a subject's updates in stitched order: its context
//	s SUBJECT                       the subject's State
//	l SUBJECT                       which updates that State lacks
//	b SUBJECT                       the State that a refold begins with, folded below the floors
//	k key(16)                       idempotency key: what it was answered
//	x millis(8) key(16)             the same by age
//	a HOOK 00 ORIGIN seq(8) ORIGIN seq(8)  answers of reactions: the cause, then the update
//	f ORIGIN                        freeze: its proof
//	m NAME                          the ledger's own notes
//	p NAME                          callers' records, committed with the updates they belong to
const (
	keyChain   = 'c'
	keyTable   = 't'
	keyUpdate  = 'u'
	keyIndex   = 'i'
	keyState   = 's'
	keyLag     = 'l'
	keyBase    = 'b'
	keyTag     = 'k'
	keyTagAge  = 'x'
	keyAnswer  = 'a'
	keyFreeze  = 'f'
	keyNote    = 'm'
	keyPrivate = 'p'
	keyTaken   = 'r'
)

// KeepsKey reports whether a ledger never deletes a key once it is in its store,
// which get reads. The error is get's.
func KeepsKey(key []byte, get func([]byte) ([]byte, error)) (bool, error) {
	switch key[0] {
	case keyTag, keyTagAge, keyPrivate:
		return false, nil
	case keyIndex, keyState, keyLag, keyChain, keyTable, keyAnswer:
		taken, err := get([]byte{keyTaken})
		return taken == nil, err
	}
	return true, nil
}

// KeySeries returns what the keys of a chain's updates begin with if key is one of
// these, else nil. Each is written behind those before it.
func KeySeries(key []byte) []byte {
	if n := 1 + len(Origin{}); key[0] == keyUpdate && len(key) > n {
		return key[:n]
	}
	return nil
}

// drop deletes what a freeze takes back.
func (l *Ledger) drop(key []byte) {
	l.tx.batch.Set([]byte{keyTaken}, nil)
	l.tx.batch.Delete(key)
}

func appendChainKey(dst []byte, kind byte, o Origin) []byte {
	return append(append(dst, kind), o[:]...)
}

func appendTableKey(dst []byte, o Origin, place int) []byte {
	return binary.BigEndian.AppendUint32(appendChainKey(dst, keyTable, o), uint32(place))
}

func appendUpdateKey(dst []byte, id ID) []byte {
	return appendUint64(appendChainKey(dst, keyUpdate, id.Origin), uint64(id.Seq))
}

func appendSubjectKey(dst []byte, kind byte, subject string) []byte {
	return append(append(dst, kind), subject...)
}

func appendIndexPrefix(dst []byte, subject string) []byte {
	return append(appendSubjectKey(dst, keyIndex, subject), 0)
}

func appendIndexKey(dst []byte, subject string, s Stamp) []byte {
	dst = appendIndexPrefix(dst, subject)
	dst = appendUint64(dst, uint64(s.HLC))
	dst = append(dst, s.ID.Origin[:]...)
	return appendUint64(dst, uint64(s.ID.Seq))
}

// indexStamp reads the stamp at the end of an index key.
func indexStamp(key []byte) (Stamp, error) {
	const n = 8 + 16 + 8
	if len(key) < n+3 {
		return Stamp{}, fmt.Errorf("index key of %d bytes: %w", len(key), ErrCorrupt)
	}
	b := key[len(key)-n:]
	return Stamp{
		HLC: HLC(binary.BigEndian.Uint64(b)),
		ID:  ID{Origin(b[8:24]), Seq(binary.BigEndian.Uint64(b[24:]))},
	}, nil
}

// indexRange is the range of keys of one subject's updates.
func indexRange(subject string) (lo, hi []byte) {
	lo = appendIndexPrefix(nil, subject)
	hi = append(appendSubjectKey(nil, keyIndex, subject), 1)
	return lo, hi
}

// seqOfKey reads the seq at the end of an update's key.
func seqOfKey(key []byte) Seq { return Seq(binary.BigEndian.Uint64(key[len(key)-8:])) }

// kindRange is the range of all keys of one kind.
func kindRange(kind byte) (lo, hi []byte) { return []byte{kind}, []byte{kind + 1} }

// subjectRange holds the states of all subjects that the prefix selects, from
// the subject from on, and may hold more: "order" also ranges over "order-2".
func subjectRange(p Prefix, from string) (lo, hi []byte) {
	base := strings.TrimSuffix(string(p), "/")
	lo = appendSubjectKey(nil, keyState, max(string(p), from))
	if base == "" {
		return lo, []byte{keyState + 1}
	}
	// "0" comes right after "/".
	return lo, append(appendSubjectKey(nil, keyState, base), '0')
}

func appendTagAgeKey(dst []byte, millis int64, key [16]byte) []byte {
	return append(appendUint64(append(dst, keyTagAge), uint64(millis)), key[:]...)
}
