package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/tidings-mesh/tidings/chain"
)

// Membership is this node's part in the membership of the mesh: who is there,
// where, and whether it answers. It stands on serf, which it gives a name for
// each start of a node (see instanceName), and makes one member of the starts of
// one node. All methods are safe for concurrent use.
type Membership struct {
	serf     *serf.Serf
	self     nodeStart
	log      *slog.Logger
	meters   *Meters
	report   *reporter
	onChange func([]Member)
	dir      string

	events chan serf.Event
	dirty  chan struct{} // one place: look at serf's members
	ctx    context.Context
	stop   context.CancelFunc
	wg     sync.WaitGroup
	met    chan struct{} // closed once another node has been met
	// asking is set while the first answer to a join is waited for: what a
	// joined node knows comes in member by member, and meeting means to have it all.
	asking atomic.Bool
	down   chan struct{} // closed if serf ends by itself

	looking sync.Mutex      // held by look, so that OnChange is told in order
	foreign map[string]bool // protected by looking: names reported already

	name string // this node's

	leaving sync.Mutex // held while this node leaves; before serf is shut down
	left    bool       // protected by leaving
	closing sync.Once
	closed  error

	mu      sync.Mutex // protects what is below
	starts  []Member   // every start that serf knows
	members []Member   // what settleMembers makes of them
	since   map[nodeStart]statusSince
	prune   map[nodeStart]time.Time // superseded and gone: when to drop them
	forgot  map[nodeStart]retelling // forgotten by Forget here
	file    membersFile
	written time.Time
}

type statusSince struct {
	status Status
	since  time.Time
}

// MembershipOptions are what membership needs.
type MembershipOptions struct {
	Port   *Port // Close shuts it down
	Ring   MeshKeys
	Origin chain.Origin
	Epoch  uint64 // of this start: see OpenMemory
	Tags   Tags
	// Join are the HOST:PORT of nodes to meet, tried for ever until met, and
	// again while they are not members. A name is resolved at each try.
	Join []string
	// Memory is what OpenMemory gave; its zero value remembers nothing.
	Memory Memory
	// OnChange is told of the members whenever something but an RTT has changed, first
	// before OpenMembership returns. Calls come one after the other; it must not wait
	// for this Membership. The slice is the callee's.
	OnChange func([]Member)
	Logger   *slog.Logger // never nil
	Meters   *Meters      // never nil

	report *reporter
}

// Memory is what a node remembers of its mesh from one start to the next.
type Memory struct {
	dir  string
	file membersFile
}

// OpenMemory reads the memory in a data directory and gives the epoch of this
// start, which is above that of every earlier start there. Without a directory
// ("") the epoch is the time, and nothing is remembered. A damaged memory is
// logged and begun anew; only a directory that cannot be written is an error.
func OpenMemory(dir string, now time.Time, log *slog.Logger) (Memory, uint64, error) {
	m := Memory{dir: dir}
	if dir == "" {
		return m, m.file.nextEpoch(now), nil
	}
	var err error
	if m.file, err = readMembersFile(dir); err != nil {
		log.Warn("known members lost; joining only those configured", "error", err)
	}
	if err := sweepMembersFile(dir); err != nil {
		log.Warn("temporary files stay", "error", err)
	}
	epoch := m.file.nextEpoch(now)
	return m, epoch, m.file.write(dir)
}

const (
	// lookEvery is how often members are looked at without an event: events
	// may be lost, and coordinates have none.
	lookEvery = time.Second
	// writeEvery is how often a memory that did not change is written, so that
	// it stays known when nodes were last seen.
	writeEvery = time.Hour
	// pruneAfter and its jitter say when a superseded start that is gone is
	// dropped everywhere. The first node to do so saves the others the work.
	pruneAfter  = 2 * time.Second
	pruneJitter = 8 * time.Second
)

// ErrNoMember and ErrMemberAlive are Forget's.
var (
	ErrNoMember    = errors.New("no such member")
	ErrMemberAlive = errors.New("the member is alive")
)

// OpenMembership starts membership and joining. On an error the port is shut
// down.
func OpenMembership(o MembershipOptions) (*Membership, error) {
	if o.report == nil {
		o.report = newReporter(o.Logger, o.Meters)
	}
	m := &Membership{
		self: nodeStart{o.Origin, o.Epoch}, log: o.Logger, meters: o.Meters, report: o.report, onChange: o.OnChange,
		dir: o.Memory.dir, file: o.Memory.file, name: o.Tags.Name,
		events: make(chan serf.Event, eventsBuffer), dirty: make(chan struct{}, 1),
		met: make(chan struct{}), down: make(chan struct{}),
		since: make(map[nodeStart]statusSince), prune: make(map[nodeStart]time.Time), forgot: make(map[nodeStart]retelling),
	}
	fail := func(err error) (*Membership, error) {
		return nil, errors.Join(err, o.Port.Shutdown())
	}
	if err := o.Tags.Validate(); err != nil {
		return fail(err)
	}
	joins, err := newJoiner(m, o.Join, o.Port.AdvertiseAddr())
	if err != nil {
		return fail(err)
	}
	config, err := serfConfig(instanceName(o.Origin, o.Epoch), o.Tags.encode(), o.Port, o.Ring, m.events, o.Logger, o.Meters)
	if err != nil {
		return fail(fmt.Errorf("membership: %w", err))
	}
	if m.serf, err = serf.Create(config); err != nil {
		return fail(fmt.Errorf("membership: %w", err))
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.look()
	m.wg.Go(m.drainEvents)
	m.wg.Go(m.watch)
	m.wg.Go(func() { joins.run(m.ctx) })
	return m, nil
}

// drainEvents only ever sets a flag, so that serf never waits.
func (m *Membership) drainEvents() {
	for {
		select {
		case <-m.events:
			m.poke()
		case <-m.serf.ShutdownCh():
			return
		}
	}
}

func (m *Membership) poke() {
	select {
	case m.dirty <- struct{}{}:
	default:
	}
}

// watch looks at serf's members at every event and every so often.
func (m *Membership) watch() {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-m.dirty:
		case <-ticker.C:
		case <-m.ctx.Done():
			return
		case <-m.serf.ShutdownCh():
			if m.ctx.Err() == nil {
				m.log.Error("membership ended by itself")
				close(m.down)
			}
			return
		}
		m.look()
	}
}

// look makes members of what serf knows now.
func (m *Membership) look() {
	m.looking.Lock()
	defer m.looking.Unlock()
	now := time.Now()
	starts := m.readSerf(now)
	members, superseded := settleMembers(starts)

	m.mu.Lock()
	changed := !sameMembers(members, m.members)
	m.starts, m.members = starts, members
	forgotten := append(m.duePrunes(superseded, now), m.dueForgets(now)...)
	dir, file := "", membersFile{}
	if m.dir != "" && (m.file.update(m.self.origin, members, now) || now.Sub(m.written) > writeEvery) {
		m.written = now
		dir, file = m.dir, m.file
	}
	m.mu.Unlock()

	m.countMembers(members)
	alone := !slices.ContainsFunc(members, func(o Member) bool { return o.Status == StatusAlive && o.Origin != m.self.origin })
	if !alone && !m.asking.Load() {
		m.meet()
	}
	if dir != "" {
		if err := file.write(dir); err != nil {
			m.log.Warn("known members not written", "error", err)
		}
	}
	for _, s := range forgotten {
		// Waits for its broadcast, up to leaveBroadcast.
		m.wg.Go(func() { _ = m.serf.RemoveFailedNodePrune(instanceName(s.origin, s.epoch)) })
	}
	if changed && m.onChange != nil {
		m.onChange(slices.Clone(members))
	}
}

// meet is only called by look, and so never twice at once.
func (m *Membership) meet() {
	select {
	case <-m.met:
	default:
		close(m.met)
	}
}

// readSerf translates serf's members, passing over what is not of this product.
func (m *Membership) readSerf(now time.Time) []Member {
	raw := m.serf.Members()
	starts := make([]Member, 0, len(raw))
	here, _ := m.serf.GetCoordinate()

	m.mu.Lock()
	defer m.mu.Unlock()
	since := make(map[nodeStart]statusSince, len(raw))
	foreign := make(map[string]bool)
	for i := range raw {
		member, err := readMember(&raw[i])
		if err != nil {
			foreign[raw[i].Name] = true
			if !m.foreign[raw[i].Name] {
				m.report.report(ReasonForeignEntry, member.Addr.String(), err)
			}
			continue
		}
		s := m.since[member.start()]
		if s.status != member.Status {
			s = statusSince{member.Status, now}
		}
		since[member.start()] = s
		member.Since = s.since
		if there, ok := m.serf.GetCachedCoordinate(raw[i].Name); ok && here != nil && member.start() != m.self && here.IsCompatibleWith(there) {
			member.RTT = here.DistanceTo(there)
		}
		starts = append(starts, member)
	}
	m.since, m.foreign = since, foreign
	return starts
}

func readMember(raw *serf.Member) (Member, error) {
	var m Member
	ip, _ := netip.AddrFromSlice(raw.Addr)
	m.Addr = netip.AddrPortFrom(ip.Unmap(), raw.Port)
	switch raw.Status {
	case serf.StatusAlive:
		m.Status = StatusAlive
	case serf.StatusLeaving:
		m.Status = StatusLeaving
	case serf.StatusLeft:
		m.Status = StatusLeft
	case serf.StatusFailed:
		m.Status = StatusFailed
	default:
		return m, fmt.Errorf("member status %d: %w", raw.Status, chain.ErrMalformed)
	}
	var err error
	if m.Origin, m.Epoch, err = parseInstanceName(raw.Name); err != nil {
		return m, err
	}
	m.Tags, m.Version, err = decodeTags(raw.Tags)
	return m, err
}

func (m *Membership) countMembers(members []Member) {
	var counts [statusCount]int64
	for _, member := range members {
		counts[member.Status]++
	}
	for s := range counts {
		m.meters.members[s].Store(counts[s])
	}
}
