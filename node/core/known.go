package core

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// KnownRecord is the name of the store's private record of known members.
const KnownRecord = "members"

// Known are the members that a node knows, over restarts too: one is forgotten
// when it leaves, when another takes its name or key, or when it is told to. A
// member that failed stays known.
type Known struct {
	members map[string]KnownMember // by name
	failed  map[string]bool        // as membership last said
	met     bool                   // another member was seen alive
	changed bool                   // since Encode
}

// KnownMember is a member that the store remembers.
type KnownMember struct {
	Origin    chain.Origin   `json:"origin"`
	Authority string         `json:"authority,omitempty"`
	Addr      netip.AddrPort `json:"addr,omitzero"` // of the mesh, where it was last; zero on a hub
}

// DecodeKnown reads the store's record; nil is nobody.
func DecodeKnown(record []byte) (*Known, error) {
	k := &Known{members: map[string]KnownMember{}, failed: map[string]bool{}}
	if record == nil {
		return k, nil
	}
	if err := json.Unmarshal(record, &k.members); err != nil {
		return nil, fmt.Errorf("known members: %w: %w", chain.ErrCorrupt, err)
	}
	return k, nil
}

// Encode returns the record to be stored, if anything has changed since the
// last call. What it returns must be stored.
func (k *Known) Encode() (record []byte, changed bool, err error) {
	if !k.changed {
		return nil, false, nil
	}
	record, err = json.Marshal(k.members)
	if err != nil {
		return nil, false, fmt.Errorf("encode known members: %w", err)
	}
	k.changed = false
	return record, true, nil
}

// Note takes what membership says of the others. self and name are this node's.
func (k *Known) Note(self chain.Origin, name string, members []gossip.Member) {
	was := maps.Clone(k.members)
	seen := map[string]bool{}
	for _, m := range members {
		if m.Origin == self || m.Name == name {
			continue
		}
		seen[m.Name] = true
		switch m.Status {
		case gossip.StatusLeft:
			delete(k.members, m.Name)
		case gossip.StatusAlive:
			k.met = true
			fallthrough
		default:
			maps.DeleteFunc(k.members, func(name string, of KnownMember) bool { return of.Origin == m.Origin && name != m.Name })
			k.members[m.Name] = KnownMember{m.Origin, m.Authority, m.Addr}
		}
	}
	for name := range k.failed {
		if !seen[name] {
			delete(k.members, name) // it was there as failed, and was taken off the list
		}
	}
	clear(k.failed)
	for _, m := range members {
		if m.Status == gossip.StatusFailed {
			k.failed[m.Name] = true
		}
	}
	k.changed = k.changed || !maps.Equal(was, k.members)
}

// Forget drops a member, and reports whether it was known.
func (k *Known) Forget(name string) bool {
	_, ok := k.members[name]
	delete(k.members, name)
	k.changed = k.changed || ok
	return ok
}

// Has reports whether a member of this name is known.
func (k *Known) Has(name string) bool { _, ok := k.members[name]; return ok }

// Len is the number of known members, without this node.
func (k *Known) Len() int { return len(k.members) }

// Met reports whether another member was seen alive since the start.
func (k *Known) Met() bool { return k.met }

// Members is a copy of the known members, by name.
func (k *Known) Members() map[string]KnownMember { return maps.Clone(k.members) }

// Origins are the known members' origins, in order.
func (k *Known) Origins() []chain.Origin {
	out := make([]chain.Origin, 0, len(k.members))
	for _, m := range k.members {
		out = append(out, m.Origin)
	}
	slices.SortFunc(out, chain.Origin.Compare)
	return out
}
