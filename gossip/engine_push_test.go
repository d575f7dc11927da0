package gossip

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// Runs that leave together are one, as far as one run goes.
func TestJoinRuns(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := key.Public().(ed25519.PublicKey)
	head := chain.Head{Origin: chain.OriginOf(public)}
	var runs []Run
	for range 21 {
		body := bytes.Repeat([]byte{'x'}, 60_000)
		if head.Seq == 0 {
			g := chain.Genesis{Key: public, Node: "n", Authority: "a"}
			body = g.AppendBody(nil)
		}
		r := &chain.Run{Origin: head.Origin, First: head.Seq + 1, Prev: head.Hash, Entries: []chain.Entry{{Header: []byte{0x90}, Body: body}}}
		head.Seq, head.Hash = r.First, chain.HashUpdate(head.Hash, []byte{0x90}, body)
		r.Signature = chain.Sign(key, head)
		runs = append(runs, Run{Origin: head.Origin, First: head.Seq, Last: head.Seq, Hash: head.Hash, Encoded: r.Append(nil)})
	}
	require.Equal(t, runs[:1], joinRuns(runs[:1]))
	joined := joinRuns(runs)
	require.Len(t, joined, 3)
	next := chain.Seq(1)
	for _, of := range joined {
		require.Equal(t, next, of.First)
		next = of.Last + 1
		require.Equal(t, runs[of.Last-1].Hash, of.Hash)
		require.LessOrEqual(t, len(of.Encoded), chain.MaxRun)
		r, err := chain.DecodeRun(of.Encoded)
		require.NoError(t, err)
		require.Equal(t, of.Encoded, r.Append(nil))
		require.NoError(t, r.Verify(public))
		require.Equal(t, chain.Head{Origin: of.Origin, Seq: of.Last, Hash: of.Hash}, r.Head())
	}
	require.Equal(t, chain.Seq(22), next)

	// What does not follow stays apart, and so does what is no run.
	require.Equal(t, []Run{runs[1], runs[3]}, joinRuns([]Run{runs[1], runs[3]}))
	none := []Run{{First: 1, Last: 1, Encoded: []byte{1}}, {First: 2, Last: 2, Encoded: []byte{2}}}
	require.Equal(t, none, joinRuns(none))
}
