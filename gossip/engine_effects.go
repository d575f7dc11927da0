package gossip

import "github.com/tidings-mesh/tidings/chain"

// Effects is what the engine wants done. Within a field the order counts;
// between fields only where it is said.
type Effects struct {
	// Close ends streams, each before anything else is done for its peer. The
	// caller then reports PeerDown.
	Close []Close
	// Accept hands verified runs to the ledger. The accepts of one Message are
	// in the ledger's queue before the next frame of that peer is read, which
	// is the back-pressure on it. Each is answered by one Outcome, and by a
	// Committed before that if a head changed.
	Accept []Accept
	// Send writes frames, for each peer in this order. Every frame is
	// reported by Wrote once it is written.
	Send []Send
	// Read reads ranges from the log, off the engine's goroutine. Each is
	// answered by one ReadDone.
	Read []Read
	// Evidence reads what ended a chain, off the engine's goroutine. Each is
	// answered by one EvidenceRead.
	Evidence []ReadEvidence
	// Acked tells how far peers hold the own chain, applied and synced.
	Acked []Acked
	// OwnHeads tells that a peer answered where the own chain ends with it.
	OwnHeads []OwnHead
	// SyncSoon says that a peer waits until what was committed of its chain is durable.
	SyncSoon bool
	// CaughtUp says that the first catch-up has just ended.
	CaughtUp bool
}

// Empty reports whether there is nothing to do.
func (e *Effects) Empty() bool {
	return len(e.Close)+len(e.Accept)+len(e.Send)+len(e.Read)+len(e.Evidence)+len(e.Acked)+len(e.OwnHeads) == 0 && !e.SyncSoon && !e.CaughtUp
}

// Close is a stream to be closed for what its peer did.
type Close struct {
	Peer   chain.Origin
	Reason string // a constant, for logs and metrics
}

// Accept is runs for the ledger, in the order of their chains, or a freeze.
type Accept struct {
	ID   uint64
	From chain.Origin
	Runs []Run
	// Freeze is set instead of Runs.
	Freeze *chain.Freeze
	// AckWanted says that From waits until it hears that these are durable.
	AckWanted bool
	// Pushed says that how long these wait is to be told: see [Engine.Waited].
	Pushed bool
}

// Send is one frame for one or several peers. It is encoded once.
type Send struct {
	To    []chain.Origin
	Frame Frame
	Size  int // what Wrote gives back
}

// Read is a piece of the log to be read for a peer. See ReadRanges.
type Read struct {
	Peer   chain.Origin
	Ranges []Range
	Bytes  int
}

// Acked is one peer's acknowledgement. The hash is for the caller to compare
// with its own at that seq: an acknowledgement of another hash is no
// acknowledgement but the sign of a fork.
type Acked struct {
	Peer chain.Origin
	Head chain.Head // of the own chain
}

// OwnHead is what a peer says about the end of the own chain (rule 8).
type OwnHead struct {
	Peer chain.Origin
	Head chain.Head // seq 0: the peer has nothing of this chain
	// CatchingUp says that the peer is in its first catch-up itself.
	CatchingUp bool
}

// Answered reports whether this counts as an answer: a peer that is catching
// up, or has nothing of the chain, has not answered.
func (o OwnHead) Answered() bool { return !o.CatchingUp && o.Head.Seq > 0 }

// ReadRanges reads ranges in their order through serve until about bytes are
// read. It returns the runs and the ranges that are left because the bytes
// were used up: what the log does not have is not left. serve returns encoded
// runs of an origin from a seq on, at most size bytes of them but at least one
// if there is any.
func ReadRanges(serve func(o chain.Origin, from chain.Seq, size int) ([][]byte, error), ranges []Range, bytes int) (runs []Run, rest []Range, err error) {
	total := 0
	for i, r := range ranges {
		for r.From <= r.To {
			if total > 0 && total >= bytes {
				return runs, append([]Range{r}, ranges[i+1:]...), nil
			}
			got, err := serve(r.Origin, r.From, max(bytes-total, 1))
			if err != nil {
				return nil, nil, err
			}
			moved := false
			for _, b := range got {
				run, err := PeekRun(b)
				if err != nil {
					return nil, nil, err
				}
				if run.Last < r.From || r.From > r.To || (total > 0 && total+len(b) > MaxFrame-4096) {
					break
				}
				runs = append(runs, run)
				total += len(b) + 5
				r.From = run.Last + 1
				moved = true
			}
			if !moved {
				if len(got) > 0 && total > 0 {
					total = bytes // the next run does not fit into this frame
					continue
				}
				break
			}
		}
	}
	return runs, nil, nil
}
