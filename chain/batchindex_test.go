package chain

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A batch's index does what a map would do, in whichever order it is asked, and keeps no more
// room from one batch to the next than the bound.
func TestBatchIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 26))
	var index batchIndex
	for batch := range 200 {
		want := map[ID][]byte{}
		for range rng.IntN(300) {
			id := ID{Origin{byte(rng.IntN(3))}, Seq(rng.IntN(40))}
			switch rng.IntN(6) {
			case 0:
				index.takeBack(id)
				want[id] = nil
			case 1, 2:
				entry, ok := index.get(id)
				have, there := want[id]
				require.Equal(t, there, ok)
				require.Equal(t, have, entry)
				require.Equal(t, have == nil, entry == nil)
			default:
				entry := fmt.Appendf(nil, "%d of %d", id.Seq, batch)
				index.add(id, entry)
				want[id] = entry
			}
		}
		for id, entry := range want {
			got, ok := index.get(id)
			require.True(t, ok)
			require.Equal(t, entry, got)
		}
		index = index.next()
		_, ok := index.get(ID{Origin{1}, 1})
		require.False(t, ok)
	}
	for i := range 2 * roomKept {
		index.takeBack(ID{Seq: Seq(i)})
	}
	require.Nil(t, index.next().byID)
}
