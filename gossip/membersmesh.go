package gossip

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// Mesh is one node's place in the mesh: its port, its streams and its
// membership, opened and closed in the right order. Serve gets the streams and
// OnChange the members; what is said on streams is the engine's matter.
type Mesh struct {
	Port       *Port
	Streams    *Streams
	Membership *Membership

	onChange func([]Member)
	report   *reporter

	mu      sync.Mutex // protects what follows; held while the streams are told
	begun   bool
	peers   []StreamPeer           // those that live
	foreign map[nodeStart]struct{} // those that live and speak another version

	ctx    context.Context
	stop   context.CancelFunc
	wg     sync.WaitGroup
	failed chan error // one place
	close  sync.Once
	err    error
}

// MeshOptions are what a node needs to take part in a mesh.
type MeshOptions struct {
	Key  ed25519.PrivateKey // the node's chain key: its identity
	Tags Tags
	// Bind and Advertise are HOST:PORT, as in PortOptions.
	Bind, Advertise string
	Network         Network
	// Ring is the mesh key. Without one, only loopback addresses are bound.
	Ring MeshKeys
	// Join are HOST:PORT of nodes to meet, as in MembershipOptions.
	Join []string
	// JoinWait is how long OpenMesh waits to meet the first other node, where
	// there is one to meet, before it returns and goes on trying. A twin that is met
	// by then makes OpenMesh fail; one that is met later comes through Failed.
	// Zero is 2 s.
	JoinWait time.Duration
	// DataDir is where known members are remembered; empty is nowhere.
	DataDir string
	// Serve is called for each stream, as in StreamsOptions.
	Serve func(*Stream)
	// OnChange is told of the members, as in MembershipOptions; it may be nil.
	OnChange func([]Member)
	Logger   *slog.Logger // nil logs nothing
	Meters   *Meters      // nil counts for nobody
}

// ErrKeyless says that a mesh without a mesh key must not leave the machine.
var ErrKeyless = errors.New("without a mesh key a node binds to loopback addresses only")

const joinWait = 2 * time.Second

// OpenMesh listens, joins and starts keeping streams to all living members. The
// context bounds the call, not the mesh. The errors to be told apart are
// ErrKeyless, *TagsError and *TwinError.
func OpenMesh(ctx context.Context, o MeshOptions) (*Mesh, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Meters == nil {
		o.Meters = new(Meters)
	}
	if o.JoinWait == 0 {
		o.JoinWait = joinWait
	}
	if err := o.Tags.Validate(); err != nil {
		return nil, err
	}
	memory, epoch, err := OpenMemory(o.DataDir, time.Now(), o.Logger)
	if err != nil {
		return nil, err
	}
	report := newReporter(o.Logger, o.Meters)
	port, err := OpenPort(ctx, PortOptions{Bind: o.Bind, Advertise: o.Advertise, Network: o.Network, Logger: o.Logger, Meters: o.Meters, report: report})
	if err != nil {
		return nil, err
	}
	if o.Ring.IsZero() && !port.Addr().Addr().IsLoopback() {
		return nil, errors.Join(ErrKeyless, port.Shutdown())
	}
	m := &Mesh{Port: port, onChange: o.OnChange, report: report, failed: make(chan error, 1)}
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.Streams, err = NewStreams(StreamsOptions{
		Port: port, Key: o.Key, Ring: o.Ring, Epoch: epoch, Serve: o.Serve, Logger: o.Logger, Meters: o.Meters, report: report,
	})
	if err != nil {
		return nil, errors.Join(err, port.Shutdown())
	}
	origin := chain.OriginOf(o.Key.Public().(ed25519.PublicKey))
	m.Membership, err = OpenMembership(MembershipOptions{
		Port: port, Ring: o.Ring, Origin: origin, Epoch: epoch, Tags: o.Tags, Join: o.Join, Memory: memory,
		OnChange: m.changed, Logger: o.Logger, Meters: o.Meters, report: report,
	})
	if err != nil {
		return nil, errors.Join(err, m.Streams.Close())
	}
	if err := m.meet(ctx, o, len(memory.file.Members) > 0); err != nil {
		return nil, errors.Join(err, m.Close(context.Background()))
	}
	m.wg.Go(m.watch)
	return m, nil
}

// changed keeps streams to the living. One that speaks another version gets
// none, which is said once for each of its starts: it looks alive to everybody,
// and nothing of what it publishes comes.
func (m *Mesh) changed(members []Member) {
	peers := make([]StreamPeer, 0, len(members))
	foreign := map[nodeStart]struct{}{}
	m.mu.Lock()
	for _, member := range members {
		switch {
		case member.Status != StatusAlive:
		case member.Version == StreamVersion:
			peers = append(peers, StreamPeer{Origin: member.Origin, Epoch: member.Epoch, Addr: member.Addr})
		default:
			foreign[member.start()] = struct{}{}
			if _, said := m.foreign[member.start()]; said {
				continue
			}
			m.report.meters.failures[ReasonVersion].Add(1)
			m.report.log.Warn("a member speaks another version of the protocol: nothing is exchanged with it until both run one version",
				"member", member.Name, "addr", member.Addr, "version", member.Version, "own_version", StreamVersion)
		}
	}
	m.peers, m.foreign = peers, foreign
	if m.begun {
		m.Streams.SetPeers(peers)
	}
	m.mu.Unlock()
	if m.onChange != nil {
		m.onChange(members)
	}
}

// begin lets streams open.
func (m *Mesh) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun = true
	m.Streams.Begin()
	m.Streams.SetPeers(m.peers)
}

// meet waits for the first other node and looks for a twin of this one.
func (m *Mesh) meet(ctx context.Context, o MeshOptions, remembers bool) error {
	if len(o.Join) == 0 && !remembers {
		// The first node of a mesh: it is the others who come later.
		m.begin()
		m.Streams.Settle()
		return nil
	}
	timer := time.NewTimer(o.JoinWait)
	defer timer.Stop()
	select {
	case <-m.Membership.Met():
		if err := m.Membership.CheckTwin(ctx, m.Streams.Probe); err != nil {
			return err
		}
		m.begin()
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	m.wg.Go(m.lookForTwins)
	return nil
}

// lookForTwins does so for a while once the first other node is met.
func (m *Mesh) lookForTwins() {
	select {
	case <-m.Membership.Met():
	case <-m.ctx.Done():
		return
	}
	window := time.NewTimer(twinWindow)
	defer window.Stop()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		if err := m.Membership.CheckTwin(m.ctx, m.Streams.Probe); err != nil {
			m.fail(err)
			return
		}
		m.begin()
		select {
		case <-ticker.C:
		case <-window.C:
			m.Streams.Settle()
			return
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *Mesh) watch() {
	select {
	case <-m.Membership.Down():
		m.fail(errors.New("membership ended by itself"))
	case <-m.ctx.Done():
	}
}

func (m *Mesh) fail(err error) {
	if m.ctx.Err() != nil {
		return
	}
	select {
	case m.failed <- err:
	default:
	}
}

// Failed gives the reason, once, why this node must not go on in the mesh: a
// *TwinError, or that membership ended.
func (m *Mesh) Failed() <-chan error { return m.failed }

// Close leaves the mesh, closes the streams, ends membership and closes the
// port, in this order. The context bounds how long leaving is waited for; all
// of it takes at most some 10 s. It may be called more than once.
func (m *Mesh) Close(ctx context.Context) error {
	m.close.Do(func() {
		m.stop()
		leave := m.Membership.Leave(ctx)
		m.err = errors.Join(leave, m.Streams.Close(), m.Membership.Close())
		m.wg.Wait()
	})
	return m.err
}

// Abandon closes everything without a word to the others, who see this node
// fail, as after a crash.
func (m *Mesh) Abandon() error {
	m.close.Do(func() {
		m.stop()
		m.err = errors.Join(m.Streams.Close(), m.Membership.Close())
		m.wg.Wait()
	})
	return m.err
}
