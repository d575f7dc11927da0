package api

import (
	"context"
	"iter"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/api/reply"
)

// Backend is the node as its HTTP interface sees it. All methods are safe for
// concurrent use, and what they return belongs to the caller.
type Backend interface {
	// Info is what never changes while the node runs.
	Info() Info
	// Converged reports what the Tidings-Converged header says. It is cheap.
	Converged() bool

	// Enqueue hands drafts to the outbox, each with a Pending of its own in the
	// same order, and waits for room while it is full, until ctx ends. A draft
	// that is malformed is refused by its Pending, not by the error.
	Enqueue(ctx context.Context, drafts []chain.Draft) ([]Pending, error)
	// Acks waits until n nodes, this one counted, hold the update durably, or
	// ctx ends, and returns how many do.
	Acks(ctx context.Context, id chain.ID, n int) int
	// Clamp is a frontier without what lies beyond a freeze that is known here.
	Clamp(f chain.Frontier) chain.Frontier
	// Applied waits until all of f is applied here, or ctx ends: then it is an
	// error that wraps ErrBehind.
	Applied(ctx context.Context, f chain.Frontier) error

	// Update returns one update, received or applied; ErrNotFound if neither.
	Update(id chain.ID) (*chain.Update, UpdateState, error)
	// View returns a subject's state, ErrNotFound if nothing was ever said of it.
	View(subject string) (*chain.State, error)
	// SubjectVersion is another number once View has another state of a subject.
	// It is cheap.
	SubjectVersion(subject string) uint64
	// Watch waits for another state of a subject.
	Watch(subject string) Watch
	// ViewAt is a subject's state at a causal cut that is applied here, without
	// what a freeze took back; ErrNotFound if nothing had been said of it. It
	// reads the updates of the subject up to there, until ctx ends.
	ViewAt(ctx context.Context, subject string, at chain.Frontier) (*chain.State, error)
	// Attendance says who of those that are expected to speak of a subject, by the
	// node's configuration, has not in that state. ErrNotFound says that all of the
	// state was taken back since it was read.
	Attendance(state *chain.State) (Attendance, error)
	// Subjects calls yield for the states of subjects that the prefix selects,
	// in ascending order from `from` on ("" for the first).
	Subjects(prefix chain.Prefix, from string) iter.Seq2[*chain.State, error]
	// History returns a subject's applied updates in stitched order, as of the
	// call. It yields nothing for an absent subject.
	History(subject string) iter.Seq2[*chain.Update, error]
	// Chain returns a chain and at most limit of its received updates from
	// seq from on, with the seals that stand among them.
	Chain(origin chain.Origin, from chain.Seq, limit int) (*ChainPage, error)
	// Authority names the authority of a chain, "" if it is not known here.
	Authority(origin chain.Origin) string

	// Changes returns what is applied here after a cursor, in stitched order. Where
	// visit is set it gets the updates, each of them until it returns, and the batch is
	// without them.
	Changes(since chain.Cursor, filter chain.Filter, limit int, visit func(*chain.Update)) (*Changes, error)
	// Follow waits for what Changes has yet to return.
	Follow(since chain.Cursor, filter chain.Filter) FeedWatch
	// Version is higher each time that Changes may return something else.
	Version() uint64
	// Now is the cursor of everything that is applied here.
	Now(filter chain.Filter) chain.Cursor

	// Mesh is the node's picture of the mesh and of itself.
	Mesh() *Mesh
	// Readiness says whether the node is ready, and if not, why.
	Readiness() Readiness
	// Heard returns how long ago this node last heard from the least recently
	// heard of the authorities; an authority of its own counts as now.
	Heard(authorities []string) time.Duration
	// Forget makes the mesh forget a member that left or failed, by its name;
	// ErrNotFound if there is none of that name, ErrAlive if it is alive.
	Forget(ctx context.Context, name string) error
}

// Info is what never changes while a node runs.
type Info struct {
	Node      string
	Authority string
	Origin    chain.Origin
	Version   string
	Durable   bool // it has a data directory
}

// Watch waits for one thing: chain.Watch says how. It belongs to one goroutine.
type Watch interface {
	// Wait returns once there may be something new, or with the context's error.
	Wait(ctx context.Context) error
	// Stop releases the watch. It may be called twice.
	Stop()
}

// FeedWatch is a Watch of the feed, as chain.FeedWatch is.
type FeedWatch interface {
	Watch
	// Group is the same for watches that ring together and have one Cursor.
	Group() uint64
	// Cursor is the place, of whoever found nothing after the watch was made and was
	// up to date, to which all was passed over since.
	Cursor() chain.Cursor
}

// Pending is a draft on its way. It is safe for concurrent use.
type Pending interface {
	// Done is closed once the outcome is known.
	Done() <-chan struct{}
	// Result is the outcome, after Done. The receipt's update is committed
	// here: durably where the node has a data directory.
	Result() (chain.Receipt, error)
}

// UpdateState tells how far an update came on this node.
type UpdateState struct {
	Applied    bool
	Authority  string
	Reason     string     // "dependency" or "clock" while held
	WaitingFor []chain.ID // what a held one waits for
}

// Attendance says who of those that are expected to speak of a subject has not,
// at some moment. All lists are ascending.
type Attendance struct {
	Expected []string      // all that are to speak
	Missing  []string      // of these, the ones that have not
	Late     []string      // of the missing, those whose deadline has come
	Next     time.Duration // until the next of the missing is late, if nobody speaks; 0 if nobody will be
}

// ChainPage is a part of one chain.
type ChainPage struct {
	Origin    chain.Origin
	Authority string
	Node      string
	PublicKey []byte
	Head      chain.Seq // newest received
	Updates   []chain.ChainUpdate
	Seals     []chain.Seal
	// Frozen is where and why the chain was ended, nil if it was not.
	Frozen *chain.Freeze
	// Cover is the seal of the head, where the head is in the page, or below it,
	// and has none of its own: the chain was ended within a run.
	Cover *chain.Cover
}

// Changes is a batch of the feed.
type Changes struct {
	Updates  []*chain.Update
	Cursor   chain.Cursor
	UpToDate bool           // nothing more was applied at the call
	Behind   []chain.Origin // of which the cursor has seen more than this node
	// Retracted are chains that were frozen, with the seq after which the updates
	// that the cursor had seen no longer count.
	Retracted []chain.Retraction
}

// Found reports whether the batch has what a consumer waits for, but for updates that
// were visited.
func (c *Changes) Found() bool { return len(c.Updates) > 0 || len(c.Retracted) > 0 }

// Readiness tells whether a node is ready to serve and to publish.
type Readiness struct {
	Ready  bool
	Reason string // why not
	Have   uint64 // updates here
	Want   uint64 // updates known to exist
}

// Mesh and its parts are the answer of GET /v1/mesh.
type (
	Mesh       = reply.Mesh
	Member     = reply.Member
	Chain      = reply.Chain
	Freeze     = reply.Freeze
	Held       = reply.Held
	StoreStats = reply.StoreStats
)
