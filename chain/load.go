package chain

import (
	"errors"
	"fmt"

	"github.com/tidings-mesh/tidings/chain/wire"
)

const chainRecordVersion = 1

// appendChainRecord writes what is known of a chain, but for its table.
func appendChainRecord(dst []byte, c *chainState) []byte {
	dst = wire.AppendArray(dst, 8)
	dst = wire.AppendUint(dst, chainRecordVersion)
	dst = wire.AppendBin(dst, c.tail.Genesis.AppendBody(nil))
	dst = wire.AppendUint(dst, uint64(c.tail.Seq))
	dst = wire.AppendBin(dst, c.tail.Hash[:])
	dst = wire.AppendUint(dst, uint64(c.tail.HLC))
	dst = wire.AppendUint(dst, uint64(c.applied.Seq))
	dst = wire.AppendBin(dst, c.applied.Hash[:])
	// The floor of a chain whose first updates were folded away: none yet.
	return wire.AppendBin(dst, nil)
}

func decodeChainRecord(o Origin, b []byte) (*chainState, error) {
	d := newDecoder(b)
	d.ArrayLen(8)
	if v := d.Uint(); d.Err() == nil && v != chainRecordVersion {
		d.Fail("chain record version %d", v)
	}
	body := d.Bin(maxHeader)
	c := &chainState{tail: Tail{Head: Head{Origin: o}}, applied: Head{Origin: o}}
	c.tail.Seq = Seq(d.Uint())
	copy(c.tail.Hash[:], d.BinLen(len(c.tail.Hash)))
	c.tail.HLC = HLC(d.Uint())
	c.applied.Seq = Seq(d.Uint())
	copy(c.applied.Hash[:], d.BinLen(len(c.applied.Hash)))
	if floor := d.Bin(MaxRun); len(floor) != 0 {
		d.Fail("floor of %d bytes", len(floor))
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("chain record of %s: %w: %w", o, ErrCorrupt, err)
	}
	g, err := DecodeGenesis(body)
	if err != nil {
		return nil, fmt.Errorf("chain record of %s: %w: %w", o, ErrCorrupt, err)
	}
	c.tail.Genesis = g
	return c, nil
}

// load reads the chains, and what they wait for, from the store.
func (l *Ledger) load() error {
	if err := l.eachKey(keyChain, 16, func(o Origin, _, value []byte) error {
		c, err := decodeChainRecord(o, value)
		if err != nil {
			return err
		}
		l.chains[o] = c
		l.sync.Replace(Head{}, c.tail.Head)
		l.root.Replace(Head{}, c.applied)
		return nil
	}); err != nil {
		return err
	}
	if err := l.eachKey(keyTable, 16+4, l.loadTableEntry); err != nil {
		return err
	}
	if err := l.eachKey(keyFreeze, 16, func(o Origin, _, value []byte) error {
		f, err := decodeFreeze(o, value)
		if err != nil {
			return err
		}
		l.chain(o).frozen = f.kept()
		l.root.add(freezeTerm(f))
		l.sync.add(freezeTerm(f))
		return nil
	}); err != nil {
		return err
	}
	b, err := l.store.Get(noteSubjects)
	if err != nil {
		return err
	}
	if b != nil {
		d := newDecoder(b)
		l.subjects = d.Uint()
		if err := d.End(); err != nil {
			return fmt.Errorf("count of subjects: %w: %w", ErrCorrupt, err)
		}
		l.noted = l.subjects
	}
	return l.loadWaiting()
}

// loadWaiting looks at what waits, and finds the highest time applied.
func (l *Ledger) loadWaiting() error {
	for _, o := range l.origins() {
		if c := l.chains[o]; c.applied.Seq < c.tail.Seq {
			l.queue(c)
		}
	}
	return l.findClock()
}

func (l *Ledger) loadTableEntry(o Origin, rest, value []byte) error {
	c := l.chains[o]
	d := newDecoder(value)
	var e tableEntry
	d.ArrayLen(2)
	copy(e.origin[:], d.BinLen(len(e.origin)))
	e.last = Seq(d.Uint())
	if err := d.End(); err != nil {
		return fmt.Errorf("table of %s: %w: %w", o, ErrCorrupt, err)
	}
	place := int(rest[0])<<24 | int(rest[1])<<16 | int(rest[2])<<8 | int(rest[3])
	if c == nil || place != len(c.tail.table) {
		return fmt.Errorf("table of %s, place %d: %w", o, place, ErrCorrupt)
	}
	if c.tail.index == nil {
		c.tail.index = map[Origin]int{}
	}
	if _, known := c.tail.index[e.origin]; known {
		return fmt.Errorf("table of %s, place %d: %w", o, place, ErrCorrupt)
	}
	c.tail.index[e.origin] = place
	c.tail.table = append(c.tail.table, e)
	return nil
}

// eachKey visits the keys of one kind, which are an origin and what follows.
func (l *Ledger) eachKey(kind byte, size int, visit func(o Origin, rest, value []byte) error) error {
	it := l.store.Scan(kindRange(kind))
	for it.Next() {
		key := it.Key()
		if len(key) != 1+size {
			return errors.Join(fmt.Errorf("key %x: %w", key, ErrCorrupt), it.Close())
		}
		// Decoded values point into what they are read from.
		value := append([]byte(nil), it.Value()...)
		if err := visit(Origin(key[1:17]), key[17:], value); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}
