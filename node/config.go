package node

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// Config says what node to open. The zero value, with a Name, is a node in
// memory that is alone. Open copies it.
type Config struct {
	// Name tells the node from others for people; it must differ from every
	// other node's of the mesh. Default: that which the data directory began
	// with, which it must not contradict, else DefaultName. One of
	// the two is required for a new directory or none.
	Name string
	// DefaultName is the name of a node without a Name whose data directory is
	// new, or that has none.
	DefaultName string
	// Authority is the service that the node writes for. Several nodes may
	// write for one. Default: that of the data directory, else the name.
	Authority string
	// Zone groups nodes that are near each other. Default: none.
	Zone string

	// DataDir holds the node's key and every chain. Empty: the node keeps all
	// in memory, is a new origin at each start, and confirms nothing as durable.
	DataDir string

	// Bind is the host:port for the mesh, UDP and TCP; port 0 picks one. Empty:
	// the node is alone, unless it has a Hub. Without MeshKeys it must be a
	// loopback address.
	Bind string
	// Advertise is the host:port that others reach Bind by. Default: Bind.
	Advertise string
	// AdvertiseHTTP is the host:port of the HTTP interface, which the caller
	// serves, for others to show. Default: none.
	AdvertiseHTTP string
	// Join are the host:port of nodes to find the mesh by. They are tried for
	// ever, so they need not be up yet. The node's own addresses do not count.
	Join []string
	// MeshKeys encrypt the mesh and say who may join it. Zero: anyone on this
	// host may.
	MeshKeys gossip.MeshKeys
	// Hub connects nodes of one process without sockets, in place of Bind.
	Hub *gossip.Hub
	// Network is where Bind, Advertise and Join are addresses. Default: this
	// machine's TCP and UDP. A gossip.MemNetwork is one within the process, for
	// tests in virtual time and of a network's faults.
	Network gossip.Network

	// OnHandler is called with the node's Handler as soon as that can answer:
	// before the mesh is joined and the own chain is recovered, which may take
	// RecoverWait. Reads are served meanwhile, drafts wait, and /readyz says for
	// what. Where the node goes on under a new origin it is called again. Default:
	// nobody is told, and the Handler is there when Open returns.
	OnHandler func(http.Handler)

	// RecoverWait is how long a start waits for a peer to answer before the
	// node counts as ready all the same, from when it began. Default 10 s.
	RecoverWait time.Duration
	// MaxClockSkew bounds how far clocks may be apart: a node that is more than
	// half of it off the median of the mesh refuses to publish, and an update
	// from further in the future is held. Default 10 s.
	MaxClockSkew time.Duration

	// Expect says which authorities are to speak of which subjects, and by when. It
	// is this node's own: no update carries it, so nodes that are to answer alike
	// have to be told alike. Default: nobody is expected.
	Expect Expectations

	// Clock is the time of day, which updates are stamped with and the mesh
	// compares. It may be wrong and jump; how long things take is not measured
	// by it, but for the deadlines of Expect. Default: time.Now.
	Clock func() time.Time

	// Outbox bounds the drafts that wait to be committed; one of more than 4 KiB
	// counts as several, about one for each 4 KiB. Default 16,384. More
	// takes bursts; fewer makes callers notice sooner that the disk is slow.
	Outbox int
	// Linger is how long a draft of Enqueue may wait for others, so that they share
	// a sync: fewer writes to the disk against later news. Publish and the HTTP
	// interface never wait for it. It ends early for 4,096 drafts, and when the
	// outbox is full. Default 0: a draft is committed as soon as the one before is.
	Linger time.Duration
	// MaxWaiters bounds the HTTP requests that wait for something at a time, event
	// streams included: each takes a connection and some 30 KB. One more is
	// refused as busy. Keep it below the limit of open files. Default 20,000.
	MaxWaiters int
	// CacheBytes bounds the decoded subjects that the writer keeps, each until half a
	// minute or a whole one after it was written. Default 24 MiB, which is some 20,000
	// subjects of a few hundred bytes.
	CacheBytes int

	// Logger hears what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics registers the node's metrics. Default: a registry of the node's
	// own, which its Handler serves. They are unregistered by Close.
	Metrics prometheus.Registerer
	// Gatherer is what GET /metrics shows. Default: Metrics if it gathers too.
	Gatherer prometheus.Gatherer
	// Version is what the node says it is. Default: that of the module.
	Version string

	// lossSaid: the directory was opened right before, under an origin that could
	// not be continued, and what its store has lost was said then.
	lossSaid bool
	// began is when the start began that this one goes on with, under another
	// origin: what was waited for peers then is not waited again. Zero if none did.
	began time.Time
}

const (
	defaultRecoverWait  = 10 * time.Second // a mesh that is up answers in well under a second; one that starts with this node needs a few
	defaultMaxClockSkew = 10 * time.Second // far above what NTP leaves, far below what confuses a reader of times
	defaultOutbox       = 16_384           // about a third of a second at full speed
)

// ErrConfig is wrapped by Open where the configuration is at fault.
var ErrConfig = errors.New("invalid configuration")

func (c *Config) setDefaults() {
	if c.RecoverWait == 0 {
		c.RecoverWait = defaultRecoverWait
	}
	if c.MaxClockSkew == 0 {
		c.MaxClockSkew = defaultMaxClockSkew
	}
	if c.Outbox == 0 {
		c.Outbox = defaultOutbox
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		r := prometheus.NewRegistry()
		c.Metrics = r
	}
	if c.Gatherer == nil {
		if g, ok := c.Metrics.(prometheus.Gatherer); ok {
			c.Gatherer = g
		} else {
			c.Gatherer = prometheus.NewRegistry()
		}
	}
	if c.Version == "" {
		c.Version = moduleVersion()
	}
	if c.DataDir == "" {
		c.Name = cmp.Or(c.Name, c.DefaultName)
		c.Authority = cmp.Or(c.Authority, c.Name)
	}
}

func moduleVersion() string {
	const path = "github.com/tidings-mesh/tidings"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Path == path {
		return info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == path {
			return dep.Version
		}
	}
	return "unknown"
}

func (c *Config) validate() error {
	type field struct{ name, value string }
	for _, f := range []field{{"Name", c.Name}, {"DefaultName", c.DefaultName}, {"Authority", c.Authority}, {"Zone", c.Zone}} {
		if f.value == "" {
			continue
		}
		if err := chain.CheckName(f.value); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrConfig, f.name, err)
		}
	}
	if err := c.Expect.Check(); err != nil {
		return fmt.Errorf("%w: Expect: %w", ErrConfig, err)
	}
	switch {
	case c.Name == "" && c.DataDir == "":
		return fmt.Errorf("%w: Name: required without a data directory", ErrConfig)
	case c.RecoverWait < 0:
		return fmt.Errorf("%w: RecoverWait: %s is negative", ErrConfig, c.RecoverWait)
	case c.MaxClockSkew < 0:
		return fmt.Errorf("%w: MaxClockSkew: %s is negative", ErrConfig, c.MaxClockSkew)
	case c.Outbox < 0:
		return fmt.Errorf("%w: Outbox: %d is negative", ErrConfig, c.Outbox)
	case c.Linger < 0:
		return fmt.Errorf("%w: Linger: %s is negative", ErrConfig, c.Linger)
	case c.MaxWaiters < 0:
		return fmt.Errorf("%w: MaxWaiters: %d is negative", ErrConfig, c.MaxWaiters)
	case c.CacheBytes < 0:
		return fmt.Errorf("%w: CacheBytes: %d is negative", ErrConfig, c.CacheBytes)
	case c.Hub != nil && c.Bind != "":
		return fmt.Errorf("%w: Hub and Bind: one or the other", ErrConfig)
	case c.Bind == "" && c.Network != nil:
		return fmt.Errorf("%w: Network: needs Bind", ErrConfig)
	case c.Bind == "" && len(c.Join) > 0:
		return fmt.Errorf("%w: Join: needs Bind", ErrConfig)
	}
	return nil
}
