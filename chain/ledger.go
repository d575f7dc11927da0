package chain

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"
)

// Ledger is a node's copy of every chain, its own among them: it takes drafts
// onto the own chain and runs from peers, holds back what depends on updates
// that are not here, and rolls up what is. It is a state machine over a Store:
// calls change it in memory and collect writes, until Flush returns them to be
// committed. Nothing may be told to anyone, peer, caller or reader, before
// that commit has succeeded; after one that failed the ledger is of no more
// use.
//
// A Ledger is not safe for concurrent use: one writer owns it. Readers use an
// Archive. What it keeps in memory grows with the number of chains and with
// one batch, not with updates or subjects.
type Ledger struct {
	store   Store
	signer  ed25519.PrivateKey
	genesis Genesis // of the own chain, once it begins

	self   *chainState
	chains map[Origin]*chainState
	// clock is the highest time applied here.
	clock HLC
	// limit is the latest time that is applied, in Unix milliseconds; 0 for
	// no limit.
	limit int64
	most  int // that a batch applies of other chains, in [Update.Cost]

	sync     Root // over received heads
	root     Root // over applied heads and freezes
	subjects uint64
	noted    uint64 // of subjects, by the store or this batch

	// blocked are the chains that wait, by the origin of what they wait for.
	blocked map[Origin]map[*chainState]bool
	held    int // chains that wait
	ahead   int // of all chains, in [Update.Cost]
	states  stateCache
	// Which states lag: see statelag.go.
	lagFrom, lagAfter int
	lately            lately
	loose             *looseEnd // see seal.go
	sealEvery         int
	// key and value are room for what is written or read next.
	key, value []byte
	tx         batchState
	spare      Batch // room for the next batch
	// keysBy is the latest time that keys grow old by, and purged when they were
	// looked through last, in Unix milliseconds; 0 for none and never.
	keysBy, purged int64
}

// chainState is what the ledger knows of one chain.
type chainState struct {
	tail    Tail // received
	applied Head
	block   *block    // why applied stays behind tail, nil if it does not
	ahead   []*Update // received before, and next to be applied
	// admitted is the seq up to which the clock holds nothing back: most of the
	// mesh has applied it.
	admitted Seq
	frozen   *Freeze // nil if it goes on
	queued   bool    // to be looked at again
	dirty    bool    // in this batch
	was      heads   // before this batch
	began    bool    // its genesis came in this batch
}

type heads struct{ received, applied Head }

// block says what the update after applied waits for.
type block struct {
	id      ID
	reason  HoldReason
	waiting []ID
	since   int64 // Unix milliseconds
}

// HoldReason tells why a received update is not applied.
type HoldReason string

const (
	HeldDependency HoldReason = "dependency" // an update that it depends on is not applied
	HeldClock      HoldReason = "clock"      // its time is too far ahead of the mesh's clocks
)

// Held is an update that was received and waits, the first of its chain.
type Held struct {
	ID         ID
	Reason     HoldReason
	WaitingFor []ID
	Since      time.Time
	Behind     uint64 // updates of the chain that wait behind it
}

// Config says whose ledger it is.
type Config struct {
	Key       ed25519.PrivateKey
	Node      string
	Authority string
	Zone      string
	// Predecessor is the chain that this node wrote before, zero for none.
	Predecessor Origin
	// Former are the keys of all chains that this node wrote before: the last seal of
	// such a chain may not be in the store. Without it the end of the chain cannot be
	// served, and to accept a run that forks there fails as if the store were damaged.
	Former []ed25519.PrivateKey
	// Limit is the latest time that is applied until SetLimit is called, in Unix
	// milliseconds; 0 for none. What the clock held back before a restart must not
	// get in by it.
	Limit int64
	// CacheBytes bounds the decoded subjects that are kept for the batches after;
	// 0 is 24 MiB. One that is kept saves what it takes to read it for its next update.
	CacheBytes int
}

const defaultCacheBytes = 24 << 20

// NewLedger opens the ledger that the store keeps, or begins one. The store's
// former content must have been written by a ledger. now is in Unix
// milliseconds.
func NewLedger(store Store, c Config, now int64) (*Ledger, error) {
	l := &Ledger{
		store:   store,
		signer:  c.Key,
		chains:  map[Origin]*chainState{},
		blocked: map[Origin]map[*chainState]bool{},
		limit:   c.Limit,
		most:    maxApply,
		tx:      newBatchState(),
		states:  newStateCache(cacheBytes(c.CacheBytes)),
		lagFrom: lagFrom, lagAfter: lagAfter, sealEvery: sealEvery,
		genesis: Genesis{
			Key:  c.Key.Public().(ed25519.PublicKey),
			Node: c.Node, Authority: c.Authority, Zone: c.Zone, Predecessor: c.Predecessor,
		},
	}
	if err := l.genesis.Validate(); err != nil {
		return nil, err
	}
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("load ledger: %w", err)
	}
	l.self = l.chain(OriginOf(l.genesis.Key))
	if err := l.loadSeals(c.Former); err != nil {
		return nil, fmt.Errorf("load ledger: %w", err)
	}
	if err := l.settle(now); err != nil {
		return nil, fmt.Errorf("load ledger: %w", err)
	}
	return l, nil
}

// KeepsStates reports whether there is anything that SweepStates may let go of.
func (l *Ledger) KeepsStates() bool { return len(l.states.entries) > 0 || !l.lately.empty() }

// SweepStates lets go of the decoded subjects that nothing was written to since it was
// called last, and of what was applied long before.
func (l *Ledger) SweepStates() {
	l.states.sweep()
	l.lately.sweep()
}

func cacheBytes(n int) int {
	if n == 0 {
		return defaultCacheBytes
	}
	return n
}

// chain returns what is known of a chain, which may be nothing yet.
func (l *Ledger) chain(o Origin) *chainState {
	c := l.chains[o]
	if c == nil {
		c = &chainState{tail: Tail{Head: Head{Origin: o}}, applied: Head{Origin: o}}
		c.was = heads{c.tail.Head, c.applied}
		l.chains[o] = c
	}
	return c
}

// touch notes that the batch is about to change a chain.
func (l *Ledger) touch(c *chainState) { l.touched(c, heads{c.tail.Head, c.applied}) }

// touched notes that the batch has changed a chain, which was as it is given.
func (l *Ledger) touched(c *chainState, was heads) {
	if !c.dirty {
		c.dirty, c.was = true, was
		l.tx.chains = append(l.tx.chains, c)
	}
}

// Origin names the own chain.
func (l *Ledger) Origin() Origin { return l.self.tail.Origin }

// Head is the end of what is received of a chain, at seq 0 if nothing is.
func (l *Ledger) Head(o Origin) Head {
	if c := l.chains[o]; c != nil {
		return c.tail.Head
	}
	return Head{Origin: o}
}

// Applied is the end of what is applied of a chain, at seq 0 if nothing is.
func (l *Ledger) Applied(o Origin) Head {
	if c := l.chains[o]; c != nil {
		return c.applied
	}
	return Head{Origin: o}
}

// Clock is the highest time that is applied here.
func (l *Ledger) Clock() HLC { return l.clock }

// SyncRoot is the root over received heads: equal ones have nothing to send to
// each other.
func (l *Ledger) SyncRoot() Hash { return l.sync.Hash() }

// Root is the root over applied heads and freezes: nodes with equal ones have
// equal views and histories.
func (l *Ledger) Root() Hash { return l.root.Hash() }

// Subjects is the number of subjects.
func (l *Ledger) Subjects() uint64 { return l.subjects }

// SetLimit sets the latest time that is applied, in Unix milliseconds, 0 for
// none, and applies what it no longer holds back.
func (l *Ledger) SetLimit(limit, now int64) error {
	raised := limit == 0 || limit > l.limit
	l.limit = limit
	if !raised || l.held == 0 {
		return nil
	}
	for _, o := range l.origins() {
		if c := l.chains[o]; c.block != nil && c.block.reason == HeldClock {
			l.queue(c)
		}
	}
	return l.settle(now)
}

// Admit applies what the clock holds back of a chain up to a seq, whatever the
// limit: most of the mesh has applied it. now is in Unix milliseconds.
func (l *Ledger) Admit(o Origin, upTo Seq, now int64) error {
	c := l.chains[o]
	if c == nil || c.block == nil || c.block.reason != HeldClock || upTo < c.block.id.Seq {
		return nil
	}
	c.admitted = max(c.admitted, upTo)
	l.queue(c)
	return l.settle(now)
}

func (l *Ledger) origins() []Origin {
	f := make(Frontier, len(l.chains))
	for o := range l.chains {
		f[o] = 1
	}
	return f.Origins()
}

// Held returns the first waiting update of each chain that waits, by origin.
func (l *Ledger) Held() []Held {
	if l.held == 0 {
		return nil
	}
	var out []Held
	for _, o := range l.origins() {
		if c := l.chains[o]; c.block != nil {
			b := c.block
			out = append(out, Held{
				ID: b.id, Reason: b.reason, WaitingFor: slices.Clone(b.waiting),
				Since: time.UnixMilli(b.since).UTC(), Behind: uint64(c.tail.Seq - b.id.Seq),
			})
		}
	}
	return out
}

// met reports whether a dependency is applied, or will never have to be.
func (l *Ledger) met(id ID) bool {
	c := l.chains[id.Origin]
	if c == nil {
		return false
	}
	return c.applied.Seq >= id.Seq || c.frozen != nil && id.Seq > c.frozen.After
}
