package core_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/node/core"
)

// reactor is a node's writer and one hook, without a node around them.
type reactor struct {
	t       *testing.T
	store   chain.Store
	ledger  *chain.Ledger
	archive *chain.Archive
	writer  *core.Writer
	way     *core.Reaction
	from    core.Begin
	now     int64
	mayNot  error // publish
	calls   int
}

const reactorStart = 1_700_000_000_000

func newReactor(t *testing.T, s chain.Store, fromStart bool) *reactor {
	t.Helper()
	r := newNode(t, s, 1)
	r.begin(fromStart)
	return r
}

// newNode is one of payments, without its hook.
func newNode(t *testing.T, s chain.Store, key byte) *reactor {
	t.Helper()
	r := &reactor{t: t, store: s, now: reactorStart}
	var err error
	r.ledger, err = chain.NewLedger(s, chain.Config{Key: keyOf(key), Node: "pay-1", Authority: "payments"}, r.now)
	require.NoError(t, err)
	r.archive = chain.NewArchive(r.ledger)
	r.writer = core.NewWriter(core.WriterConfig{
		Ledger: r.ledger, Archive: r.archive, Store: s,
		Now: func() time.Time { return time.UnixMilli(r.now) }, Wall: func() int64 { return r.now },
		MayPublish: func() error { return r.mayNot }, TimeLimit: func(int64) int64 { return 0 }, Stage: func() error { return nil },
		Measured: func(*chain.Batch, bool, time.Duration) {}, Failed: func(error) {}, Heard: func(*core.Committed) {},
	})
	r.writer.Begin()
	return r
}

// begin opens the hook.
func (r *reactor) begin(fromStart bool) {
	r.t.Helper()
	var err error
	r.way, r.from, _, err = core.OpenReaction(context.Background(), core.ReactionConfig{
		Archive: r.archive, Authority: "payments", Hook: "refund", Prefix: "order", FromStart: fromStart,
	})
	require.NoError(r.t, err)
	if r.from != core.GoesOn {
		r.settle(r.way.Save())
		r.way.Saved()
	}
}

func (r *reactor) settle(s *core.Settlement) core.Settled {
	r.t.Helper()
	a, err := r.writer.Process(&core.Batch{Settles: []*core.Settlement{s}, Urgent: s.Draft == nil})
	require.NoError(r.t, err)
	return a.Settled[0]
}

func (r *reactor) take(runs []*chain.Run) {
	r.t.Helper()
	for _, run := range runs {
		c, err := chain.DecodeRun(run.Append(nil))
		require.NoError(r.t, err)
		info, _ := r.archive.Info(run.Origin)
		if info.Genesis != nil {
			require.NoError(r.t, c.Verify(info.Genesis.Key))
		} else {
			require.NoError(r.t, c.Verify(nil))
		}
		_, err = r.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{{c}}})
		require.NoError(r.t, err)
	}
}

// next is the next trigger, which has to be there or not.
func (r *reactor) next(there bool) *core.Trigger {
	r.t.Helper()
	t, _, err := r.way.Next(context.Background())
	require.NoError(r.t, err)
	require.Equal(r.t, there, t != nil)
	return t
}

func answerTo(t *core.Trigger) chain.Draft {
	return chain.Draft{Subject: "refund/" + t.Update.ID.String(), Delta: []byte(`{"refund":true}`)}
}

// react answers all that is there, but every fourth.
func (r *reactor) react() {
	r.t.Helper()
	for {
		t, _, err := r.way.Next(context.Background())
		require.NoError(r.t, err)
		if t == nil {
			return
		}
		r.now++
		if r.calls++; t.Update.ID.Seq%4 != 0 {
			s, err := r.way.Settle(t, answerTo(t))
			require.NoError(r.t, err)
			out := r.settle(s)
			require.NoError(r.t, out.Err)
			require.True(r.t, out.Moved)
			r.way.Saved()
		}
		r.way.Pass()
	}
}

// answers are the applied answers, by cause.
func (r *reactor) answers() map[chain.ID]int {
	r.t.Helper()
	page, err := r.archive.Feed(chain.Cursor{}, chain.Filter{}, 1<<20, nil)
	require.NoError(r.t, err)
	out := map[chain.ID]int{}
	for _, u := range page.Updates {
		if u.Hook != "" {
			out[u.Cause]++
			require.Contains(r.t, u.Deps, u.Cause)
		}
	}
	return out
}

// orders are runs of another authority, one update each, and who writes more.
type orders struct {
	t      *testing.T
	ledger *chain.Ledger
	now    int64
	runs   []*chain.Run
}

func newOrders(t *testing.T, n int) *orders {
	t.Helper()
	o := newAuthor(t, 2, "warehouse")
	for i := range n {
		o.publish(fmt.Sprintf("order/%d", i%3), fmt.Sprintf(`{"n":%d}`, i))
	}
	return o
}

func newAuthor(t *testing.T, key byte, authority string) *orders {
	t.Helper()
	o := &orders{t: t, now: reactorStart - 1000}
	var err error
	o.ledger, err = chain.NewLedger(store.Memory(), chain.Config{Key: keyOf(key), Node: authority + "-1", Authority: authority}, o.now)
	require.NoError(t, err)
	return o
}

// hear has the author build on what others say.
func (o *orders) hear(runs ...*chain.Run) {
	o.t.Helper()
	for _, run := range runs {
		_, err := o.ledger.Accept(run, o.now)
		require.NoError(o.t, err)
	}
	_, _, err := o.ledger.Flush(o.now)
	require.NoError(o.t, err)
}

func (o *orders) publish(subject, delta string) chain.ID {
	o.t.Helper()
	p, err := chain.Prepare(chain.Draft{Subject: subject, Delta: []byte(delta)})
	require.NoError(o.t, err)
	r, err := o.ledger.Append(p, o.now)
	require.NoError(o.t, err)
	_, effects, err := o.ledger.Flush(o.now)
	require.NoError(o.t, err)
	o.runs = append(o.runs, effects.Own...)
	return r.ID
}

// once holds what is answered to the rule: each order but every fourth, once.
func once(t *testing.T, n int, got map[chain.ID]int, at string) {
	t.Helper()
	want := 0
	for seq := 2; seq < n+2; seq++ {
		if seq%4 != 0 {
			want++
		}
	}
	require.Len(t, got, want, at)
	for id, times := range got {
		require.Equal(t, 1, times, "%s: %s", at, id)
	}
}

// losses takes a copy of what a power loss would leave before every operation that
// changes the disk.
type losses struct {
	disk *vfs.MemFS

	mu     sync.Mutex // protects what follows: the store writes beside its caller, too
	rng    *rand.Rand
	copies []*vfs.MemFS
	at     []string
}

func (l *losses) String() string { return "power loss" }

func (l *losses) MaybeError(op errorfs.Op) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if op.Kind.ReadOrWrite() != errorfs.OpIsRead && op.Kind != errorfs.OpFileClose {
		kept := 50 * (len(l.copies) % 3)
		l.at = append(l.at, fmt.Sprintf("operation %d, kind %d on %s, %d %% kept", len(l.copies), op.Kind, op.Path, kept))
		l.copies = append(l.copies, l.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: l.rng}))
	}
	return nil
}

// The power goes at every write and sync of a life that reacts. Whatever is left,
// the next life answers what is not answered, and nothing twice. A part is tried,
// and all with TIDINGS_SOAK=1.
func TestReactionUnderPowerLoss(t *testing.T) {
	const n = 40
	peer := newOrders(t, n)
	l := &losses{disk: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(1, 1))}
	open := func(fs vfs.FS) chain.Store {
		s, err := store.OpenPebble("node", store.Options{FS: fs})
		require.NoError(t, err)
		return s
	}
	s := open(errorfs.Wrap(l.disk, l))
	l.mu.Lock()
	l.copies, l.at = nil, nil // those of a store that begins are tried in package store
	l.mu.Unlock()
	r := newReactor(t, s, true)
	for i := range n {
		r.take(peer.runs[i : i+1])
		if i%3 > 0 {
			r.react()
		}
	}
	r.react()
	once(t, n, r.answers(), "without a loss")
	require.NoError(t, s.Close())
	l.mu.Lock()
	copies, at := l.copies, l.at
	l.mu.Unlock()
	require.Greater(t, len(copies), n)
	tried := 0
	for i, disk := range copies {
		if i%4 != 0 && os.Getenv("TIDINGS_SOAK") == "" {
			continue
		}
		tried++
		s := open(disk)
		r := newReactor(t, s, true)
		r.take(peer.runs) // what is there counts as repeated
		r.react()
		once(t, n, r.answers(), at[i])
		require.NoError(t, s.Close())
	}
	t.Logf("%d of %d losses", tried, len(copies))
}

func acceptInto(t *testing.T, r *reactor, run *chain.Run) {
	t.Helper()
	c, err := chain.DecodeRun(run.Append(nil))
	require.NoError(t, err)
	var key []byte
	if info, ok := r.archive.Info(c.Origin); ok {
		key = info.Genesis.Key
	}
	require.NoError(t, c.Verify(key))
	_, err = r.ledger.Accept(c, r.now)
	require.NoError(t, err)
	batch, effects, err := r.ledger.Flush(r.now)
	require.NoError(t, err)
	require.NoError(t, r.store.Commit(batch, true))
	r.archive.Publish(r.ledger, effects)
}

// An answer that comes while the handler is asked, in the very batch of the draft,
// keeps the draft out, and the place moves on.
func TestAnswerThatComesMeanwhile(t *testing.T) {
	peer := newOrders(t, 1)
	r := newReactor(t, store.Memory(), true)
	r.take(peer.runs)
	trigger := r.next(true)
	s, err := r.way.Settle(trigger, answerTo(trigger))
	require.NoError(t, err)

	memory := store.Memory()
	sibling, err := chain.NewLedger(memory, chain.Config{Key: keyOf(4), Node: "pay-2", Authority: "payments"}, r.now)
	require.NoError(t, err)
	other := &reactor{t: t, ledger: sibling, store: memory, now: r.now}
	other.archive = chain.NewArchive(sibling)
	acceptInto(t, other, peer.runs[0])
	d := answerTo(trigger)
	d.Cause, d.Hook = trigger.Update.ID, "refund"
	prepared, err := chain.Prepare(d)
	require.NoError(t, err)
	first, err := sibling.Append(prepared, r.now)
	require.NoError(t, err)
	_, effects, err := sibling.Flush(r.now)
	require.NoError(t, err)
	run, err := chain.DecodeRun(effects.Own[0].Append(nil))
	require.NoError(t, err)
	require.NoError(t, run.Verify(nil))

	a, err := r.writer.Process(&core.Batch{Arrivals: [][]*chain.Run{{run}}, Settles: []*core.Settlement{s}})
	require.NoError(t, err)
	require.Equal(t, core.Settled{By: first.ID, Moved: true}, a.Settled[0])
	r.way.Pass()
	r.next(false)
	require.Equal(t, map[chain.ID]int{trigger.Update.ID: 1}, r.answers())
}

// A draft that may not be published now leaves the place where it is; one that
// never can, moves it.
func TestRefusedSettlements(t *testing.T) {
	peer := newOrders(t, 2)
	s := store.Memory()
	r := newReactor(t, s, true)
	r.take(peer.runs)
	trigger := r.next(true)
	settlement, err := r.way.Settle(trigger, answerTo(trigger))
	require.NoError(t, err)
	r.mayNot = fmt.Errorf("not now")
	require.Equal(t, core.Settled{Err: r.mayNot}, r.settle(settlement))
	r.mayNot = nil

	missing := answerTo(trigger)
	missing.Deps = []chain.ID{{Origin: trigger.Update.ID.Origin, Seq: 99}}
	waits, err := r.way.Settle(trigger, missing)
	require.NoError(t, err)
	out := r.settle(waits)
	require.False(t, out.Moved)
	require.ErrorContains(t, out.Err, "not applied here")
	require.Equal(t, trigger.Update.ID, newReactor(t, s, true).next(true).Update.ID, "the place is where it was")

	keyed := answerTo(trigger)
	keyed.Key = "k"
	prepared, err := chain.Prepare(chain.Draft{Subject: "x", Delta: []byte(`{"x":1}`), Key: "k"})
	require.NoError(t, err)
	_, err = r.writer.Process(&core.Batch{Drafts: []*chain.Prepared{prepared}})
	require.NoError(t, err)
	bad, err := r.way.Settle(trigger, keyed)
	require.NoError(t, err)
	out = r.settle(bad)
	require.True(t, out.Moved)
	require.ErrorIs(t, out.Err, chain.ErrKeyReused)
	require.Equal(t, chain.Seq(3), newReactor(t, s, true).next(true).Update.ID.Seq, "the place has moved on")

	_, err = r.way.Settle(trigger, chain.Draft{Subject: "x", Delta: []byte(`[]`)})
	require.ErrorIs(t, err, chain.ErrDelta)
}

// The views are those at the reaction's place, also of what comes late and with
// updates of its own authority, however much was read ahead.
func TestViewsAroundATrigger(t *testing.T) {
	peer := newOrders(t, 0)
	r := newReactor(t, store.Memory(), true)
	for i := range 5 {
		peer.publish("order/1", fmt.Sprintf(`{"n":%d}`, i))
		peer.now++
	}
	r.take(peer.runs[:4])
	r.now += 5000
	own, err := chain.Prepare(chain.Draft{Subject: "order/1", Delta: []byte(`{"own":true}`)})
	require.NoError(t, err)
	_, err = r.writer.Process(&core.Batch{Drafts: []*chain.Prepared{own}})
	require.NoError(t, err)
	for i := range 4 {
		trigger := r.next(true)
		before := `{}`
		if i > 0 {
			before = fmt.Sprintf(`{"n":%d}`, i-1)
		}
		require.Equal(t, before, trigger.Before.Status().String())
		require.Equal(t, fmt.Sprintf(`{"n":%d}`, i), trigger.After.Status().String())
		r.way.Pass()
	}
	r.next(false) // its own is passed
	require.Zero(t, core.LagOf(r.way.Place().Frontier, r.archive.Frontier()))
	r.take(peer.runs[4:]) // late: its time is before that of the own
	trigger := r.next(true)
	require.Equal(t, `{"n":3,"own":true}`, trigger.Before.Status().String())
	require.Equal(t, `{"n":4,"own":true}`, trigger.After.Status().String())
	part, ok := trigger.After.StatusOf("warehouse")
	require.True(t, ok)
	require.Equal(t, `{"n":4}`, part.String())
	now, err := r.archive.View(context.Background(), "order/1")
	require.NoError(t, err)
	require.Equal(t, string(now.AppendView(nil)), string(trigger.After.AppendView(nil)))
}

// A freeze takes back what a reaction had passed, read ahead, or was asked about:
// the place goes back to it, and none of that is a trigger any more. What was
// answered stays, and what the author says under a new origin is another trigger.
func TestReactionsToWhatAFreezeTakesBack(t *testing.T) {
	one, other := newOrders(t, 0), newOrders(t, 0) // of one key
	for i := range 3 {
		one.publish("order/1", fmt.Sprintf(`{"n":%d}`, i))
	}
	other.publish("order/1", `{"fork":true}`)
	r := newReactor(t, store.Memory(), true)
	r.take(one.runs)
	trigger := r.next(true)
	s, err := r.way.Settle(trigger, answerTo(trigger))
	require.NoError(t, err)
	require.True(t, r.settle(s).Moved)
	r.way.Pass()
	asked := r.next(true)
	late, err := r.way.Settle(asked, answerTo(asked))
	require.NoError(t, err)

	r.take(other.runs)
	require.NotNil(t, r.archive.Frozen(one.ledger.Origin()))
	out := r.settle(late)
	require.False(t, out.Moved, "its cause counts no more")
	require.ErrorContains(t, out.Err, "not applied here")
	r.next(false) // the page is forgotten
	r.next(false)
	require.Equal(t, []chain.Retraction{{Origin: one.ledger.Origin(), After: 1}}, r.way.Retracted())
	require.Empty(t, r.way.Retracted())
	require.Equal(t, chain.Seq(1), r.way.Place().Frontier[one.ledger.Origin()])
	require.True(t, r.way.Unsaved())
	require.Equal(t, map[chain.ID]int{trigger.Update.ID: 1}, r.answers(), "what was answered stays")

	again, err := chain.NewLedger(store.Memory(), chain.Config{Key: keyOf(6), Node: "wh-1", Authority: "warehouse"}, r.now)
	require.NoError(t, err)
	author := &orders{t: t, ledger: again, now: r.now}
	id := author.publish("order/1", `{"n":0}`)
	r.take(author.runs)
	next := r.next(true)
	require.Equal(t, id, next.Update.ID)
	require.Equal(t, `{}`, next.Before.Status().String())
	require.Equal(t, `{"n":0}`, next.After.Status().String())
}
