package core_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/node/core"
)

// recorder is a store that notes in what order it was written to.
type recorder struct {
	chain.Store
	log   *[]string
	fails string // the call that fails
	takes func() // passes the time that a call takes
}

var errDisk = errors.New("no disk")

func (r *recorder) step(what string) error {
	if what == r.fails {
		return errDisk
	}
	*r.log = append(*r.log, what)
	r.takes()
	return nil
}

func (r *recorder) Commit(b *chain.Batch, sync bool) error {
	what := "commit"
	if sync {
		what = "commit synced"
	}
	if err := r.step(what); err != nil {
		return err
	}
	return r.Store.Commit(b, sync)
}

func (r *recorder) Sync() error       { return r.step("sync") }
func (r *recorder) Mark([]byte) error { return r.step("mark") }

// bench is a writer under test.
type bench struct {
	t      *testing.T
	now    time.Time
	log    []string
	store  *recorder
	ledger *chain.Ledger
	writer *core.Writer
	peer   *chain.Ledger
	drafts int
	share  int
	failed []error
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, now: time.Unix(1_700_000_000, 0)}
	b.store = &recorder{Store: store.Memory(), log: &b.log, takes: func() {}}
	b.restart()
	return b
}

// restart begins a writer on what the store holds.
func (b *bench) restart() {
	t := b.t
	var err error
	b.ledger, err = chain.NewLedger(b.store, chain.Config{Key: keyOf(1), Node: "n", Authority: "a"}, b.now.UnixMilli())
	require.NoError(t, err)
	b.writer = core.NewWriter(core.WriterConfig{
		Ledger: b.ledger, Archive: chain.NewArchive(b.ledger), Store: b.store,
		Now: func() time.Time { return b.now }, Wall: func() int64 { return b.now.UnixMilli() },
		MayPublish: func() error { return nil }, TimeLimit: func(int64) int64 { return 0 }, Stage: func() error { return nil }, Share: b.share,
		Measured: func(*chain.Batch, bool, time.Duration) {},
		Failed:   func(err error) { b.failed = append(b.failed, err) },
		Heard: func(c *core.Committed) {
			for range c.Effects.Own {
				b.log = append(b.log, "own told")
			}
			for _, h := range c.Durable {
				b.log = append(b.log, fmt.Sprintf("durable %d", h.Seq))
			}
		},
	})
	b.writer.Begin()
}

func keyOf(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), seed))
}

func (b *bench) draft() *chain.Prepared {
	b.drafts++
	p, err := chain.Prepare(chain.Draft{Subject: fmt.Sprint("s/", b.drafts), Delta: json.RawMessage(`{"a":1}`)})
	require.NoError(b.t, err)
	return p
}

// peerRun is what a peer publishes next; at first with its genesis.
func (b *bench) peerRun() []*chain.Run {
	if b.peer == nil {
		var err error
		b.peer, err = chain.NewLedger(store.Memory(), chain.Config{Key: keyOf(2), Node: "p", Authority: "p"}, b.now.UnixMilli())
		require.NoError(b.t, err)
	}
	_, err := b.peer.Append(b.draft(), b.now.UnixMilli())
	require.NoError(b.t, err)
	_, effects, err := b.peer.Flush(b.now.UnixMilli())
	require.NoError(b.t, err)
	return effects.Own
}

func (b *bench) take() []string {
	log := b.log
	b.log = nil
	return log
}

// Own updates are synced before anybody hears of them, or that they are durable.
func TestOwnIsSyncedBeforeItIsTold(t *testing.T) {
	b := newBench(t)
	answers, err := b.writer.Process(&core.Batch{Drafts: []*chain.Prepared{b.draft()}})
	require.NoError(t, err)
	require.NoError(t, answers.Receipts[0].Err)
	require.Equal(t, []string{"commit synced", "own told", "durable 2"}, b.take())
}

// What peers sent is committed at once, and told durable only after a sync, which
// comes a little later, or with the commit if the peer waits; the note of heads
// comes after a sync, never before.
func TestPeersRunsAreDurableAfterTheSync(t *testing.T) {
	b := newBench(t)
	_, err := b.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{b.peerRun()}})
	require.NoError(t, err)
	require.Equal(t, []string{"commit"}, b.take())
	b.writer.Upkeep() // the first is not put off
	require.Equal(t, []string{"sync", "durable 2", "mark"}, b.take())

	_, err = b.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{b.peerRun()}})
	require.NoError(t, err)
	b.writer.Upkeep()
	require.Equal(t, []string{"commit"}, b.take(), "nothing was synced yet")
	b.now = b.now.Add(b.writer.Idle())
	b.writer.Upkeep()
	require.Equal(t, []string{"sync", "durable 3"}, b.take())
	b.now = b.now.Add(b.writer.Idle())
	b.writer.Upkeep()
	require.Equal(t, []string{"mark"}, b.take())
	b.letGo()
	require.Empty(t, b.take())
	require.Equal(t, time.Hour, b.writer.Idle())

	b = newBench(t)
	_, err = b.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{b.peerRun()}, Urgent: true})
	require.NoError(t, err)
	require.Equal(t, []string{"commit synced", "durable 2"}, b.take())

	b = newBench(t)
	_, err = b.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{b.peerRun()}})
	require.NoError(t, err)
	b.take()
	b.writer.Finish()
	require.Equal(t, []string{"sync", "durable 2", "mark"}, b.take(), "a note names only what is synced")
}

// What is received beyond a batch's share is applied by Upkeep, part by part, and
// drafts go between.
func TestPeersAreAppliedInShares(t *testing.T) {
	b := newBench(t)
	b.share = 1
	b.restart()
	runs := b.peerRun()
	for range 4 {
		runs = append(runs, b.peerRun()...)
	}
	answers, err := b.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{runs}})
	require.NoError(t, err)
	require.Equal(t, chain.Seq(6), answers.Outcomes[0][4].Head.Seq, "all is received")
	peer := runs[0].Origin
	require.Equal(t, chain.Seq(1), b.ledger.Applied(peer).Seq)
	for want := chain.Seq(2); b.writer.Pending(); want++ {
		for b.ledger.Applied(peer).Seq < want {
			require.Zero(t, b.writer.Idle())
			b.writer.Upkeep()
		}
		require.Equal(t, want, b.ledger.Applied(peer).Seq)
		answers, err := b.writer.Process(&core.Batch{Drafts: []*chain.Prepared{b.draft()}})
		require.NoError(t, err)
		require.NoError(t, answers.Receipts[0].Err)
		require.Equal(t, want, b.ledger.Applied(peer).Seq, "a draft brings nothing of the others with it")
	}
	require.Equal(t, chain.Seq(6), b.ledger.Applied(peer).Seq)
}

// A draft's batch applies nothing of what is pending, however large a share is.
func TestDraftsGoAlone(t *testing.T) {
	b := newBench(t)
	runs := append(b.peerRun(), b.peerRun()...)
	b.ledger.SetBatch(1)
	_, err := b.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{runs}})
	require.NoError(t, err)
	require.True(t, b.writer.Pending())
	answers, err := b.writer.Process(&core.Batch{Drafts: []*chain.Prepared{b.draft()}})
	require.NoError(t, err)
	require.NoError(t, answers.Receipts[0].Err)
	require.Equal(t, chain.Seq(1), b.ledger.Applied(runs[0].Origin).Seq)
	for b.writer.Pending() {
		b.writer.Upkeep()
	}
	require.Equal(t, chain.Seq(3), b.ledger.Applied(runs[0].Origin).Seq)
}

// Peers that want everything to be durable at once share syncs, so that these
// take half of the time at most.
func TestRushedSyncsArePaced(t *testing.T) {
	b := newBench(t)
	rushed := func() []string {
		_, err := b.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{b.peerRun()}, Urgent: true})
		require.NoError(t, err)
		return b.take()
	}
	_, err := b.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{b.peerRun()}})
	require.NoError(t, err)
	b.writer.Upkeep()
	b.writer.Upkeep()
	require.Equal(t, []string{"commit", "sync", "durable 2", "mark"}, b.take())
	b.store.takes = func() { b.now = b.now.Add(4 * time.Millisecond) }
	require.Equal(t, []string{"commit synced", "durable 3"}, rushed())
	b.store.takes = func() {}
	require.Equal(t, []string{"commit"}, rushed())
	require.Equal(t, []string{"commit"}, rushed())
	require.Equal(t, 4*time.Millisecond, b.writer.Idle())
	b.now = b.now.Add(b.writer.Idle())
	b.writer.Upkeep()
	require.Equal(t, []string{"sync", "durable 5"}, b.take())
	require.Equal(t, []string{"commit synced", "durable 6"}, rushed(), "that one took no time")
}

// Who asks later for what was sent to be durable need not wait for the sync that would
// have come; where all is durable there is nothing to do.
func TestSyncSoon(t *testing.T) {
	b := newBench(t)
	arrive := func() {
		_, err := b.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{b.peerRun()}})
		require.NoError(t, err)
		b.writer.Upkeep()
	}
	arrive() // with the first commit there is a note
	b.take()
	b.now = b.now.Add(time.Second)
	arrive()
	require.Equal(t, []string{"commit"}, b.take())
	require.Equal(t, 50*time.Millisecond, b.writer.Idle())
	b.writer.SyncSoon()
	require.Zero(t, b.writer.Idle())
	b.writer.Upkeep()
	require.Equal(t, []string{"sync", "durable 3"}, b.take())
	b.writer.SyncSoon()
	b.writer.Upkeep()
	require.Empty(t, b.take())

	// Such syncs take half of the time at most, as those of urgent batches.
	b.store.takes = func() { b.now = b.now.Add(8 * time.Millisecond) }
	began, in := b.now, 0
	for b.now.Sub(began) < time.Second {
		b.store.takes = func() { b.now = b.now.Add(time.Millisecond) }
		_, err := b.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{b.peerRun()}})
		require.NoError(t, err)
		b.take()
		b.store.takes = func() { b.now = b.now.Add(8 * time.Millisecond) }
		b.writer.SyncSoon()
		b.writer.Upkeep()
		in += len(slices.DeleteFunc(b.take(), func(s string) bool { return s != "sync" }))
	}
	took := time.Duration(in) * 8 * time.Millisecond
	require.Greater(t, took, 400*time.Millisecond)
	require.Less(t, took, 520*time.Millisecond)
}

// The first failure ends the writing: nothing is told, and nothing tried again.
func TestWriterDiesOnce(t *testing.T) {
	for _, fails := range []string{"commit synced", "sync", "mark"} {
		t.Run(fails, func(t *testing.T) {
			b := newBench(t)
			b.store.fails = fails
			_, err := b.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{b.peerRun()}})
			require.NoError(t, err)
			b.take()
			if fails == "commit synced" {
				_, err = b.writer.Process(&core.Batch{Drafts: []*chain.Prepared{b.draft()}})
				require.ErrorIs(t, err, chain.ErrStoreFailed)
				require.ErrorIs(t, err, errDisk)
				require.Empty(t, b.take())
			}
			for range 3 {
				b.now = b.now.Add(time.Second)
				b.writer.Upkeep()
			}
			require.NotContains(t, b.take(), "mark")
			b.store.fails = ""
			_, err = b.writer.Process(&core.Batch{Drafts: []*chain.Prepared{b.draft()}})
			require.ErrorIs(t, err, chain.ErrStoreFailed, "it is not retried into health")
			require.ErrorIs(t, b.writer.Do(func() error { return nil }), chain.ErrStoreFailed)
			b.writer.Finish()
			require.Empty(t, b.take())
			require.Len(t, b.failed, 1)
		})
	}
}

// The share is learnt from what batches take, not from the time that passed since
// the last one, or before the first.
func TestOnlyBatchesAreMeasured(t *testing.T) {
	b := newBench(t)
	usual := b.writer.Share()
	runs := b.peerRun()
	for range 30 {
		runs = append(runs, b.peerRun()...)
	}
	pending := func() {
		b.ledger.SetBatch(1)
		_, err := b.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{runs}})
		require.NoError(t, err)
		require.True(t, b.writer.Pending())
	}
	pending()
	_, err := b.writer.Process(&core.Batch{}) // which writes nothing
	require.NoError(t, err)
	b.now = b.now.Add(time.Minute)
	require.NoError(t, b.writer.Do(func() error { return b.ledger.Continue(b.now.UnixMilli()) }))
	require.False(t, b.writer.Pending())
	require.Equal(t, usual, b.writer.Share(), "a call that applies what waited")

	b = newBench(t)
	pending()
	b.restart()
	require.Equal(t, runs[30].Last(), b.ledger.Applied(runs[0].Origin).Seq)
	require.Equal(t, usual, b.writer.Share(), "a start that applies what waited")
}

// Decoded subjects are let go of once nothing was written to them for a while, and then
// there is nothing left to wait for.
func TestDecodedSubjectsAreLetGoOf(t *testing.T) {
	b := newBench(t)
	_, err := b.writer.Process(&core.Batch{Drafts: []*chain.Prepared{b.draft()}})
	require.NoError(t, err)
	began := b.now
	b.writer.Upkeep()
	require.True(t, b.ledger.KeepsStates())
	b.letGo()
	require.InDelta(t, 45*time.Second, b.now.Sub(began), float64(15*time.Second))
	require.Equal(t, time.Hour, b.writer.Idle())
}

// letGo lets time pass, as the writer asks to be looked after, until no subject is kept decoded.
func (b *bench) letGo() {
	for range 5 {
		if !b.ledger.KeepsStates() {
			return
		}
		wait := b.writer.Idle()
		require.Less(b.t, wait, time.Hour)
		b.now = b.now.Add(wait)
		b.writer.Upkeep()
	}
	b.t.Fatal("subjects are kept decoded for ever")
}
