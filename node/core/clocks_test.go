package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node/core"
)

func TestTimeLimit(t *testing.T) {
	const now, skew = int64(1_700_000_000_000), 10 * time.Second
	year := 365 * 24 * time.Hour
	for _, c := range []struct {
		name       string
		clock      gossip.Clock
		catchingUp bool
		want       int64
	}{
		{"two clocks say nothing", gossip.Clock{Count: 2, Offset: year}, false, 0},
		{"while it catches up it goes by its own", gossip.Clock{}, true, now + 10_000},
		{"after the median of three", gossip.Clock{Count: 3, Offset: time.Minute}, false, now - 60_000 + 10_000},
		{"of three, catching up or not", gossip.Clock{Count: 3, Offset: -time.Minute}, true, now + 60_000 + 10_000},
		{"never none by a clock far ahead", gossip.Clock{Count: 3, Offset: 60 * year}, false, 1},
	} {
		require.Equal(t, c.want, core.TimeLimit(now, c.clock, c.catchingUp, skew), c.name)
	}
	require.False(t, core.ClockIsOff(gossip.Clock{Count: 2, Offset: year}, skew))
	require.False(t, core.ClockIsOff(gossip.Clock{Count: 3, Offset: -skew / 2}, skew))
	require.True(t, core.ClockIsOff(gossip.Clock{Count: 3, Offset: -skew/2 - 1}, skew))
}

// A clock that was set is off at once, whichever way and however far.
func TestReadingOfAClockThatIsSet(t *testing.T) {
	year := 365 * 24 * time.Hour
	r := core.Reading{Clock: gossip.Clock{Count: 3, Offset: time.Second}, At: gossip.At{Mono: time.Minute, Wall: 1_700_000_000_000}}
	later := func(set time.Duration) gossip.At {
		return gossip.At{Mono: r.At.Mono + 5*time.Second, Wall: r.At.Wall + 5000 + set.Milliseconds()}
	}
	require.Equal(t, r.Clock, r.Now(later(0)))
	require.Equal(t, gossip.Clock{Count: 3, Offset: time.Second + year}, r.Now(later(year)))
	require.Equal(t, gossip.Clock{Count: 3, Offset: time.Second - year}, r.Now(later(-year)))
	require.Greater(t, r.Now(gossip.At{Wall: 1<<62 - 1}).Offset, 99*year)
}

// More than half of the known members must have applied it, and this node,
// which has not, is one of them.
func TestAdmissible(t *testing.T) {
	o := func(n byte) chain.Origin { return chain.Origin{n} }
	others := []chain.Origin{o(1), o(2), o(3), o(4)}
	applied := map[chain.Origin]chain.Seq{o(1): 9, o(2): 7}
	require.Zero(t, core.Admissible(applied, others), "2 of 5")
	applied[o(9)] = 9
	require.Zero(t, core.Admissible(applied, others), "a stranger does not count")
	applied[o(3)] = 3
	require.Equal(t, chain.Seq(3), core.Admissible(applied, others), "3 of 5 have so much")
	applied[o(4)] = 8
	require.Equal(t, chain.Seq(7), core.Admissible(applied, others))
	require.Zero(t, core.Admissible(map[chain.Origin]chain.Seq{o(1): 9}, others[:1]), "1 of 2 is not most")
	require.Equal(t, chain.Seq(4), core.Admissible(map[chain.Origin]chain.Seq{o(1): 9, o(2): 4}, others[:2]), "2 of 3")
	require.Zero(t, core.Admissible(map[chain.Origin]chain.Seq{o(1): 9, o(2): 4}, others[:3]), "2 of 4 is not most")
	require.Zero(t, core.Admissible(nil, nil))
}

func TestClocksMet(t *testing.T) {
	require.False(t, core.ClocksMet(gossip.Clock{Count: 1}, 0), "nobody is there yet")
	require.False(t, core.ClocksMet(gossip.Clock{Count: 1}, 1))
	require.True(t, core.ClocksMet(gossip.Clock{Count: 2}, 1), "there is nobody else")
	require.False(t, core.ClocksMet(gossip.Clock{Count: 2}, 2))
	require.True(t, core.ClocksMet(gossip.Clock{Count: 3}, 9), "three tell which is wrong")
}
