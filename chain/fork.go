package chain

import (
	"fmt"
	"sort"
)

// diverged finds where a run parts from the chain that is here, of which it
// overlaps known updates. Where they part before the run begins, that is not
// known yet: the outcome says from where to fetch the chain as the run's sender
// has it. Where it is within the run, both branches are the proof of a fork.
func (l *Ledger) diverged(c *chainState, r *Run, known int) (Outcome, error) {
	if r.First > 1 {
		have, err := l.hashAt(c, r.First-1)
		if err != nil {
			return Outcome{}, err
		}
		if have != r.Prev {
			return Outcome{Verdict: Diverged, From: earlier(c.tail.Seq, r.First), Err: fmt.Errorf(
				"%w: seq %d of %s has hash %s here and %s in the run that follows it", ErrFork, r.First-1, r.Origin, have, r.Prev)}, nil
		}
	}
	var failed error
	same := sort.Search(known, func(i int) bool {
		have, err := l.hashAt(c, r.First+Seq(i))
		failed = firstOf(failed, err)
		return have != r.Entries[i].Hash
	})
	if failed != nil {
		return Outcome{}, failed
	}
	if c == l.self {
		l.keepSeal() // what was appended last has none in the log
	}
	here, err := l.branch(c, r.First+Seq(same))
	if err != nil {
		return Outcome{}, err
	}
	f := forkFreeze(c.tail.Key(), here, r.after(same))
	if err := l.stop(c, f); err != nil {
		return Outcome{}, err
	}
	return Outcome{Verdict: Forked, Err: fmt.Errorf("%w after seq %d: %s", ErrFork, f.After, f.Detail)}, nil
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// leastBack is how many updates a search for a fork goes back at first.
const leastBack = 64

// earlier is where to look for the place at which a chain that ends here at end
// parts from another, which it does before first. Each step goes back twice as
// far from the end, so that as much again is fetched at most as is needed.
func earlier(end, first Seq) Seq {
	step := Seq(leastBack)
	if end > first {
		step = max(step, end-first)
	}
	if first <= step+1 {
		return 1
	}
	return first - step
}

// after is the run without its first n entries, of which it has more.
func (r *Run) after(n int) *Run {
	if n == 0 {
		return r
	}
	return &Run{Origin: r.Origin, First: r.First + Seq(n), Prev: r.Entries[n-1].Hash, Entries: r.Entries[n:], Signature: r.Signature}
}

// branch is what is here of a chain from a seq to the next seal.
func (l *Ledger) branch(c *chainState, from Seq) (*Run, error) {
	o := c.tail.Origin
	r := &Run{Origin: o, First: from}
	if from > 1 {
		var err error
		if r.Prev, err = l.hashAt(c, from-1); err != nil {
			return nil, err
		}
	}
	staged, err := l.staged(o)
	if err != nil {
		return nil, err
	}
	for id := (ID{o, from}); ; id.Seq++ {
		b := staged[id.Seq]
		if b == nil {
			if b, err = l.store.Get(appendUpdateKey(nil, id)); err != nil {
				return nil, err
			}
		}
		if b == nil {
			return nil, missingRecord(id)
		}
		rec, err := decodeRecord(id, b)
		if err != nil {
			return nil, err
		}
		if len(rec.before) > 0 && len(r.Entries) > 0 {
			copy(r.Signature[:], rec.before)
			return r, nil
		}
		r.Entries = append(r.Entries, Entry{Header: rec.header, Body: rec.body, Hash: rec.hash})
		if len(rec.seal) > 0 {
			copy(r.Signature[:], rec.seal)
			return r, nil
		}
	}
}

// staged are the records of a chain that are in the batch under way.
func (l *Ledger) staged(o Origin) (map[Seq][]byte, error) {
	prefix := string(appendChainKey(nil, keyUpdate, o))
	out := map[Seq][]byte{}
	err := l.tx.batch.Each(func(key, value []byte) error {
		if len(key) == len(prefix)+8 && string(key[:len(prefix)]) == prefix {
			out[seqOfKey(key)] = append([]byte(nil), value...)
		}
		return nil
	}, func([]byte) error { return nil })
	return out, err
}
