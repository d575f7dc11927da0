package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/node/api"
	"github.com/tidings-mesh/tidings/node/dashboard"
)

// Node is one participant of a mesh. It is safe for concurrent use.
type Node struct {
	cfg     Config
	log     *slog.Logger
	info    api.Info
	now     func() time.Time // how long things take
	clock   func() time.Time // the time of day
	started time.Time
	joined  time.Time // the mesh

	dir     *store.Dir // nil in memory
	store   chain.Store
	ledger  *chain.Ledger // the writer's
	archive *chain.Archive
	writer  *writer
	outbox  *outbox
	sources *sources
	metrics *metrics
	// What peers can make happen without end is logged in bounds.
	freezesLogged, acksLogged burst

	handler   *api.Handler
	state     *readiness
	mesh      *mesh // nil if the node is alone
	reactions *reactions
	key       ed25519.PrivateKey
	listening atomic.Pointer[listening]
	lost      atomic.Pointer[[]chain.Head] // noted once, and not in the store at the start

	stops   []stop // in the order of the starts
	failing sync.Once
	failed  chan struct{} // closed once reason is set
	reason  error
	open    context.Context // ends as Close begins
	shut    context.CancelFunc
	closing sync.Once
	closed  chan struct{}
	failure error // of Close, once closed is closed
}

// stop is what takes back one step of a start.
type stop struct {
	name string
	f    func() error
}

// Open starts a node, which the caller closes. The context bounds the start only.
// It returns once the node's own chain is recovered, which takes as long as peers
// need to answer, and RecoverWait at most where none does. A start that fails leaves
// nothing running and nothing locked.
//
// Errors: [ErrConfig]; [gossip.ErrKeyless]; where it is the data directory,
// [store.ErrInUse], [store.ErrOtherNode] and [store.ErrDamaged]; and those of the
// sockets.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.Expect = cfg.Expect.Clone()
	began := time.Now()
	if others := cfg.others(); len(others) < len(cfg.Join) {
		if len(others) == 0 {
			cfg.Logger.Warn("told to join only itself, which is nobody: this starts a mesh, which others must be told to join", "join", cfg.Join)
		}
		cfg.Join = others
	}
	n, err := openWhole(ctx, cfg)
	if errors.Is(err, errNewOrigin) {
		if err := rekey(cfg, err); err != nil {
			return nil, err
		}
		cfg.lossSaid, cfg.began = true, began
		n, err = openWhole(ctx, cfg)
	}
	if err != nil {
		return nil, err
	}
	n.log.Info("node started", "node", n.info.Node, "authority", n.info.Authority, "origin", n.info.Origin, "durable", n.info.Durable)
	return n, nil
}

func newNode(cfg Config) *Node {
	n := &Node{cfg: cfg, log: cfg.Logger, now: time.Now, clock: cfg.Clock, state: newReadiness(), reactions: newReactions(), closed: make(chan struct{}), failed: make(chan struct{})}
	n.open, n.shut = context.WithCancel(context.Background())
	n.started = n.now()
	n.sources = newSources(func() time.Duration { return n.now().Sub(n.started) })
	return n
}

// steps are those of a start, in their order.
func (n *Node) steps() []func(context.Context) error {
	return []func(context.Context) error{
		n.openStore, n.openLedger, n.makeMesh, n.openMetrics, n.openHandler, n.startWriter, n.joinMesh, n.recover,
	}
}

func open(ctx context.Context, cfg Config) (*Node, error) {
	n := newNode(cfg)
	for _, step := range n.steps() {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	n.onClose("sources", n.sources.close)
	n.onClose("reactions", n.reactions.close)
	// Who waits is told first.
	n.onClose("http", func() error { n.handler.Close(); return nil })
	return n, nil
}

func (n *Node) onClose(name string, f func() error) { n.stops = append(n.stops, stop{name, f}) }

// Close leaves the mesh, commits what waits, and releases all that the node
// holds. Drafts that still come are refused with [chain.ErrClosed]. It returns
// once nothing of the node runs any more. It is idempotent. Its error has an
// [*UndeliveredError] where drafts were enqueued that could not be committed.
func (n *Node) Close() error {
	n.closing.Do(func() {
		n.shut()
		var errs []error
		for _, s := range slices.Backward(n.stops) {
			if err := s.f(); err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", s.name, err))
			}
		}
		n.failure = errors.Join(errs...)
		close(n.closed)
	})
	<-n.closed
	return n.failure
}

// openStore opens the data directory, or memory, and learns who the node is.
func (n *Node) openStore(context.Context) error {
	n.info = api.Info{Node: n.cfg.Name, Authority: n.cfg.Authority, Version: n.cfg.Version}
	if n.cfg.DataDir == "" {
		n.store = store.Memory()
		n.onClose("store", n.store.Close)
		return nil
	}
	dir, err := store.OpenDir(n.cfg.DataDir, store.DirOptions{Name: n.cfg.Name, Authority: n.cfg.Authority, DefaultName: n.cfg.DefaultName})
	if err != nil {
		return err
	}
	n.onClose("data directory", dir.Close)
	disk, err := dir.OpenStore(store.Options{Logger: n.log, Kept: chain.KeepsKey, Series: chain.KeySeries})
	if err != nil {
		return err
	}
	n.onClose("store", func() error { return errors.Join(n.markDamage(), disk.Close()) })
	n.dir, n.store = dir, disk
	id := dir.Identity()
	n.info.Node, n.info.Authority, n.info.Durable = id.Name, id.Authority, true
	return nil
}

// openLedger reads the chains that the store keeps.
func (n *Node) openLedger(context.Context) error {
	c := chain.Config{
		Node: n.info.Node, Authority: n.info.Authority, Zone: n.cfg.Zone, CacheBytes: n.cfg.CacheBytes,
		Limit: n.timeLimit(n.clock().UnixMilli()),
	}
	if n.dir != nil {
		c.Key, c.Predecessor, c.Former = n.dir.Key(), n.dir.Identity().Predecessor, n.dir.FormerKeys()
	} else {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return fmt.Errorf("make a key: %w", err)
		}
		c.Key = key
	}
	n.key = c.Key
	n.info.Origin = chain.OriginOf(c.Key.Public().(ed25519.PublicKey))
	ledger, err := chain.NewLedger(n.store, c, n.clock().UnixMilli())
	if err != nil {
		return n.damagedStore(err)
	}
	n.archive = chain.NewArchive(ledger)
	n.metrics = newMetrics()
	n.outbox = newOutbox(n.cfg.Outbox, n.cfg.Linger)
	n.ledger = ledger
	n.writer = n.newWriter(ledger)
	return nil
}

func (n *Node) openMetrics(context.Context) error {
	own := slices.Concat(n.metrics.collectors(), n.stateMetrics(), n.damageMetrics(), []prometheus.Collector{n.sources, reactionMetrics{n}})
	if disk, ok := n.store.(*store.Disk); ok {
		own = append(own, diskMetrics{disk})
	}
	return n.register(own...)
}

// register registers metrics until the node closes.
func (n *Node) register(collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		if err := n.cfg.Metrics.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w (give each node of a process a registry of its own, or wrap it with a label)", err)
		}
		n.onClose("metrics", func() error {
			n.cfg.Metrics.Unregister(c)
			return nil
		})
	}
	return nil
}

// openHandler builds the HTTP interface, which the caller serves: from now on,
// if it wants to.
func (n *Node) openHandler(context.Context) error {
	n.handler = api.New(api.Config{
		Backend:  backend{n},
		Logger:   n.log,
		Registry: n.cfg.Metrics,
		Metrics:  promhttp.HandlerFor(n.cfg.Gatherer, promhttp.HandlerOpts{}),
		Pages:    dashboard.Pages(),
		Limits:   api.Limits{Waiters: n.cfg.MaxWaiters},
	})
	n.onClose("http", func() error { n.handler.Close(); return nil })
	if n.cfg.OnHandler != nil {
		n.cfg.OnHandler(n.handler)
	}
	return nil
}

func (n *Node) startWriter(context.Context) error {
	go n.writer.run()
	n.onClose("outbox", func() error { return n.outbox.lost.error() })
	n.onClose("writer", func() error {
		n.outbox.close()
		n.writer.stop()
		return nil
	})
	return nil
}

// Handler is the node's HTTP interface, docs/http.md. It may be mounted below a path
// with http.StripPrefix. Requests that wait end when the node closes. [api.NewServer]
// makes a server with bounds that suit it.
func (n *Node) Handler() http.Handler { return n.handler }

// Origin names the node's chain. It stays while the node is open. It changes with
// the data directory, and where Open finds that the chain there cannot be gone
// on with: then the node writes another one under a new key.
func (n *Node) Origin() chain.Origin { return n.info.Origin }

// Name is the node's own, as it or its data directory began with it.
func (n *Node) Name() string { return n.info.Node }

// Authority is the service that the node writes for, as it or its data directory
// began with it.
func (n *Node) Authority() string { return n.info.Authority }
