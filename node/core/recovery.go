package core

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// Step is what a start is to do with the own chain.
type Step uint8

const (
	// Append: the chain may be appended to.
	Append Step = iota + 1
	// Ask the peers first: see Recovery.
	Ask
	// NewOrigin: the chain cannot be continued; go on under another key.
	NewOrigin
)

// Start is what a node knows of its own chain when it starts.
type Start struct {
	// Durable says that there is a data directory.
	Durable bool
	// Unchanged says that the directory is the one that was left, as it was
	// left, or that there is none.
	Unchanged bool
	// EndLost says that the own chain was longer once: the note says so.
	EndLost bool
	Frozen  bool // the own chain is
	Mesh    bool // there may be peers
	Known   int  // members known from before
}

// Step decides what comes first. A seq that was given out and is not here,
// because the directory is an old copy or the disk lost the end of its log, must
// not be given out again. So a node that may have sent anything to anybody asks:
// also one that has no chain, for that may have begun and be lost.
func (s Start) Step() Step {
	unchanged := s.IsUnchanged()
	switch {
	case s.Frozen && s.Durable:
		return NewOrigin
	case unchanged && (!s.Mesh || s.Known == 0):
		return Append
	case !s.Mesh:
		return NewOrigin
	}
	return Ask
}

// IsUnchanged reports whether the own chain is as it was left.
func (s Start) IsUnchanged() bool { return !s.Durable || s.Unchanged && !s.EndLost }

// Recovery asks every live member how far it has the own chain, has what is
// ahead fetched, and only then lets the node append. Where nobody answers
// within the wait, a node whose directory is unchanged appends, and another
// goes on under a new origin.
type Recovery struct {
	self      chain.Origin
	unchanged bool
	wait      time.Duration
	began     time.Time
	warned    bool
	ahead     map[chain.Origin]chain.Seq // by peer: own seqs that it said it has and that are not here
	claims    map[chain.Origin]claim
}

// claim is a peer's word that it has another update of an own seq. Nothing is
// believed until the peer has shown that update under the own key.
type claim struct {
	seq   chain.Seq
	asked time.Time
}

// claimAgain is how long a peer has to show what it claims to have, before it is
// asked again.
const claimAgain = 2 * time.Second

// NewRecovery begins to ask. unchanged says that the directory is as it was
// left.
func NewRecovery(self chain.Origin, unchanged bool, wait time.Duration, now time.Time) *Recovery {
	return &Recovery{
		self: self, unchanged: unchanged, wait: wait, began: now,
		ahead: map[chain.Origin]chain.Seq{}, claims: map[chain.Origin]claim{},
	}
}

// Peers is what gossip knows of the own chain elsewhere.
type Peers struct {
	OwnHeads  []gossip.OwnHead // of connected peers
	Live      []chain.Origin   // members that are alive, without this node
	KnownHead chain.Seq        // the highest own seq that is here or that a connected peer has
}

// Book is what is here of the own chain. A *chain.Archive is one.
type Book interface {
	Info(chain.Origin) (chain.ChainInfo, bool)
	Update(chain.ID) (*chain.Update, error)
}

// Look is what Recovery finds.
type Look struct {
	Step Step
	// Fetch is what to ask of whom, to be compared with what is here.
	Fetch []Claim
	// Unanswered says, with Append, that nobody who holds the chain has answered.
	Unanswered bool
	// Waits says, once, that the wait is over and peers still have more.
	Waits bool
}

// Claim is a peer's word that it has another update of an own seq.
type Claim struct {
	Peer chain.Origin
	Seq  chain.Seq
}

// Look looks at how far it has come. With Ask the node looks again soon.
func (r *Recovery) Look(now time.Time, peers Peers, book Book) Look {
	l := Look{Step: Ask}
	if r.isHere(now, peers, book, &l) {
		l.Step = Append
		return l
	}
	info, _ := book.Info(r.self)
	r.noteAhead(peers, info.Received.Seq)
	if now.Sub(r.began) < r.wait {
		return l
	}
	switch {
	case !r.unchanged:
		l.Step = NewOrigin
	case info.Frozen != nil:
		// It waits for a restart under a new origin.
	case len(r.ahead) == 0:
		l.Step, l.Unanswered = Append, true
	case !r.warned:
		r.warned, l.Waits = true, true
	}
	return l
}

// isHere reports whether every live member, one at least, has told how far it
// has the own chain, and all of that is here and applied.
func (r *Recovery) isHere(now time.Time, peers Peers, book Book, l *Look) bool {
	info, _ := book.Info(r.self)
	answers := map[chain.Origin]chain.Head{}
	for _, h := range peers.OwnHeads {
		// Who has nothing of a chain cannot tell how far it went, unless that is
		// nowhere.
		if h.Answered() || !h.CatchingUp && info.Received.Seq == 0 {
			answers[h.Peer] = h.Head
		}
	}
	here := len(peers.Live) > 0
	for _, o := range peers.Live {
		head, answered := answers[o]
		here = here && answered
		if answered && !r.holds(o, head, now, book, l) {
			here = false
		}
	}
	return here && info.Frozen == nil && info.Applied == info.Received
}

// holds reports whether an own head that a peer has is here. If there is another
// update of that seq here, the peer has to show its own: signed by this key, it
// proves a fork, which freezes the chain; else the peer has not answered.
func (r *Recovery) holds(peer chain.Origin, h chain.Head, now time.Time, book Book, l *Look) bool {
	if h.Seq == 0 {
		return true
	}
	u, err := book.Update(chain.ID{Origin: r.self, Seq: h.Seq})
	if err != nil {
		return false
	}
	if u.Hash == h.Hash {
		delete(r.claims, peer)
		return true
	}
	if c := r.claims[peer]; c.seq != h.Seq || now.Sub(c.asked) >= claimAgain {
		r.claims[peer] = claim{h.Seq, now}
		l.Fetch = append(l.Fetch, Claim{peer, h.Seq})
	}
	return false
}

// noteAhead keeps, by peer, the own seqs that a peer said it has and that are
// not here. One that went away still has them; one that is there and does not
// deliver them has not.
func (r *Recovery) noteAhead(peers Peers, here chain.Seq) {
	there := map[chain.Origin]bool{}
	for _, h := range peers.OwnHeads {
		there[h.Peer] = true
		r.ahead[h.Peer] = max(r.ahead[h.Peer], h.Head.Seq)
	}
	for peer, seq := range r.ahead {
		if seq <= here || there[peer] && peers.KnownHead <= here {
			delete(r.ahead, peer)
		}
	}
}
