package chain

import (
	"crypto/ed25519"
	"fmt"
)

// The seal of the own chain's last run is made while the run is synced, so that
// nobody waits for both. It is not in the store then, and need not get there: a seal
// covers all before it, so the next one takes its place, and until there is a next
// one the ledger and its archive have it in memory. Opening a ledger makes it anew
// from what the log has. But a chain is served in ranges that end at seals of the
// log, so after every [sealEvery] bytes one is written.

// sealEvery is how many bytes of the own log are without a seal at most, but for those
// of one run. Whoever asks for less of the chain than that gets as much.
const sealEvery = 8 << 10

// looseEnd is the end of the own chain while its seal is not in the store.
type looseEnd struct {
	run    *Run // whose seal it is
	u      *Update
	before []byte // the seal that the record of u has of the run before
	size   int    // bytes of the log since the last seal that is in the store, about
}

// Seal signs the runs of Own. It may run while the effects' batch is committed, but not
// beside calls of the ledger. Calling it again does nothing.
func (e *Effects) Seal() {
	for _, r := range e.Own {
		e.seal(r)
	}
}

// sealRun signs a run of the own chain. Effects get it, and not the key, for others see
// them.
func (l *Ledger) sealRun(r *Run) { r.seal(l.signer) }

// seal signs a run that is not signed yet.
func (r *Run) seal(key ed25519.PrivateKey) {
	if r.Signature == [ed25519.SignatureSize]byte{} {
		r.Signature = Sign(key, r.Head())
	}
}

// endRuns makes runs of what was appended, as many as it takes. The last is left to be
// signed while it is synced.
func (l *Ledger) endRuns() {
	for own := l.tx.own; len(own) > 0; {
		r := &Run{Origin: l.Origin(), First: own[0].u.ID.Seq, Prev: own[0].u.Prev}
		size, n := 0, 0
		for ; n < len(own); n++ {
			more := entrySize(own[n].e)
			if n > 0 && size+more+runOverhead > MaxRun {
				break
			}
			size += more
			r.Entries = append(r.Entries, own[n].e)
		}
		var before []byte
		if end := l.loose; end != nil {
			if end.size+size > l.sealEvery {
				end.run.seal(l.signer)
				before = end.run.Signature[:]
			} else {
				size += end.size
			}
		}
		l.loose = &looseEnd{run: r, u: own[n-1].u, size: size}
		if n == 1 {
			l.loose.before = before
		}
		for i := range n {
			l.putUpdate(own[i].u, &own[i].e, nil, before)
			before = nil
		}
		l.tx.effects.Own = append(l.tx.effects.Own, r)
		l.tx.effects.seal = l.sealRun
		own = own[n:]
	}
	l.tx.own = nil
}

// keepSeal has the log hold the seal of the own chain's end, behind which the
// ledger will append nothing.
func (l *Ledger) keepSeal() {
	l.endRuns()
	if l.loose != nil {
		l.putSeal(l.loose, l.signer)
		l.loose = nil
	}
}

// putSeal writes the last update of a chain again, with its seal.
func (l *Ledger) putSeal(end *looseEnd, key ed25519.PrivateKey) {
	end.run.seal(key)
	e := &end.run.Entries[len(end.run.Entries)-1]
	l.tx.batch.Set(appendUpdateKey(nil, end.u.ID), appendRecord(nil, end.u, e, end.run.Signature[:], end.before))
}

// loadSeals makes the seals anew that the store lacks: of the own chain's end, and
// of those of chains that this node wrote before, which it will not write to again.
func (l *Ledger) loadSeals(former []ed25519.PrivateKey) error {
	for _, key := range former {
		if c := l.chains[OriginOf(key.Public().(ed25519.PublicKey))]; c != nil && c != l.self {
			end, err := l.unsealedEnd(c)
			if err != nil {
				return err
			}
			if end != nil {
				l.putSeal(end, key)
			}
		}
	}
	end, err := l.unsealedEnd(l.self)
	if end != nil {
		end.run.seal(l.signer)
		l.loose = end
	}
	return err
}

// unsealedEnd is the end of a chain whose last update has no seal in the store, as a run
// of that update, nil if it has one. The seal of a chain that was cut lies beyond its
// end, and that of one that was stopped at its end was written then.
func (l *Ledger) unsealedEnd(c *chainState) (*looseEnd, error) {
	if c.tail.Seq == 0 || c.frozen != nil && c.tail.Seq == c.frozen.After {
		return nil, nil
	}
	id := ID{c.tail.Origin, c.tail.Seq}
	b, err := l.store.Get(appendUpdateKey(nil, id))
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, missingRecord(id)
	}
	rec, err := decodeRecord(id, b)
	if err != nil || len(rec.seal) > 0 {
		return nil, err
	}
	if rec.hash != c.tail.Hash {
		return nil, fmt.Errorf("update %s has another hash than the end of its chain: %w", id, ErrCorrupt)
	}
	u, err := rec.update(id)
	if err != nil {
		return nil, err
	}
	r := &Run{Origin: id.Origin, First: id.Seq, Entries: []Entry{{Header: rec.header, Body: rec.body, Hash: rec.hash}}}
	return &looseEnd{run: r, u: u, before: rec.before, size: l.sealEvery}, nil
}
