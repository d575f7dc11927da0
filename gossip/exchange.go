package gossip

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// FrameStream is an open stream to a peer that has proved who it is. A *Stream is
// one. One goroutine reads, one writes; Close may be called by anybody, and
// ends both.
type FrameStream interface {
	Peer() chain.Origin
	PeerKey() ed25519.PublicKey
	// ReadFrame returns the next frame, in buf if it fits. A nil buf makes the
	// frame the caller's for good.
	ReadFrame(buf []byte) ([]byte, error)
	// WriteFrames writes frames in order. The slice is its own from then on.
	WriteFrames(frames []*OutFrame) error
	Close() error
}

// Transport is who is in the mesh, and a stream to each of them. Over makes the
// real one, a Hub those within a process.
type Transport interface {
	// Open begins. serve is called for each stream, in a goroutine of its own
	// and never twice at once for one peer; the stream ends when it returns.
	// changed is told the members, this node included, at first before Open
	// returns and then whenever they change. Both may be called before Open
	// returns.
	Open(ctx context.Context, serve func(FrameStream), changed func([]Member)) error
	// Forget drops a member that failed or left from every node's list.
	Forget(name string) error
	// Close tells the others that this node goes, ends all streams, and returns
	// once every serve has. The context bounds the first of these. It may be
	// called more than once.
	Close(ctx context.Context) error
}

// Ledger is what gossip needs of a node. All methods are safe for concurrent
// use.
type Ledger interface {
	// Heads are the received heads, SyncRoot the root over them, Applied the
	// applied heads, Frozen the chains that were ended, and after which seq.
	Heads() []chain.Head
	Applied() []chain.Head
	Frozen() []chain.ID
	SyncRoot() chain.Hash
	// Key is the public key of a chain that is here.
	Key(o chain.Origin) (ed25519.PublicKey, bool)
	// Serve reads encoded runs of a chain from a seq on: at most size bytes of
	// them, but one at least if there is any. Of the own chain it serves only
	// what is synced.
	Serve(o chain.Origin, from chain.Seq, size int) ([][]byte, error)
	// Await waits until the writer loop has taken all that came from a peer, or the
	// ledger takes nothing any more, but not for longer than a moment: for other
	// frames wait behind these. Runs of that peer are verified after it, and so
	// together with what comes meanwhile.
	Await(from chain.Origin)
	// Accept queues verified runs for the writer loop and waits while its queue
	// is full; that is the back-pressure on from. It calls reply once, from any
	// goroutine: with an outcome for each run, after Committed was called for
	// what they changed, or with an error if the ledger takes nothing any more.
	// ackWanted says that from waits until the runs are durable here.
	Accept(from chain.Origin, runs []*chain.Run, ackWanted bool, reply func([]chain.Outcome, error))
	// AcceptFreeze queues a verified freeze likewise, and replies with its outcome.
	AcceptFreeze(from chain.Origin, f *chain.Freeze, reply func([]chain.Outcome, error))
	// SyncSoon asks for a sync of what was committed, for a peer waits for it. It
	// never waits itself.
	SyncSoon()
	// Evidence reads the encoded freeze of a chain, nil if it has none.
	Evidence(o chain.Origin) ([]byte, error)
}

// Config is what an exchange needs.
type Config struct {
	Self      chain.Origin
	Epoch     uint64 // names the storage: see EngineConfig
	Durable   bool   // there is a data directory
	Transport Transport
	Limits    Limits
	Logger    *slog.Logger     // nil logs nothing
	Clock     func() time.Time // the time of day, which peers compare; nil is time.Now

	// The callbacks come from the exchange's goroutine, one after the other, and
	// must not wait for the exchange. Each may be nil.
	OnAcked    func(peer chain.Origin, head chain.Head) // see Acked
	OnCaughtUp func()
	OnMembers  func([]Member) // from the transport's goroutine
}

// Exchange runs the engine: it gets every run to everyone. Its methods are safe
// for concurrent use and do not wait for the network. Local, Committed and
// Durable take their order from the caller, the node's writer loop, and never
// wait at all: so that loop cannot come to wait for one that waits for it.
type Exchange struct {
	self    chain.Origin
	ledger  Ledger
	conf    Config
	log     *slog.Logger
	started time.Time
	meters  exchangeMeters
	// closings bounds what is logged of streams that are closed for what came on them.
	closings closings
	keys     pendingKeys // of chains seen but perhaps not committed

	engine *Engine                    // of the loop alone
	links  map[chain.Origin]*linkLoop // of the loop alone
	asking []*linkLoop                // those whose readers wait for the answer; of the loop alone
	reads  chan struct{}              // a place for each read of the log
	checks chan struct{}              // a place for each stream of which a frame is being verified
	// strangers is the place for what is done for one of them: see turn.
	strangers chan struct{}

	mu      sync.Mutex // protects what follows, up to closed
	inbox   []input
	members []Member
	origins map[chain.Origin]bool // of the members
	changed chan struct{}         // closed when the members change
	closed  bool

	wake    chan struct{} // one place: the inbox is not empty
	leaving chan struct{} // closed once the exchange is to end
	quit    chan struct{} // closed to end the loop
	done    chan struct{} // closed when it has ended
	wg      sync.WaitGroup
	close   sync.Once
	err     error
}

// ErrClosed is returned by calls after Close.
var ErrClosed = errors.New("exchange closed")

// readersMost is how many reads of the log go on at once.
const readersMost = 4

// checkersMost is of how many streams frames are verified at once: on half of the
// processors. With a turn for each, what a stream brings meanwhile is verified with
// it; and the other half is free for those who wait for a commit or for the network,
// which the scheduler looks at only now and then while all are busy.
func checkersMost() int { return max(1, min(runtime.GOMAXPROCS(0), runtime.NumCPU())/2) }

// closeWait bounds how long Close waits for the others to hear of it.
const closeWait = 5 * time.Second

// NewExchange returns an exchange that has no peers before Open, and knows what
// the ledger has. The ledger commits nothing before it returns, or it may tell
// it twice. It has to be closed.
func NewExchange(c Config, ledger Ledger) *Exchange {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	x := &Exchange{
		self: c.Self, ledger: ledger, conf: c, log: c.Logger, started: time.Now(),
		links: map[chain.Origin]*linkLoop{}, reads: make(chan struct{}, readersMost), checks: make(chan struct{}, checkersMost()),
		strangers: make(chan struct{}, 1), changed: make(chan struct{}),
		wake: make(chan struct{}, 1), leaving: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
	x.engine = NewEngine(x.now(), EngineConfig{
		Self: c.Self, Epoch: c.Epoch, Durable: c.Durable, Heads: ledger.Heads(), Applied: ledger.Applied(), Frozen: ledger.Frozen(), Root: ledger.SyncRoot(), Limits: c.Limits,
	})
	go x.loop()
	return x
}

// Open opens the transport, and so begins to meet peers. The context bounds the
// call. After an error the exchange is closed.
func (x *Exchange) Open(ctx context.Context) error {
	if err := x.conf.Transport.Open(ctx, x.serve, x.membersChanged); err != nil {
		return errors.Join(err, x.Close())
	}
	return nil
}

// Close leaves the mesh and ends everything, within some seconds. It may be
// called more than once.
func (x *Exchange) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	return x.Leave(ctx)
}

// Leave is Close with a bound of the caller's on how long the others are told.
func (x *Exchange) Leave(ctx context.Context) error {
	x.close.Do(func() {
		close(x.leaving)
		x.err = x.conf.Transport.Close(ctx)
		close(x.quit)
		<-x.done
		x.wg.Wait()
	})
	return x.err
}

// Local sends own runs to everyone, once they are synced, in the order of the
// chain. ackWanted asks for acknowledgements. It is called before the
// Committed that tells their head.
func (x *Exchange) Local(runs []*chain.Run, ackWanted bool) {
	out := make([]Run, len(runs))
	for i, r := range runs {
		head := r.Head()
		out[i] = Run{Origin: r.Origin, First: r.First, Last: head.Seq, Hash: head.Hash, Encoded: r.Append(nil)}
	}
	x.post(func(at At) { x.engine.Local(at, out, ackWanted) })
}

// Committed tells the received heads that a commit moved, and the sync root
// after it. The own head is told once it is synced.
func (x *Exchange) Committed(heads []chain.Head, root chain.Hash) {
	x.post(func(at At) { x.engine.Committed(at, heads, root) })
}

// Frozen tells the chains that a commit ended, before the Committed of it.
func (x *Exchange) Frozen(ends []chain.ID) {
	x.post(func(at At) { x.engine.Frozen(at, ends) })
}

// Applied tells the applied heads that a commit moved.
func (x *Exchange) Applied(heads []chain.Head) {
	x.post(func(at At) { x.engine.Applied(at, heads) })
}

// Durable tells heads of what is applied and synced.
func (x *Exchange) Durable(heads []chain.Head) {
	x.post(func(at At) { x.engine.Durable(at, heads) })
}

// WantAck asks the peers to acknowledge own updates up to a seq that were
// published before.
func (x *Exchange) WantAck(seq chain.Seq) {
	x.post(func(at At) { x.engine.WantAck(at, seq) })
}

func (x *Exchange) now() At {
	return At{Mono: time.Since(x.started), Wall: x.conf.Clock().UnixMilli()}
}
