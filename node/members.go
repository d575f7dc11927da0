package node

import (
	"context"
	"net/netip"

	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node/core"
)

func addrText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// noteMembers takes what membership says.
func (n *Node) noteMembers(members []gossip.Member) {
	n.mesh.mu.Lock()
	defer n.mesh.mu.Unlock()
	n.mesh.known.Note(n.info.Origin, n.info.Node, members)
	n.mesh.ackMoved() // who acknowledged may only now be known
}

// storeKnown keeps the known members in the store. What fails is tried again at
// the next look.
func (n *Node) storeKnown() {
	ctx, cancel := context.WithTimeout(context.Background(), watchEvery)
	defer cancel()
	_ = n.writer.do(ctx, n.stageKnown)
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
	record, changed, err := m.known.Encode()
	if err == nil && changed {
		n.ledger.PutPrivate(core.KnownRecord, record)
	}
	return err
}

// noteCaughtUp ends the first catch-up.
func (n *Node) noteCaughtUp() { n.state.setCaughtUp() }
