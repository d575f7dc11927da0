package chain_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

const benchSubjects = 1000

// benchDelta is an update of about 256 bytes.
func benchDelta(i int) []byte {
	return fmt.Appendf(nil, `{"state":"picked","n":%d,"note":"%0200d"}`, i, i)
}

func benchDraft(b require.TestingT, i int) *chain.Prepared {
	p, err := chain.Prepare(chain.Draft{Subject: fmt.Sprintf("order/%d", i%benchSubjects), Delta: benchDelta(i)})
	require.NoError(b, err)
	return p
}

// benchRuns are n updates of one chain in runs of size.
func benchRuns(b require.TestingT, n, size int) []*chain.Run {
	p := newParty(b, "writer", "warehouse")
	for i := range n {
		_, err := p.ledger.Append(benchDraft(b, i), int64(1_000_000+i))
		require.NoError(b, err)
		if i%size == size-1 {
			p.flush(b, int64(1_000_000+i))
		}
	}
	p.flush(b, int64(1_000_000+n))
	return p.runs
}

// BenchmarkAppend is a draft on the own chain, its share of a batch of 64 and
// of the batch's seal and commit in memory.
func BenchmarkAppend(b *testing.B) {
	p := newParty(b, "writer", "warehouse")
	drafts := make([]*chain.Prepared, 4*benchSubjects)
	for i := range drafts {
		drafts[i] = benchDraft(b, i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, err := p.ledger.Append(drafts[i%len(drafts)], int64(1_000_000+i))
		require.NoError(b, err)
		if i%64 == 63 {
			p.flush(b, int64(1_000_000+i))
			p.runs = nil
		}
	}
}

// BenchmarkAccept is one update of a peer's chain, verified before, in runs of
// several sizes, with its share of the commit in memory after each 256.
func BenchmarkAccept(b *testing.B) {
	for _, size := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			runs := benchRuns(b, 1<<14, size)
			for _, r := range runs {
				require.NoError(b, r.Verify(public(testKey("writer"))))
			}
			p := newParty(b, "reader", "reader")
			b.ReportAllocs()
			done, at, waiting := 0, 0, 0
			for b.Loop() {
				// One update is one step, so a run of many comes every so often.
				if done--; done > 0 {
					continue
				}
				if at == len(runs) {
					b.StopTimer()
					at, p = 0, newParty(b, "reader", "reader")
					b.StartTimer()
				}
				out, err := p.ledger.Accept(runs[at], 2_000_000)
				if err != nil || out.Verdict != chain.Accepted {
					b.Fatal(out, err)
				}
				done, at, waiting = out.New, at+1, waiting+out.New
				if waiting >= 256 {
					p.flush(b, 2_000_000)
					waiting = 0
				}
			}
		})
	}
}

// BenchmarkLate is two updates of one subject, of which one comes ten updates late,
// where so many are there before. What writes below the path that the others do has the
// subject folded anew from before it; what writes a path of its own is folded in place.
func BenchmarkLate(b *testing.B) {
	for name, delta := range map[string]string{"anew": `{"a":{"late":%d}}`, "in place": `{"b":%d}`} {
		for _, history := range []int{100, 1000, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", name, history), func(b *testing.B) { benchLate(b, delta, history) })
		}
	}
}

func benchLate(b *testing.B, delta string, history int) {
	p := newParty(b, "reader", "reader")
	first, late := newForger("first").genesis(), newForger("late").genesis()
	for i := range history {
		first.status(1, "order/1", fmt.Sprintf(`{"a":{"first":%d}}`, i))
	}
	late.status(uint64(history-10), "order/1", fmt.Sprintf(delta, 0))
	both := func() {
		_, err := p.ledger.Accept(first.run(), 1_000_000)
		require.NoError(b, err)
		_, err = p.ledger.Accept(late.run(), 1_000_000)
		require.NoError(b, err)
		p.flush(b, 1_000_000)
	}
	both()
	for i := 0; b.Loop(); i++ {
		first.status(1, "order/1", fmt.Sprintf(`{"a":{"first":%d}}`, i))
		late.status(1, "order/1", fmt.Sprintf(delta, i))
		both()
	}
}

// BenchmarkDecodeVerify is the decoding, linking and verifying of one update
// in runs of several sizes.
func BenchmarkDecodeVerify(b *testing.B) {
	for _, size := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			runs := benchRuns(b, 2*size, size)
			encoded, key := runs[1].Append(nil), public(testKey("writer"))
			b.SetBytes(int64(len(encoded) / len(runs[1].Entries)))
			b.ReportAllocs()
			done := 0
			for b.Loop() {
				if done--; done > 0 {
					continue
				}
				r, err := chain.DecodeRun(encoded)
				if err == nil {
					err = r.Verify(key)
				}
				if err != nil {
					b.Fatal(err)
				}
				done = len(r.Entries)
			}
		})
	}
}

// benchReader has 20 chains of 1,000 updates each.
func benchReader(b *testing.B) (*party, chain.Origin) {
	p := newParty(b, "reader", "reader")
	var last chain.Origin
	for i := range 20 {
		f := newForger(fmt.Sprint(i)).genesis()
		for j := range 1000 {
			f.status(1, fmt.Sprintf("order/%d", j), string(benchDelta(j)))
			if j%16 == 15 || j == 999 {
				p.accept(b, f.run(), 5000)
			}
		}
		last = f.origin
	}
	return p, last
}

// BenchmarkFeed is a page of 1,000 updates, merged from 20 chains.
func BenchmarkFeed(b *testing.B) {
	p, _ := benchReader(b)
	b.ReportAllocs()
	var cursor chain.Cursor
	for b.Loop() {
		page, err := p.archive.Feed(cursor, chain.Filter{}, 1000, nil)
		if err != nil || len(page.Updates) != 1000 {
			b.Fatal(len(page.Updates), err)
		}
		cursor = page.Cursor
		if page.UpToDate {
			cursor = chain.Cursor{}
		}
	}
}

// BenchmarkRuns is the serving of a chain's 1,001 updates.
func BenchmarkRuns(b *testing.B) {
	p, o := benchReader(b)
	b.ReportAllocs()
	for b.Loop() {
		runs, err := p.archive.Runs(o, 1, 1<<20)
		if err != nil || len(runs) == 0 {
			b.Fatal(len(runs), err)
		}
	}
}

// What an update costs in allocations does not depend on the machine: more of them
// is a change that has to be meant.
func TestAcceptAllocates(t *testing.T) {
	const updates, size = 1 << 12, 16
	runs := benchRuns(t, updates, size)
	for _, r := range runs {
		require.NoError(t, r.Verify(public(testKey("writer"))))
	}
	p := newParty(t, "reader", "reader")
	at := 0
	each := testing.AllocsPerRun(len(runs)-2, func() {
		if _, err := p.ledger.Accept(runs[at], 2_000_000); err != nil {
			t.Fatal(err)
		}
		p.flush(t, 2_000_000)
		at++
	}) / size
	t.Logf("%.1f allocations an update, in runs of %d", each, size)
	require.Less(t, each, 20.0)
}

// So do the bytes that it takes on the wire, and the keys and bytes that a node
// writes for it: its record, its place in the index of its subject, and a share of
// what a batch writes once, however often it is in it.
func TestAnUpdateIsSmall(t *testing.T) {
	const updates, size, batch = 1 << 12, 16, 256
	runs := benchRuns(t, updates, size)
	wire, payload := 0, 0
	for _, r := range runs[1:] {
		wire += len(r.Append(nil))
		for _, e := range r.Entries {
			payload += len(e.Body) + len("order/000")
		}
	}
	over := float64(wire-payload) / float64(updates-len(runs[0].Entries))
	t.Logf("%.1f bytes on the wire beside delta and subject, in runs of %d", over, size)
	require.Less(t, over, 18.5)

	p := newParty(t, "reader", "reader")
	p.late = true
	p.open(t)
	keys, bytes, deltas := 0, 0, 0
	for i, r := range runs {
		_, err := p.ledger.Accept(wireCopy(t, r, public(testKey("writer"))), 2_000_000)
		require.NoError(t, err)
		for _, e := range r.Entries {
			deltas += len(e.Body)
		}
		if i%(batch/size) < batch/size-1 {
			continue
		}
		writes, effects, err := p.ledger.Flush(2_000_000)
		require.NoError(t, err)
		require.NoError(t, p.store.Commit(writes, false))
		p.archive.Publish(p.ledger, effects)
		keys, bytes = keys+writes.Len(), bytes+writes.Size()
		p.ledger.Reuse(writes)
	}
	each := func(n int) float64 { return float64(n) / updates }
	t.Logf("%.2f keys and %.0f bytes written, %.0f of them the delta twice", each(keys), each(bytes), each(2*deltas))
	// Each of these subjects is in a batch once, so each update writes a view too.
	require.Less(t, each(keys), 3.01) // the count of subjects, which stays, is not among them
	require.Less(t, each(bytes-2*deltas), 265.0)
}
