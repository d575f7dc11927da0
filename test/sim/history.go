package sim

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// History is what was seen of a run from outside, in the order of simulated
// time: what callers were told, what nodes applied, what consumers polled. The
// checkers judge by it alone, so each of them can be tried on a history that
// was written by hand.
type History struct {
	Events []Event
	// Finals are the live nodes at the end, after faults have healed and the mesh
	// had its bounded time to converge.
	Finals []Final
	// HealedAt is when faults ended, ConvergedAt when every live node was found
	// converged with equal roots, 0 if that did not come about.
	HealedAt, ConvergedAt time.Duration
	// Forks says that a node may have gone on from an old copy of its disk where
	// nobody who knew more was there. Else no chain of an honest node is frozen.
	Forks bool
	// ConvergeWithin bounds the time between the two (C9).
	ConvergeWithin time.Duration
}

// Event is one of the types below.
type Event interface{ when() time.Duration }

// Moment is when and where something happened. Life counts the starts of a
// node's process, from 1.
type Moment struct {
	At   time.Duration
	Node int
	Life int
}

func (m Moment) when() time.Duration { return m.At }

// Opened is a node that began a life, under an origin.
//
// The checkers need the last three: an authority filter admits by the first; a
// crash may take back what was not synced, and only the node can tell how much.
type Opened struct {
	Moment
	Origin  chain.Origin
	Durable bool // it has a data directory
	// Authority is the one that the node writes for.
	Authority string
	// Applied is how much it still has of what it was seen to apply in earlier
	// lives. What it finds applied beyond that, because a crash came between
	// writing it and being seen to apply it, follows as Took.
	Applied chain.Frontier
	// Frozen are the freezes that it still knows, by origin.
	Frozen map[chain.Origin]chain.Seq
}

// Ended is the end of a life: by a crash, or in order. Lost says that the node's
// disk was lost or set back with it, so that what it alone held may be gone.
type Ended struct {
	Moment
	Lost bool
}

// Sent is a draft that was given to a node. Every draft has a number of its own,
// which its delta carries, so that an update tells which draft it came of. A
// retry is the same draft sent again.
type Sent struct {
	Moment
	Draft   int
	Subject string
	Key     string // idempotency key, "" for none
	Deps    []chain.ID
	Delta   string // JSON; the checkers hold the update's delta to it
}

// Answered is what the caller was told about a draft. An answer that never came,
// because the node crashed before, has no event.
type Answered struct {
	Moment
	Draft     int
	ID        chain.ID // of the update; zero if Err
	Unchanged bool     // it added nothing
	Repeated  bool     // the key was seen before: ID is the first one's
	Acks      int      // nodes that hold it durably, this one included; 0 in memory
	Err       string   // it was refused
}

// Took is an update that a node applied, in the order in which it did.
type Took struct {
	Moment
	Update Update
}

// Update is what an update says, as it was seen somewhere.
type Update struct {
	ID      chain.ID
	Hash    chain.Hash
	HLC     chain.HLC
	Subject string // "" for a genesis
	Draft   int    // of which it came, -1 for a genesis and for what a hook made
	Deps    []chain.ID
	Delta   string // JSON, "" for a genesis; the checkers fold it on their own
	Cause   chain.ID
	Hook    string // that made it, "" for none
	Depth   uint8
}

// Reacts is a hook that begins in a life of a node, with what is beyond a place. New
// says that the node had no place of it, and Lost that its authority had answered
// under that name all the same.
type Reacts struct {
	Moment
	Hook      string
	New, Lost bool
	Place     chain.Frontier
}

// Froze is a chain that a node stopped after a seq.
type Froze struct {
	Moment
	Origin chain.Origin
	After  chain.Seq
}

// Polled is one batch that a consumer got from a node's feed. A consumer goes
// on from the cursor of its last batch, on whichever node it likes. A poll that
// was lost on its way back is repeated from the same cursor, and has no event.
type Polled struct {
	Moment
	Consumer  int
	Prefix    string   // of the filter, "" for all
	Authority []string // of the filter
	Since     chain.Frontier
	Cursor    chain.Frontier // after the batch
	Updates   []Update
	Behind    []chain.Origin
	Retracted map[chain.Origin]chain.Seq
	UpToDate  bool
}

// Read is an answer to a read that asked for at least some updates.
type Read struct {
	Moment
	AtLeast  []chain.ID
	Answered bool // else the node said "not yet"
	Subject  string
	Holds    []chain.ID // the subject's updates that the answer contained
}

// SaidConverged is a node that says that it is converged. Reported is what the live
// members that it hears had told it more than a second before.
type SaidConverged struct {
	Moment
	Reported chain.Frontier
}

// Final is a live node at the end.
type Final struct {
	Node      int
	Origin    chain.Origin
	Frontier  chain.Frontier
	Root      chain.Hash
	Frozen    map[chain.Origin]chain.Seq
	Views     map[string]string   // JSON, by subject
	Histories map[string][]Update // stitched, by subject
	Log       []Update            // all applied updates of all chains, by origin and seq
}
