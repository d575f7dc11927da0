package gossip

import (
	"crypto/ed25519"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// emptyLedger has nothing.
type emptyLedger struct{ Ledger }

func (emptyLedger) Heads() []chain.Head                        { return nil }
func (emptyLedger) Applied() []chain.Head                      { return nil }
func (emptyLedger) Frozen() []chain.ID                         { return nil }
func (emptyLedger) SyncRoot() chain.Hash                       { return chain.Hash{} }
func (emptyLedger) Key(chain.Origin) (ed25519.PublicKey, bool) { return nil, false }

// endedStream is one that ends as soon as it is read.
type endedStream struct{ peer chain.Origin }

func (s endedStream) Peer() chain.Origin             { return s.peer }
func (endedStream) PeerKey() ed25519.PublicKey       { return nil }
func (endedStream) ReadFrame([]byte) ([]byte, error) { return nil, errors.New("ended") }
func (endedStream) WriteFrames([]*OutFrame) error    { return nil }
func (endedStream) Close() error                     { return nil }

// Nodes that membership never tells of, each with a new key, leave nothing
// behind; a member is remembered for its next stream.
func TestStrangersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := NewHub()
		key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
		x := NewExchange(Config{Self: chain.OriginOf(key), Transport: hub.Transport(key, Tags{Name: "a"})}, emptyLedger{})
		require.NoError(t, x.Open(t.Context()))
		defer x.Close()
		member := chain.Origin{1, 1}
		x.membersChanged([]Member{{Origin: member, Status: StatusAlive}})
		began := time.Now()
		for i := range 1000 {
			x.serve(endedStream{chain.Origin{2, byte(i), byte(i >> 8)}})
		}
		require.Equal(t, 1000*strangersLinger, time.Since(began), "each keeps its place for a while")
		began = time.Now()
		x.serve(endedStream{member})
		require.Zero(t, time.Since(began))
		var peers []PeerState
		x.ask(func(At) { peers = x.engine.Peers() })
		require.Len(t, peers, 1)
		require.Equal(t, member, peers[0].Origin)
	})
}

// A flood of made-up chains, none of which the ledger takes, leaves a bounded
// number of keys behind.
func TestKeysOfMadeUpChainsAreBounded(t *testing.T) {
	x := NewExchange(Config{Transport: NewHub().Transport(make(ed25519.PublicKey, ed25519.PublicKeySize), Tags{Name: "a"})}, emptyLedger{})
	defer x.Close()
	l := &linkLoop{link: endedStream{chain.Origin{1}}}
	const flood = 2 * pendingKeysMost
	genesis := func(i int) *chain.Run {
		seed := make([]byte, ed25519.SeedSize)
		seed[0], seed[1] = byte(i), byte(i>>8)
		key := ed25519.NewKeyFromSeed(seed)
		public := key.Public().(ed25519.PublicKey)
		tail := chain.Tail{Head: chain.Head{Origin: chain.OriginOf(public)}}
		g := chain.Genesis{Key: public, Node: "n", Authority: "a"}
		e := tail.Extend(&chain.Update{Kind: chain.KindGenesis, HLC: chain.HLCOf(1), Delta: g.AppendBody(nil)})
		return &chain.Run{Origin: tail.Origin, First: 1, Entries: []chain.Entry{e}, Signature: chain.Sign(key, tail.Head)}
	}
	for i := range flood {
		for range 2 {
			known, err := x.verifyRun(l, genesis(i))
			require.NoError(t, err)
			require.True(t, known)
		}
	}
	require.Len(t, x.keys.keys, pendingKeysMost)
	require.Len(t, x.keys.ring, pendingKeysMost)
	require.Nil(t, x.key(l, genesis(0).Origin))
	for i := flood - pendingKeysMost; i < flood; i++ {
		require.NotNil(t, x.key(l, genesis(i).Origin))
	}
}
