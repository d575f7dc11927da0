package chain_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// scans counts the ranges that are read of a store.
type scans struct {
	chain.Store
	n int
}

func (s *scans) Scan(lo, hi []byte) chain.Iterator {
	s.n++
	return s.Store.Scan(lo, hi)
}

// Whether what a consumer is shown comes from memory or from the store cannot be
// told by it, wherever it stands, and after a chain was stopped. One who is up to
// date costs the store nothing.
func TestFeedOfWhatIsRecent(t *testing.T) {
	p := newParty(t, "reader", "reader")
	counted := &scans{Store: p.store}
	ledger, err := chain.NewLedger(counted, chain.Config{Key: testKey("reader"), Node: "reader", Authority: "reader"}, 0)
	require.NoError(t, err)
	p.ledger, p.archive = ledger, chain.NewArchive(ledger)
	var authors []*forger
	for i := range 3 {
		authors = append(authors, newForger(fmt.Sprint(i)).genesis())
	}
	random := rand.New(rand.NewPCG(1, 2))
	read := func(from chain.Cursor, a *chain.Archive) (updates []*chain.Update, at chain.Cursor) {
		for {
			page, err := a.Feed(from, chain.Filter{}, 50, nil)
			require.NoError(t, err)
			updates, from = append(updates, page.Updates...), page.Cursor
			if page.UpToDate {
				return updates, from
			}
		}
	}
	var at chain.Cursor
	cursors := []chain.Cursor{{}}
	var before *forger
	for round := range 300 {
		for i, f := range authors {
			for range random.IntN(4) {
				f.status(1, fmt.Sprintf("order/%d", random.IntN(5)), string(benchDelta(round)))
			}
			if i == 0 && round == 250 {
				before = f.copy()
			}
			if len(f.entries) > 0 {
				p.accept(t, f.run(), 1_000_000)
			}
		}
		if before != nil && round == 250 {
			before.status(1, "order/1", `{"forked":true}`)
			p.accept(t, before.run(), 1_000_000)
		}
		scanned := counted.n
		_, at = read(at, p.archive)
		if round > 0 && (round < 250 || round > 252) {
			require.Equal(t, scanned, counted.n, "round %d: a consumer who is up to date reads the store", round)
		}
		cursors = append(cursors, at)
		if round%10 == 0 {
			from := cursors[random.IntN(len(cursors))]
			got, end := read(from, p.archive)
			want, wantEnd := read(from, chain.NewArchive(ledger))
			require.Equal(t, wantEnd, end)
			require.Equal(t, want, got)
		}
	}
	require.NotNil(t, ledger.Frozen(authors[0].origin), "the chain that was to be stopped")
}
