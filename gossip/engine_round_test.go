package gossip

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// Rounds are beaconEvery apart, the next one is never now, and a peer has one of ten.
func TestRounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 3))
	for range 200 {
		e := NewEngine(At{}, EngineConfig{Self: randomOrigin(rng)})
		p := &peer{origin: randomOrigin(rng)}
		e.at.Mono = time.Duration(rng.Int64N(int64(time.Hour)))
		now := e.at.Mono
		round := e.nextRound()
		require.Greater(t, round, now)
		require.LessOrEqual(t, round, now+beaconEvery)
		ping := e.nextPing(p)
		require.Greater(t, ping, now)
		require.LessOrEqual(t, ping, now+pingEvery)
		require.Zero(t, (ping-round)%beaconEvery, "a ping goes out in a round")

		e.at.Mono = round
		require.Equal(t, round+beaconEvery, e.nextRound())
		e.at.Mono = ping + 3*time.Millisecond // it came late
		require.Equal(t, ping+pingEvery, e.nextPing(p))
	}
}

// Neither are the rounds of many nodes in one moment, nor the pings of a node in one round.
func TestRoundsAreSpread(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 4))
	const nodes = 1000
	phases := map[int]int{} // by tenth of a round
	rounds := map[time.Duration]int{}
	e := NewEngine(At{}, EngineConfig{Self: randomOrigin(rng)})
	for range nodes {
		o := randomOrigin(rng)
		phases[int(phaseOf(o)*10/beaconEvery)]++
		rounds[e.nextPing(&peer{origin: o})]++
	}
	require.Len(t, phases, 10)
	require.Len(t, rounds, pingRounds)
	for tenth, n := range phases {
		require.InDelta(t, nodes/10, n, nodes/20, "rounds in tenth %d", tenth)
	}
	for at, n := range rounds {
		require.InDelta(t, nodes/pingRounds, n, nodes/20, "pings at %v", at)
	}
}

func randomOrigin(rng *rand.Rand) (o chain.Origin) {
	for i := range o {
		o[i] = byte(rng.Uint32())
	}
	return o
}
