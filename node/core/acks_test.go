package core_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node/core"
)

// A member that lost its disk acknowledges again under its new origin, and is
// still one.
func TestAcksCountNodesNotOrigins(t *testing.T) {
	self, old, next, other := chain.Origin{9}, chain.Origin{1}, chain.Origin{2}, chain.Origin{3}
	known, err := core.DecodeKnown(nil)
	require.NoError(t, err)
	member := func(o chain.Origin, name string) gossip.Member {
		return gossip.Member{Origin: o, Status: gossip.StatusAlive, Tags: gossip.Tags{Name: name}}
	}
	acks := core.Acks{}
	require.True(t, acks.Note(old, 7))
	require.False(t, acks.Note(old, 7), "no news")
	require.Zero(t, acks.Count(7, known.Origins()), "nobody is known yet")
	known.Note(self, "self", []gossip.Member{member(old, "b"), member(other, "c")})
	require.Equal(t, 1, acks.Count(7, known.Origins()))
	require.Zero(t, acks.Count(8, known.Origins()))
	known.Note(self, "self", []gossip.Member{member(next, "b"), member(other, "c")})
	require.Zero(t, acks.Count(7, known.Origins()), "it was lost with the disk")
	require.True(t, acks.Note(next, 7))
	require.Equal(t, 1, acks.Count(7, known.Origins()))
}
