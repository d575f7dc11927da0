package node

import (
	"context"
	"encoding/json"
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
			m.known[member.Name] = knownMember{member.Origin}
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

// storeKnown keeps the known members in the store.
func (n *Node) storeKnown() {
	m := n.mesh
	m.mu.Lock()
	b, err := json.Marshal(m.known)
	same := string(b) == m.stored
	m.mu.Unlock()
	if err != nil || same {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), watchEvery)
	defer cancel()
	if n.writer.do(ctx, func() error { n.writer.ledger.PutPrivate(knownMembers, b); return nil }) == nil {
		m.mu.Lock()
		m.stored = string(b)
		m.mu.Unlock()
	}
}

// noteCaughtUp ends the first catch-up.
func (n *Node) noteCaughtUp() { n.state.setCaughtUp() }
