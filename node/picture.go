package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node/api"
	"github.com/tidings-mesh/tidings/node/core"
)

// members are the members of the mesh, this node first. Those that are known
// from an earlier start, and were not seen since, have failed.
func (n *Node) members() []api.Member {
	self := api.Member{
		Name: n.info.Node, Authority: n.info.Authority, Origin: n.info.Origin, Addr: n.Addr(), HTTP: n.cfg.AdvertiseHTTP,
		Status: gossip.StatusAlive.String(), Zone: n.cfg.Zone, Root: n.archive.Summary().Root,
	}
	if n.mesh == nil {
		return []api.Member{self}
	}
	if c := n.compared(); core.ClockIsOff(c, n.cfg.MaxClockSkew) {
		self.ClockOffMs = c.Offset.Milliseconds()
	}
	out := []api.Member{self}
	n.mesh.mu.Lock()
	unseen := n.mesh.known.Members()
	n.mesh.mu.Unlock()
	for _, m := range n.mesh.exchange.Members() {
		delete(unseen, m.Name)
		if m.Self {
			continue
		}
		out = append(out, api.Member{
			Name: m.Name, Authority: m.Authority, Origin: m.Origin, Addr: addrText(m.Addr), HTTP: m.HTTP, Status: m.Status.String(),
			Zone: m.Zone, RTTMs: float64(m.RTT.Microseconds()) / 1000, Root: m.Root, Behind: m.Behind, ClockOffMs: n.clockOff(m).Milliseconds(),
		})
	}
	for name, k := range unseen {
		out = append(out, api.Member{Name: name, Authority: k.Authority, Origin: k.Origin, Addr: addrText(k.Addr), Status: gossip.StatusFailed.String()})
	}
	slices.SortFunc(out[1:], func(a, b api.Member) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.Origin.Compare(b.Origin)) })
	return out
}

// Addr is the host:port of the mesh that the node listens on, "" if it is
// alone or on a hub.
func (n *Node) Addr() string {
	if n.mesh == nil || n.mesh.transport == nil {
		return ""
	}
	mesh := n.mesh.transport.Mesh()
	if mesh == nil {
		return "" // it has not joined yet
	}
	return mesh.Port.Addr().String()
}

func (n *Node) knownHead(o chain.Origin) chain.Seq {
	if n.mesh == nil {
		return 0
	}
	return n.mesh.exchange.KnownHead(o)
}

// Converged reports whether nothing is held here, everything that a live
// member reported more than a second ago is applied, each of them was heard
// within 3 s, and they are, with this node, more than half of the members that
// it knows. The answer may be 20 ms old.
func (n *Node) Converged() bool {
	if n.mesh == nil {
		return n.waiting() == 0
	}
	if c := n.mesh.conv.Load(); c != nil && n.now().Sub(c.at) < convergedFor {
		return c.is
	}
	c := &convergence{is: n.converged(), at: n.now()}
	n.mesh.conv.Store(c)
	return c.is
}

func (n *Node) converged() bool {
	m := n.mesh
	m.mu.Lock()
	known, met := m.known.Len()+1, m.known.Met()
	m.mu.Unlock()
	if m.told && !met {
		return false
	}
	return m.exchange.Converged(n.waiting(), known)
}

// waiting is the number of chains that are not applied as far as they are here.
func (n *Node) waiting() int {
	s := n.archive.Summary()
	if s.Pending {
		return len(s.Held) + 1
	}
	return len(s.Held)
}

func (n *Node) progress() (have, want uint64) {
	if n.mesh == nil {
		have = n.archive.Summary().Updates
		return have, have
	}
	p := n.mesh.exchange.Progress()
	return p.Have, p.Want
}

// heardFrom is how long ago the least recently heard of the authorities was
// heard: by a stream from one of its nodes, else by the newest update of it.
// Both are looked at every 50 ms.
func (n *Node) heardFrom(authorities []string) time.Duration {
	oldest := time.Duration(0)
	for _, a := range authorities {
		if a == n.info.Authority {
			continue
		}
		l := n.listened()
		if ago, ok := l.streams[a]; ok {
			oldest = max(oldest, ago+n.now().Sub(l.at))
		} else if newest := n.newest(l, a); !newest.IsZero() {
			oldest = max(oldest, n.clock().Sub(newest))
		}
	}
	return oldest
}

// listening is who was heard when, as of a moment.
type listening struct {
	at      time.Time
	members []gossip.MemberState
	streams map[string]time.Duration // by authority: how long before at the latest of its members was heard
	updates sync.Map                 // by authority: the time of its newest update, of those that were asked for
}

// listenedFor is how long a look at the streams stands: every view tells how
// old it may be, and a look costs a question to the engine.
const listenedFor = 50 * time.Millisecond

func (n *Node) listened() *listening {
	if l := n.listening.Load(); l != nil && n.now().Sub(l.at) < listenedFor {
		return l
	}
	l := &listening{at: n.now(), streams: map[string]time.Duration{}}
	if n.mesh != nil {
		l.members = n.mesh.exchange.Members()
	}
	for _, m := range l.members {
		if was, ok := l.streams[m.Authority]; m.Heard >= 0 && (!ok || m.Heard < was) {
			l.streams[m.Authority] = m.Heard
		}
	}
	n.listening.Store(l)
	return l
}

// newest is the time of an authority's newest update here, zero for none.
func (n *Node) newest(l *listening, authority string) (newest time.Time) {
	if at, ok := l.updates.Load(authority); ok {
		return at.(time.Time)
	}
	for _, c := range n.archive.Chains() {
		if c.Genesis.Authority != authority {
			continue
		}
		u, err := n.archive.Update(chain.ID{Origin: c.Applied.Origin, Seq: c.Applied.Seq})
		if err == nil && u.HLC.Time().After(newest) {
			newest = u.HLC.Time()
		}
	}
	l.updates.Store(authority, newest)
	return newest
}

// Forget makes the mesh forget a member that left or failed, by its name: it counts
// no more for what is converged. A member that comes back is one again.
//
// Errors: [api.ErrAlive] for one that is up, this node among them, and
// [api.ErrNotFound].
func (n *Node) Forget(_ context.Context, name string) error {
	if name == n.info.Node {
		return fmt.Errorf("%w: %q is this node", api.ErrAlive, name)
	}
	if n.mesh == nil {
		return fmt.Errorf("member %q: %w", name, api.ErrNotFound)
	}
	err := n.mesh.exchange.Forget(name)
	n.mesh.mu.Lock()
	remembered := n.mesh.known.Has(name)
	if err == nil || errors.Is(err, gossip.ErrNoMember) {
		n.mesh.known.Forget(name)
	}
	n.mesh.mu.Unlock()
	switch {
	case errors.Is(err, gossip.ErrMemberAlive):
		return fmt.Errorf("%w: %q", api.ErrAlive, name)
	case errors.Is(err, gossip.ErrNoMember) && remembered:
		return nil
	case errors.Is(err, gossip.ErrNoMember):
		return fmt.Errorf("member %q: %w", name, api.ErrNotFound)
	}
	return err
}
