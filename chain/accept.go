package chain

import (
	"errors"
	"fmt"
)

// Verdict says what became of a run.
type Verdict uint8

const (
	Accepted  Verdict = iota + 1 // at least one update was new
	Duplicate                    // all of it was here
	Gap                          // updates before it are missing
	Forked                       // it is at odds with what is here; the chain is frozen
	Invalid                      // it breaks a rule; the chain is frozen
	Refused                      // the chain was frozen before
)

func (v Verdict) String() string {
	names := [...]string{"", "accepted", "duplicate", "gap", "forked", "invalid", "refused"}
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("verdict-%d", uint8(v))
}

// Outcome says what became of a run, and what is here of its chain now.
type Outcome struct {
	Verdict    Verdict
	Head       Head // end of what is received
	New        int  // updates that were not here
	Duplicates int  // updates that were
	// Missing are updates that the new ones depend on and that are not here.
	Missing []ID
	// Err is the reason for Forked, Invalid and Refused. It wraps ErrFork,
	// ErrInvalid or ErrFrozen.
	Err error
}

// Reasons to refuse a run whose seal is good.
var (
	ErrFork    = errors.New("fork")
	ErrInvalid = errors.New("invalid update")
)

// Accept takes a run that was verified. It never refuses one for what is not
// here: an update whose dependencies are missing is received and held. The
// error is the store's; every other trouble is in the outcome, and but for a
// freeze it leaves the ledger as it was. now is in Unix milliseconds.
func (l *Ledger) Accept(r *Run, now int64) (Outcome, error) {
	c := l.chains[r.Origin]
	if c == nil {
		if r.First != 1 {
			return Outcome{Verdict: Gap, Head: Head{Origin: r.Origin}}, nil
		}
		c = l.chain(r.Origin)
	}
	out, err := l.accept(c, r, now)
	if err == nil {
		err = l.settle(now)
	}
	if c.tail.Seq == 0 && c != l.self {
		delete(l.chains, r.Origin)
	}
	out.Head = c.tail.Head
	if out.Verdict == Accepted {
		out.Missing = l.missing(c)
	}
	return out, err
}

func (l *Ledger) accept(c *chainState, r *Run, now int64) (Outcome, error) {
	head := c.tail.Head
	if r.First > head.Seq+1 {
		if l.complete(c) {
			return refused(c), nil // what is missing would be refused too
		}
		return Outcome{Verdict: Gap}, nil
	}
	// What overlaps must be the same, which its last hash tells.
	known := int(min(r.Last(), head.Seq)) - int(r.First) + 1
	if at := r.First + Seq(known) - 1; at > 0 {
		have, err := l.hashAt(c, at)
		if err != nil {
			return Outcome{}, err
		}
		want := r.Prev
		if known > 0 {
			want = r.Entries[known-1].Hash
		}
		if have != want {
			return l.freeze(c, r, FreezeFork, fmt.Errorf("%w: seq %d has hash %s here and %s in the run from %d to %d",
				ErrFork, at, have, want, r.First, r.Last())), nil
		}
	}
	if known == len(r.Entries) {
		return Outcome{Verdict: Duplicate, Duplicates: known}, nil
	}
	if l.complete(c) {
		return refused(c), nil
	}
	return l.receive(c, r, known, now)
}

// complete reports whether nothing more is taken of a chain: it is frozen, and
// here up to where. It may not be after some of it was lost.
func (l *Ledger) complete(c *chainState) bool {
	return c.frozen != nil && c.tail.Seq >= c.frozen.After && !l.salvaging
}

func refused(c *chainState) Outcome {
	return Outcome{Verdict: Refused, Err: fmt.Errorf("%w: %s", ErrFrozen, c.frozen)}
}

// receive takes the entries of a run after the first known ones.
func (l *Ledger) receive(c *chainState, r *Run, known int, now int64) (Outcome, error) {
	p := c.tail.begin()
	updates := make([]*Update, 0, len(r.Entries)-known)
	for i := known; i < len(r.Entries); i++ {
		u, err := c.tail.Next(&r.Entries[i])
		if err != nil {
			c.tail.back(p)
			return l.freeze(c, r, FreezeInvalid, fmt.Errorf("%w: %w", ErrInvalid, err)), nil
		}
		updates = append(updates, u)
	}
	c.tail.end()
	l.touched(c, heads{p.head, c.applied})
	c.began = c.began || p.head.Seq == 0
	for i, u := range updates {
		var seal []byte
		if i == len(updates)-1 {
			seal = r.Signature[:]
		}
		l.putUpdate(u, &r.Entries[known+i], seal)
		if err := l.adoptKey(u, now); err != nil {
			return Outcome{}, err
		}
	}
	if err := l.applyChain(c, now); err != nil {
		return Outcome{}, err
	}
	return Outcome{Verdict: Accepted, New: len(updates), Duplicates: known}, nil
}

// missing are the updates that a chain waits for and that are not received.
func (l *Ledger) missing(c *chainState) []ID {
	if c.block == nil {
		return nil
	}
	var ids []ID
	for _, id := range c.block.waiting {
		if l.Head(id.Origin).Seq < id.Seq {
			ids = append(ids, id)
		}
	}
	return ids
}

// Missing are the updates that anything here waits for and that are not
// received, by origin of what waits.
func (l *Ledger) Missing() []ID {
	if l.held == 0 {
		return nil
	}
	var ids []ID
	for _, o := range l.origins() {
		ids = append(ids, l.missing(l.chains[o])...)
	}
	return ids
}

// hashAt is the hash of a received update.
func (l *Ledger) hashAt(c *chainState, seq Seq) (Hash, error) {
	if seq == c.tail.Seq {
		return c.tail.Hash, nil
	}
	u, err := l.update(ID{c.tail.Origin, seq})
	if err != nil {
		return Hash{}, err
	}
	return u.Hash, nil
}

// freeze stops a chain where it stands and keeps the run that shows why.
func (l *Ledger) freeze(c *chainState, r *Run, reason FreezeReason, why error) Outcome {
	verdict := Forked
	if reason == FreezeInvalid {
		verdict = Invalid
	}
	if c.frozen == nil && c.tail.Seq > 0 {
		l.stop(c, &Freeze{Origin: c.tail.Origin, After: c.tail.Seq, Reason: reason, Detail: why.Error(), Proof: r.Append(nil)})
	}
	return Outcome{Verdict: verdict, Err: why}
}

// stop freezes a chain, of whose freezes the lowest counts.
func (l *Ledger) stop(c *chainState, f *Freeze) {
	if was := c.frozen; was != nil {
		if was.After <= f.After {
			return
		}
		l.root.sub(freezeTerm(was))
	}
	l.touch(c)
	c.frozen = f
	l.root.add(freezeTerm(f))
	l.tx.batch.Set(appendChainKey(nil, keyFreeze, f.Origin), appendFreeze(nil, f))
	l.tx.effects.Frozen = append(l.tx.effects.Frozen, f)
	l.wake(c)
}

// Frozen returns why a chain was stopped, nil if it was not.
func (l *Ledger) Frozen(o Origin) *Freeze {
	if c := l.chains[o]; c != nil {
		return c.frozen
	}
	return nil
}
