package chain_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

// drawChain is the chain of a party in runs of random lengths, of updates of
// random sizes, on a ledger that has all of it.
func drawChain(t *rapid.T) (*party, chain.Origin) {
	p, f := newParty(t, "server", "reader"), newForger("served").genesis()
	for i := range rapid.IntRange(1, 12).Draw(t, "runs") {
		size := 0
		for j := range rapid.IntRange(1, 9).Draw(t, "entries") {
			pad := rapid.SampledFrom([]int{0, 1, 200, 3000, 64_000}).Draw(t, "pad")
			if size += pad + 600; size > 500_000 {
				break
			}
			f.status(1, testSubjects[(i+j)%3], fmt.Sprintf(`{"a":%d,"pad":"%s"}`, 10*i+j, strings.Repeat("x", pad)))
		}
		p.accept(t, f.run(), 5000)
	}
	return p, f.origin
}

// A served range begins anywhere and ends at a seal; whatever ranges a fresh
// ledger is served, it comes to the same chain.
func TestRunsReassemble(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, o := drawChain(t)
		head := p.ledger.Head(o)
		info, ok := p.archive.Info(o)
		require.True(t, ok)
		q := newParty(t, "asker", "reader")
		for q.ledger.Head(o).Seq < head.Seq {
			have := q.ledger.Head(o).Seq
			from := chain.Seq(rapid.Uint64Range(0, uint64(have)+1).Draw(t, "from"))
			size := rapid.SampledFrom([]int{0, 1, 1000, 70_000, 300_000, 1 << 20, 1 << 30}).Draw(t, "size")
			encoded, err := p.archive.Runs(o, from, size)
			require.NoError(t, err)
			require.NotEmpty(t, encoded)
			total, next := 0, max(from, 1)
			for _, b := range encoded {
				require.LessOrEqual(t, len(b), chain.MaxRun)
				total += len(b)
				r, err := chain.DecodeRun(b)
				require.NoError(t, err)
				require.NoError(t, r.Verify(info.Genesis.Key))
				require.Equal(t, next, r.First, "in order, without holes")
				next = r.Last() + 1
				out, err := q.ledger.Accept(r, 5000)
				require.NoError(t, err)
				require.NoError(t, out.Err)
				require.Contains(t, []chain.Verdict{chain.Accepted, chain.Duplicate}, out.Verdict)
				if rapid.Bool().Draw(t, "flush") {
					q.flush(t, 5000)
				}
			}
			if len(encoded) > 1 {
				require.LessOrEqual(t, total, size)
			}
			if next <= head.Seq {
				// It stopped because more did not fit, up to the bounds' slack.
				rest, err := p.archive.Runs(o, next, 0)
				require.NoError(t, err)
				require.Greater(t, total+len(rest[0])+200+8*9, size)
			}
			if have == q.ledger.Head(o).Seq {
				// Nothing new came of that range: go on from the end.
				more, err := p.archive.Runs(o, have+1, 1)
				require.NoError(t, err)
				r, err := chain.DecodeRun(more[0])
				require.NoError(t, err)
				require.NoError(t, r.Verify(info.Genesis.Key))
				_, err = q.ledger.Accept(r, 5000)
				require.NoError(t, err)
			}
		}
		q.flush(t, 5000)
		require.Equal(t, p.everything(t, testSubjects), q.everything(t, testSubjects))
		// And what the asker serves from there is the same chain once more.
		again, err := q.archive.Runs(o, 1, 1<<30)
		require.NoError(t, err)
		z := newParty(t, "third", "reader")
		for _, b := range again {
			r, err := chain.DecodeRun(b)
			require.NoError(t, err)
			require.Equal(t, chain.Accepted, z.accept(t, r, 5000).Verdict)
		}
		require.Equal(t, p.ledger.Root(), z.ledger.Root())
	})
}

// A run that is larger than what was asked for is served alone; what follows
// it does not ride along.
func TestRunsKeepToTheirSize(t *testing.T) {
	p, f := newParty(t, "server", "reader"), newForger("served").genesis()
	pad := strings.Repeat("x", 60_000)
	var first []byte
	for i := range 3 {
		f.status(1, "order/1", fmt.Sprintf(`{"a":%d}`, i))
		r := f.run()
		if i == 0 {
			first = r.Append(nil)
		}
		p.mustTake(t, r)
		for j := range 8 {
			f.status(1, "order/1", fmt.Sprintf(`{"b":"%s%d%d"}`, pad, i, j))
		}
		p.mustTake(t, f.run())
	}
	for size := len(first) - 20; size < len(first)+60; size++ {
		runs, err := p.archive.Runs(f.origin, 1, size)
		require.NoError(t, err)
		require.Equal(t, [][]byte{first}, runs, size)
	}
	for from := range chain.Seq(30) {
		runs, err := p.archive.Runs(f.origin, from, 600_000)
		require.NoError(t, err)
		total := 0
		for _, b := range runs {
			total += len(b)
		}
		require.LessOrEqual(t, total, 600_000)
		require.Equal(t, from > 28, len(runs) == 0)
	}
	runs, err := p.archive.Runs(chain.Origin{1}, 1, 1000)
	require.NoError(t, err)
	require.Empty(t, runs)
}

// Short runs are served as one, so that a catch-up needs one signature for
// each chunk.
func TestRunsJoinShortOnes(t *testing.T) {
	p := newParty(t, "server", "warehouse")
	for i := range 300 {
		p.publish(t, int64(1000+i), chain.Draft{Subject: "order/1", Delta: fmt.Appendf(nil, `{"a":%d}`, i)})
	}
	require.Len(t, p.runs, 300)
	runs, err := p.archive.Runs(p.ledger.Origin(), 1, 1<<20)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	_, updates, seals, err := p.archive.Page(p.ledger.Origin(), 1, 1000)
	require.NoError(t, err)
	require.Len(t, updates, 301)
	require.GreaterOrEqual(t, len(seals), 10)
	for _, s := range seals {
		require.NoError(t, chain.VerifySeal(public(p.config.Key), chain.Head{Origin: p.ledger.Origin(), Seq: s.Seq, Hash: updates[s.Seq-1].Hash}, s.Signature))
	}
	prev := chain.Hash{}
	for _, u := range updates {
		require.Equal(t, prev, u.Prev)
		require.Equal(t, u.Hash, chain.HashUpdate(u.Prev, u.Header, u.Delta))
		prev = u.Hash
	}
}

// A batch that is too large for one run is sealed in several, and all of it
// arrives.
func TestBatchOfManyRuns(t *testing.T) {
	p := newParty(t, "writer", "warehouse")
	for i := range 30 {
		prepared, err := chain.Prepare(chain.Draft{Subject: "order/1", Delta: fmt.Appendf(nil, `{"a":%d,"b":"%060000d"}`, i, i)})
		require.NoError(t, err)
		_, err = p.ledger.Append(prepared, 1000)
		require.NoError(t, err)
	}
	p.flush(t, 1000)
	require.Greater(t, len(p.runs), 3)
	q := newParty(t, "reader", "reader")
	for _, r := range p.runs {
		require.LessOrEqual(t, len(r.Append(nil)), chain.MaxRun)
		q.accept(t, r, 5000)
	}
	require.Equal(t, p.ledger.Root(), q.ledger.Root())
	state, err := q.archive.View(context.Background(), "order/1")
	require.NoError(t, err)
	require.Equal(t, uint64(30), state.Updates())
}

// One update may be what a great many wait for. A batch takes so much of them
// and no more, and in the end all is as if they had come in order.
func TestCascadeIsBounded(t *testing.T) {
	dep := newForger("dep").genesis().status(1, "order/2", `{"a":1}`).run()
	f := newForger("a").genesis().status(100, "order/1", `{"n":0}`, fresh(0, dep.Origin, 2)...)
	runs := []*chain.Run{f.run()}
	const n, each, most = 640, 60_000, 32 << 20
	pad := strings.Repeat("x", each)
	for i := range n {
		f.status(1, "order/1", fmt.Sprintf(`{"n":%d,"pad":"%s"}`, i, pad))
		if i%8 == 7 {
			runs = append(runs, f.run())
		}
	}
	last := newForger("last").genesis().status(9000, "order/1", `{"n":-1}`, fresh(0, f.origin, uint64(f.seq))...).run()
	p, q := newParty(t, "one", "reader"), newParty(t, "two", "reader")
	for _, r := range append(runs, last) {
		p.mustTake(t, r)
	}
	require.Len(t, p.ledger.Held(), 2)
	_, err := p.ledger.Accept(wireCopy(t, dep, nil), 5000)
	require.NoError(t, err)
	batches := 0
	for {
		effects := p.flush(t, 5000)
		batches++
		size := 0
		for _, u := range effects.Applied {
			size += len(u.Delta)
		}
		require.Less(t, size, most+each)
		if !p.ledger.Pending() {
			break
		}
		require.NotEmpty(t, effects.Applied)
		if batches == 1 {
			p.open(t) // the rest does not need this process
		}
		require.NoError(t, p.ledger.Continue(5000))
	}
	require.Equal(t, 2, batches)
	require.Empty(t, p.ledger.Held())
	for _, r := range append(append([]*chain.Run{dep}, runs...), last) {
		q.mustTake(t, r)
	}
	require.Equal(t, q.everything(t, testSubjects), p.everything(t, testSubjects))
}
