package chain

import (
	"errors"
	"fmt"
	"slices"
)

// Verdict says what became of a run.
type Verdict uint8

const (
	Accepted  Verdict = iota + 1 // at least one update was new
	Duplicate                    // all of it was here
	Gap                          // updates before it are missing
	Forked                       // it is at odds with what is here; the chain is frozen
	Invalid                      // it breaks a rule; the chain is frozen after what is good of it
	Refused                      // the chain was frozen before
	Diverged                     // it follows on another update than is here; see Outcome.From
)

func (v Verdict) String() string {
	names := [...]string{"", "accepted", "duplicate", "gap", "forked", "invalid", "refused", "diverged"}
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
	// Missing are updates that the chain waits for, or will once a batch has come to
	// its new ones, and that are not here.
	Missing []ID
	// From is set where what the sender has of the chain parts from what is
	// here before what it sent. Fetching the chain from it from that seq on, in
	// order, and again from what that says, leads to the proof of a fork.
	From Seq
	// Err is the reason for Forked, Invalid, Refused and Diverged. It wraps
	// ErrFork, ErrInvalid or ErrFrozen.
	Err error
}

// Reasons to refuse a run whose seal is good.
var (
	ErrFork    = errors.New("fork")
	ErrInvalid = errors.New("invalid update")
)

// Accept takes a run that was verified. It never refuses one for what is not
// here: an update whose dependencies are missing is received and held. The
// error is the store's; every other trouble is in the outcome. now is in Unix
// milliseconds.
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
	if c.tail.Seq == 0 && c != l.self && c.frozen == nil {
		delete(l.chains, r.Origin)
	}
	out.Head = c.tail.Head
	if out.New > 0 && err == nil {
		out.Missing, err = l.missing(c, out.New)
	}
	return out, err
}

func (l *Ledger) accept(c *chainState, r *Run, now int64) (Outcome, error) {
	head := c.tail.Head
	ended := c.frozen != nil && head.Seq == c.frozen.After
	if r.First > head.Seq+1 {
		if ended {
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
			return l.diverged(c, r, known)
		}
	}
	if known == len(r.Entries) {
		return Outcome{Verdict: Duplicate, Duplicates: known}, nil
	}
	if ended {
		return refused(c), nil
	}
	return l.receive(c, r, known, now)
}

func refused(c *chainState) Outcome {
	return Outcome{Verdict: Refused, Err: fmt.Errorf("%w: %s", ErrFrozen, c.frozen)}
}

// receive takes the entries of a run after the first known ones, up to one that
// breaks a rule or lies beyond a freeze. What comes after that is kept too, as
// it came, up to the run's end: only there is the signature that covers what is
// good, and shows what is not.
func (l *Ledger) receive(c *chainState, r *Run, known int, now int64) (Outcome, error) {
	if c == l.self {
		l.keepSeal() // of what was appended before this came back
	}
	was := heads{c.tail.Head, c.applied}
	last := r.Last()
	if c.frozen != nil {
		last = min(last, c.frozen.After)
	}
	var broken error
	updates := make([]*Update, 0, len(r.Entries)-known)
	for i := known; c.tail.Seq < last; i++ {
		u, err := c.tail.Next(&r.Entries[i])
		if err != nil {
			broken = fmt.Errorf("%w: %w", ErrInvalid, err)
			break
		}
		updates = append(updates, u)
	}
	if c.tail.Seq == 0 {
		return Outcome{Verdict: Invalid, Err: broken}, nil // there is no chain that could be frozen
	}
	l.touched(c, was)
	c.began = c.began || was.received.Seq == 0
	for i := known; i < len(r.Entries); i++ {
		var seal []byte
		if i == len(r.Entries)-1 {
			seal = r.Signature[:]
		}
		e := &r.Entries[i]
		if i-known >= len(updates) {
			l.putEvidence(ID{r.Origin, r.First + Seq(i)}, e, seal)
			continue
		}
		u := updates[i-known]
		l.putUpdate(u, e, seal, nil)
		l.tx.received += u.Cost() / receiveShare
		if err := l.adoptKey(u, now); err != nil {
			return Outcome{}, err
		}
	}
	out := Outcome{Verdict: Accepted, New: len(updates), Duplicates: known}
	if broken != nil {
		out.Verdict, out.Err = Invalid, broken
		if err := l.stop(c, &Freeze{
			Origin: r.Origin, After: c.tail.Seq, Reason: FreezeInvalid, Key: c.tail.Key(),
			Detail: broken.Error(), Proof: [][]byte{r.Append(nil)}, verified: true,
		}); err != nil {
			return Outcome{}, err
		}
	}
	return out, l.applyChain(c, now)
}

// missing are the updates that a chain waits for and that are not received. Where a
// full batch has not come to its last n updates, which are new, they are those that
// the first of these will wait for.
func (l *Ledger) missing(c *chainState, n int) ([]ID, error) {
	if c.block != nil {
		return l.notReceived(c.block.waiting), nil
	}
	for seq := max(c.applied.Seq, c.tail.Seq-Seq(n)) + 1; seq <= c.tail.Seq; seq++ {
		u, err := l.update(ID{c.tail.Origin, seq})
		if err != nil {
			return nil, err
		}
		if ids := l.notReceived(u.Deps); len(ids) > 0 {
			return ids, nil
		}
	}
	return nil, nil
}

// notReceived are those of some dependencies that have to come.
func (l *Ledger) notReceived(deps []ID) (ids []ID) {
	for _, id := range deps {
		if l.Head(id.Origin).Seq < id.Seq && !l.met(id) {
			ids = append(ids, id)
		}
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

// Frozen returns why a chain was stopped, nil if it was not.
func (l *Ledger) Frozen(o Origin) *Freeze {
	if c := l.chains[o]; c != nil {
		return c.frozen
	}
	return nil
}

// Freezes are the freezes of all chains that were stopped, by origin.
func (l *Ledger) Freezes() []*Freeze {
	var out []*Freeze
	for _, c := range l.chains {
		if c.frozen != nil {
			out = append(out, c.frozen)
		}
	}
	slices.SortFunc(out, func(a, b *Freeze) int { return a.Origin.Compare(b.Origin) })
	return out
}
