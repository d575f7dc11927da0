package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"

	"github.com/tidings-mesh/tidings/gossip"
)

func addrText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// noteMembers keeps the members that this node knows: one is forgotten when it
// leaves, when another takes its name or key, or when it is told to. A member
// that failed stays known, over restarts too.
func (n *Node) noteMembers(members []gossip.Member) {
	m := n.mesh
	m.mu.Lock()
	defer m.mu.Unlock()
	was := maps.Clone(m.known)
	defer func() { m.unstored = m.unstored || !maps.Equal(was, m.known) }()
	seen := map[string]bool{}
	for _, member := range members {
		if member.Origin == n.info.Origin || member.Name == n.info.Node {
			continue
		}
		seen[member.Name] = true
		switch member.Status {
		case gossip.StatusLeft:
			delete(m.known, member.Name)
		case gossip.StatusAlive:
			m.met = true
			fallthrough
		default:
			for name, k := range m.known {
				if k.Origin == member.Origin && name != member.Name {
					delete(m.known, name)
				}
			}
			m.known[member.Name] = knownMember{member.Origin, member.Authority}
		}
	}
	for name := range m.failed {
		// It was there as failed, and was taken off the list.
		if !seen[name] {
			delete(m.known, name)
		}
	}
	m.failed = map[string]bool{}
	for _, member := range members {
		if member.Status == gossip.StatusFailed {
			m.failed[member.Name] = true
		}
	}
}

// knownMembers are a copy of them.
func (n *Node) knownMembers() map[string]knownMember {
	n.mesh.mu.Lock()
	defer n.mesh.mu.Unlock()
	return maps.Clone(n.mesh.known)
}

// storeKnown keeps the known members in the store.
func (n *Node) storeKnown() {
	n.mesh.mu.Lock()
	unstored := n.mesh.unstored
	n.mesh.mu.Unlock()
	if unstored {
		ctx, cancel := context.WithTimeout(context.Background(), watchEvery)
		defer cancel()
		_ = n.writer.do(ctx, n.stageKnown) // else at the next look
	}
}

// stageKnown puts the known members into the writer's batch under way, if they
// have changed. It is the writer's, before each batch that may have own updates:
// so whoever is sent one is known after a crash.
func (n *Node) stageKnown() error {
	m := n.mesh
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.unstored {
		return nil
	}
	b, err := json.Marshal(m.known)
	if err != nil {
		return fmt.Errorf("encode known members: %w", err)
	}
	n.writer.ledger.PutPrivate(knownMembers, b)
	m.unstored = false
	return nil
}

// noteCaughtUp ends the first catch-up.
func (n *Node) noteCaughtUp() { n.state.setCaughtUp() }
