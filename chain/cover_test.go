package chain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// A chain that was stopped within a run is signed beyond its end only. What
// leads there is given without bodies, and proves what is good by itself.
func TestCoverOfAChainThatWasStopped(t *testing.T) {
	bad := func() *forger {
		return newForger("a").genesis().status(1, "order/1", `{"a":1}`).status(1, "order/1", `{"a":`).status(1, "order/2", `{"a":2}`)
	}
	good := newForger("b").genesis().status(1, "order/1", `{"b":1}`)
	goodRun := good.run()
	branch := good.copy()
	within := newForger("c").genesis()
	other := within.copy()
	for _, c := range []struct {
		name  string
		runs  []*chain.Run
		after chain.Seq
		links int
	}{
		{"a bad update at the end of a run", []*chain.Run{bad().run()}, 2, 2},
		{"a bad update in a run of its own", []*chain.Run{goodRun, good.status(1, "order/1", `{"b":`).run()}, 2, 0},
		{"no freeze", []*chain.Run{goodRun, branch.status(1, "order/1", `{"b":2}`).run()}, 0, 0},
		{"a fork within a run", []*chain.Run{
			within.status(1, "order/1", `{"c":1}`).run(), other.status(1, "order/1", `{"c":2}`).run(),
		}, 1, 1},
	} {
		p := newParty(t, "honest", "reader")
		for _, r := range c.runs {
			_, err := p.take(t, r.Append(nil), 5000)
			require.NoError(t, err)
		}
		o := c.runs[0].Origin
		info, updates, _, err := p.archive.Page(o, 1, 100)
		require.NoError(t, err)
		cover, err := p.archive.Cover(info)
		require.NoError(t, err)
		require.Equal(t, c.after > 0, info.Frozen != nil, c.name)
		if c.links == 0 {
			require.Nil(t, cover, c.name)
			continue
		}
		require.Equal(t, c.after, info.Frozen.After, c.name)
		require.Equal(t, int(c.after), len(updates), c.name)
		require.Len(t, cover.Links, c.links, c.name)
		require.Equal(t, c.after+chain.Seq(c.links), cover.Seal.Seq, c.name)
		require.NoError(t, cover.Verify(info.Genesis.Key, info.Received), c.name)
		wrong := info.Received
		wrong.Hash[0]++
		require.ErrorIs(t, cover.Verify(info.Genesis.Key, wrong), chain.ErrSignature, c.name)
		cover.Links[0].Body[0]++
		require.ErrorIs(t, cover.Verify(info.Genesis.Key, info.Received), chain.ErrSignature, c.name)
	}
}
