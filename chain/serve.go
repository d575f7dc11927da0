package chain

import (
	"crypto/ed25519"
	"fmt"
)

func missingRecord(id ID) error {
	return fmt.Errorf("update %s is not in the log: %w", id, ErrCorrupt)
}

// Page reads at most limit updates of a chain from seq from on, and the seals
// that stand among them, to be verified by hand. A page of large bodies ends
// early, as one of the feed does.
func (a *Archive) Page(o Origin, from Seq, limit int) (ChainInfo, []ChainUpdate, []Seal, error) {
	info, ok := a.Info(o)
	if !ok {
		return info, nil, nil, fmt.Errorf("chain %s: %w", o, ErrNotFound)
	}
	var updates []ChainUpdate
	var seals []Seal
	size := 0
	err := a.eachRecord(info, from, info.Received.Seq, func(id ID, prev Hash, r *record) (bool, error) {
		u, err := r.update(id)
		if err != nil {
			return false, err
		}
		u.Prev = prev
		updates = append(updates, ChainUpdate{*u, r.header})
		if len(r.seal) > 0 {
			seals = append(seals, Seal{id.Seq, [ed25519.SignatureSize]byte(r.seal)})
		}
		size += len(r.body)
		return len(updates) < limit && size < maxFeedBytes, nil
	})
	return info, updates, seals, err
}

// eachRecord visits the records of a chain from one seq to another, each with
// the hash before it, until visit returns false. It begins within what is
// published.
func (a *Archive) eachRecord(info ChainInfo, from, to Seq, visit func(ID, Hash, *record) (bool, error)) error {
	o := info.Received.Origin
	from = max(from, 1)
	if from > info.Received.Seq {
		return nil
	}
	var prev Hash
	if from > 1 {
		r, err := a.record(ID{o, from - 1})
		if err != nil {
			return err
		}
		prev = r.hash
	}
	log := a.log(o, from, to+1) // which may have the seal of the last
	for seq := from; seq <= to; seq++ {
		id, r, ok := log.next()
		if !ok || id.Seq != seq {
			return firstOf(log.close(), missingRecord(ID{o, seq}))
		}
		if info.loose != nil && info.loose.Seq == seq {
			r.seal = info.loose.Signature[:]
		}
		more, err := visit(id, prev, r)
		if err != nil || !more {
			return firstOf(err, log.close())
		}
		prev = r.hash
	}
	return log.close()
}

// Runs returns encoded runs of a chain from seq from on, as many as fit into
// size bytes but at least one, unless there is none. A run ends where one of
// its chain ended before, since only there is a seal (of the own chain at some of
// them, see seal.go); short ones are served as one under the last seal. Of a chain that was stopped within one, that run
// is served whole: what is good of it has no other seal.
func (a *Archive) Runs(o Origin, from Seq, size int) ([][]byte, error) {
	info, ok := a.Info(o)
	if !ok {
		return nil, nil
	}
	to, err := a.sealed(info)
	if err != nil {
		return nil, err
	}
	c := cutter{run: Run{Origin: o}, size: runOverhead}
	err = a.eachRecord(info, from, to, func(id ID, prev Hash, r *record) (bool, error) {
		return c.add(id, prev, r, size), nil
	})
	if err != nil {
		return nil, err
	}
	c.cut()
	return c.out, nil
}

// sealed is the seq of the seal that covers all that is published of a chain.
func (a *Archive) sealed(info ChainInfo) (Seq, error) {
	end := info.Received
	if info.Frozen == nil || end.Seq < info.Frozen.After {
		return end.Seq, nil
	}
	log := a.log(end.Origin, end.Seq, maxSeq)
	for id, r, ok := log.next(); ok; id, r, ok = log.next() {
		if len(r.seal) > 0 {
			return id.Seq, log.close()
		}
	}
	return end.Seq, log.close()
}

// cutter cuts the log of a chain into runs.
type cutter struct {
	out    [][]byte
	total  int // bytes of out
	run    Run // is being gathered
	size   int // of run, in bytes, at most
	sealed int // entries of run up to its last seal
	last   Seal
}

// add takes the next record, unless that would make more than most bytes of
// all the runs, and reports whether it did.
func (c *cutter) add(id ID, prev Hash, r *record, most int) bool {
	e := Entry{Header: r.header, Body: r.body, Hash: r.hash}
	n := entrySize(e)
	if c.sealed > 0 && c.size+n > MaxRun {
		c.cut()
	}
	if (c.sealed > 0 || len(c.out) > 0) && c.total+c.size+n > most {
		return false
	}
	if len(c.run.Entries) == 0 {
		c.run.First, c.run.Prev = id.Seq, prev
	}
	c.run.Entries = append(c.run.Entries, e)
	c.size += n
	if len(r.seal) > 0 {
		c.sealed, c.last = len(c.run.Entries), Seal{id.Seq, [ed25519.SignatureSize]byte(r.seal)}
	}
	return true
}

// cut ends the run at its last seal, if it has one. What follows that begins
// the next.
func (c *cutter) cut() {
	if c.sealed == 0 {
		return
	}
	done, rest := c.run, c.run.Entries[c.sealed:]
	done.Entries, done.Signature = done.Entries[:c.sealed:c.sealed], c.last.Signature
	b := done.Append(nil)
	c.out = append(c.out, b)
	c.total += len(b)
	c.run = Run{Origin: done.Origin, First: c.last.Seq + 1, Prev: done.Entries[c.sealed-1].Hash, Entries: append([]Entry(nil), rest...)}
	c.size, c.sealed = runOverhead, 0
	for _, e := range rest {
		c.size += entrySize(e)
	}
}

// runOverhead bounds what a run takes beside its entries, and entrySize what
// an entry takes, in bytes.
const runOverhead = 160

func entrySize(e Entry) int { return len(e.Header) + len(e.Body) + 3 + 5 }
