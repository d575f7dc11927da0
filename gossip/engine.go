package gossip

import (
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// At is a moment: every input of the engine comes with one.
type At struct {
	Mono time.Duration // monotonic, since any fixed moment; it orders and times
	Wall int64         // wall clock in Unix milliseconds; it is only compared with other nodes'
}

// EngineConfig is what an engine starts from.
type EngineConfig struct {
	Self    chain.Origin
	Epoch   uint64       // names the storage: it changes when the storage begins anew
	Durable bool         // there is a data directory: this node may acknowledge
	Heads   []chain.Head // received heads
	Applied []chain.Head // applied heads
	Frozen  []chain.ID   // chains that were ended, and after which seq
	Root    chain.Hash   // sync root over them
	Limits  Limits       // zero fields take their defaults
}

// Limits bound what one peer may hold of this node.
type Limits struct {
	// QueueBytes and QueueRuns bound the own runs that wait for a peer. A peer
	// that falls further behind is told heads and pulls. The runs are kept
	// once, however many peers wait. Defaults 4 MiB and 4096.
	QueueBytes int
	QueueRuns  int
	// PullBytes is the most that one Pull asks for, PullsPerPeer how many may
	// be outstanding. Small enough that a peer lost in the middle wastes
	// little, large enough to cover a round trip. A peer is asked for less at
	// first, and after it was too slow. Defaults 1 MiB and 2.
	PullBytes    int
	PullsPerPeer int
	// FrameBytes is the budget of a frame of runs. A single run may exceed it,
	// a frame never MaxFrame. Small enough that a slow stream shows progress
	// and a ping need not wait for long. Default 128 KiB.
	FrameBytes int
	// VectorBytes is the budget of one frame of heads. Default 64 KiB.
	VectorBytes int
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.QueueBytes, 4 << 20},
		{&l.QueueRuns, 4096},
		{&l.PullBytes, 1 << 20},
		{&l.PullsPerPeer, 2},
		{&l.FrameBytes, 128 << 10},
		{&l.VectorBytes, 64 << 10},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	// A builder may overshoot by a run.
	l.FrameBytes = min(l.FrameBytes, MaxFrame-chain.MaxRun-4096)
	return l
}

// The engine's timers. PROTOCOL.md has the reason for each.
const (
	pingEvery     = time.Second
	beaconEvery   = 100 * time.Millisecond
	beaconPeers   = 2
	graceLeast    = 50 * time.Millisecond
	graceMost     = 150 * time.Millisecond
	depGraceMost  = time.Second
	pullTimeout   = time.Second
	slowFor       = 2 * time.Second
	refusedFor    = 30 * time.Second
	huntAgain     = time.Second
	quietFor      = time.Second
	digestLatest  = 10 * time.Second
	digestTimeout = 2 * time.Second
	digestBackoff = 64 * time.Second
	liveFor       = 3 * time.Second
	settledAfter  = time.Second
	pausedFor     = 1500 * time.Millisecond
)

// Engine is one node's part in the protocol: a state machine without
// goroutine, clock or socket. Each input method takes what happened and when;
// Take returns what is to be done about it. The same inputs give the same
// effects. It is not safe for concurrent use.
type Engine struct {
	self    chain.Origin
	epoch   uint64
	durable bool
	limits  Limits
	at      At
	// resumedAt is when the clock last moved on after a pause.
	resumedAt time.Duration

	// chains
	chains    map[chain.Origin]*chainState
	sorted    []*chainState // by origin
	recent    recency
	own       *chainState
	phantoms  int   // chains of which nothing is here
	free      []int // indexes of chains that were dropped
	root      chain.Hash
	changedAt time.Duration // when a received head last changed

	// peers, connected or once connected
	peers  map[chain.Origin]*peer
	ranked []*peer // by origin

	ring      pushRing
	gather    gather
	frames    []pushFrame     // room of pumpPushes
	waits     []time.Duration // room of PushWait
	ackAsk    chain.Seq       // up to which peers are to acknowledge the own chain
	wants     []*chainState   // chains of which somebody has more
	pulls     []*pull         // outstanding, oldest first
	wantsNext time.Duration   // before then many wants are not looked through again
	wantDue   time.Duration   // when the first want that waits is due, or never
	accepts   map[uint64]accept
	holds     clockHolds
	nextID    uint64
	phase     time.Duration // of its rounds: see nextRound
	dirty     bool          // a head changed since the last beacon
	beaconAt  time.Duration // when the next beacon is due, if dirty

	catchingUp   bool
	ledgerClosed bool
	stats        Stats
	out          Effects
}

const never = time.Duration(1<<63 - 1)

// NewEngine returns an engine without peers.
func NewEngine(at At, c EngineConfig) *Engine {
	e := &Engine{
		self: c.Self, epoch: c.Epoch, durable: c.Durable, limits: c.Limits.withDefaults(), at: at,
		chains: map[chain.Origin]*chainState{}, peers: map[chain.Origin]*peer{}, accepts: map[uint64]accept{},
		root: c.Root, phase: phaseOf(c.Self), wantDue: never, catchingUp: true, gather: newGather(),
	}
	e.own = e.chain(c.Self)
	e.keep(e.own)
	for _, id := range c.Frozen {
		e.end(id)
	}
	for _, h := range c.Heads {
		s := e.chain(h.Origin)
		s.head, s.pending = h, h.Seq
		e.keep(s)
	}
	e.Applied(at, c.Applied)
	e.ring.next = e.own.head.Seq + 1
	e.changedAt = at.Mono - quietFor
	return e
}

// Take returns what the inputs since the last Take call for, and empties it.
// Call it after every input, or once after several that come together: queued
// runs are then coalesced and ranges asked for in one go.
func (e *Engine) Take() Effects {
	e.dropTimedOut()
	e.finishCatchUp()
	e.schedule()
	e.pump()
	out := e.out
	e.out = Effects{}
	return out
}

// Tick tells the engine that time has passed. NextTick says when to.
func (e *Engine) Tick(at At) {
	e.advance(at)
	e.sendPings()
	e.sendBeacons()
	e.runDigests()
}

// NextTick is the moment at which Tick is to be called next, on the clock of
// At.Mono. It changes with every input, and may have passed already.
func (e *Engine) NextTick() time.Duration {
	next := min(e.wantDue, e.gather.due)
	if e.dirty {
		next = min(next, e.beaconAt)
	}
	for _, p := range e.pulls {
		next = min(next, p.deadline)
	}
	for _, p := range e.ranked {
		if p.up {
			next = min(next, e.peerTick(p))
		}
	}
	return next
}

// advance moves the clock, which never goes back. If it stood for longer than an
// engine with peers ever rests, the process was stopped, and what peers sent
// meanwhile is still to come: until they have heard of this node again, nothing
// is known of what they have now.
func (e *Engine) advance(at At) {
	at.Mono = max(at.Mono, e.at.Mono)
	if at.Mono-e.at.Mono > pausedFor {
		e.resumedAt = at.Mono
	}
	e.at = at
}

// Stats are the engine's counters, since its start.
type Stats struct {
	RunsPushed      uint64 // runs put into push frames, counted for each peer
	RunsDropped     uint64 // runs that a full queue kept from a peer
	Gathers         uint64 // times that own runs were held back to gather
	RunsReceived    uint64 // runs that peers sent, asked for or not
	Duplicates      uint64 // updates that came though they were here
	Gaps            uint64 // runs that came before what precedes them
	Pulls           uint64 // requests for ranges
	PullTimeouts    uint64
	PullsRefused    uint64 // of peers, beyond what one may have outstanding
	Digests         uint64 // digest exchanges begun
	FullDigests     uint64 // of these, with the full vector
	Hunts           uint64 // requests for another branch of a chain
	FreezesSent     uint64
	FreezesReceived uint64
	Beacons         uint64
	UnknownFrames   uint64
	ChainsRefused   uint64 // heads of chains that are not here, beyond what is kept of such
	ProtocolErrors  uint64 // frames that were well-formed and out of place
}

// Stats returns the counters.
func (e *Engine) Stats() Stats { return e.stats }

// removeFrom removes an element and keeps the order.
func removeFrom[T comparable](s []T, v T) []T {
	if i := slices.Index(s, v); i >= 0 {
		return slices.Delete(s, i, i+1)
	}
	return s
}
