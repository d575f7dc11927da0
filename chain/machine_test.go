package chain_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
)

// machine does random things to one ledger, next to peers that are sound and a
// writer that is not.
type machine struct {
	p       *party
	peers   []*party
	mallory *forger
	pool    []*chain.Run // what there is to be accepted
	now     int64
	limit   int64
	last    chain.Frontier
	waits   bool // something is not flushed
	own     int  // runs of the ledger itself that are in the pool
	lagged  int  // states that lacked updates when they were looked at
}

func newMachine(t *rapid.T) *machine {
	m := &machine{p: newParty(t, "self", "warehouse"), now: 1_000_000, last: chain.Frontier{}}
	for _, name := range []string{"b", "cc"} {
		m.peers = append(m.peers, newParty(t, name, "fleet"))
	}
	m.mallory = newForger("mallory").genesis()
	m.pool = append(m.pool, m.mallory.run())
	return m
}

func (m *machine) draft(t *rapid.T, p *party) chain.Draft {
	d := chain.Draft{
		Subject: rapid.SampledFrom(testSubjects).Draw(t, "subject"),
		Delta:   fmt.Appendf(nil, `{"%s":%d}`, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "field"), rapid.IntRange(0, 9).Draw(t, "value")),
	}
	if rapid.Bool().Draw(t, "long") { // its state can lack updates for a while
		d.Delta = fmt.Appendf(nil, `{"text":"%0700d"}`, rapid.IntRange(0, 9).Draw(t, "value"))
	}
	if rapid.Bool().Draw(t, "keyed") {
		d.Key = rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(t, "key")
	}
	if f := p.archive.Frontier(); len(f) > 0 && rapid.Bool().Draw(t, "dep") {
		o := rapid.SampledFrom(f.Origins()).Draw(t, "of")
		d.Deps = []chain.ID{{Origin: o, Seq: chain.Seq(rapid.Uint64Range(1, uint64(f[o])).Draw(t, "seq"))}}
		if rapid.Bool().Draw(t, "answers") {
			d.Cause, d.Hook = d.Deps[0], rapid.SampledFrom([]string{"h", "h2"}).Draw(t, "hook")
		}
	}
	return d
}

// append puts a draft on a ledger's own chain. A refusal is the draft's.
func (m *machine) append(t *rapid.T, p *party) {
	prepared, err := chain.Prepare(m.draft(t, p))
	require.NoError(t, err)
	before := p.ledger.Head(p.ledger.Origin())
	r, err := p.ledger.Append(prepared, m.now)
	after := p.ledger.Head(p.ledger.Origin())
	switch {
	case err != nil:
		require.Equal(t, before, after)
		if missing := (*chain.DependencyError)(nil); errors.As(err, &missing) {
			f := p.ledger.Frozen(missing.IDs[0].Origin)
			require.True(t, f != nil && missing.IDs[0].Seq > f.After, "it was drawn from what is published")
			return
		}
		if !errors.Is(err, chain.ErrReactions) {
			require.ErrorIs(t, err, chain.ErrKeyReused)
		}
	case r.Unchanged || r.Repeated:
		require.Equal(t, before, after)
	default:
		require.Equal(t, max(before.Seq, 1)+1, after.Seq)
		require.Equal(t, after.Seq, r.ID.Seq)
	}
}

// Append publishes on the ledger itself.
func (m *machine) Append(t *rapid.T) {
	m.append(t, m.p)
	m.waits = true
}

// Publish is an Append that is committed at once.
func (m *machine) Publish(t *rapid.T) {
	m.Append(t)
	m.Flush(t)
}

// Peer has a peer hear of some runs and publish.
func (m *machine) Peer(t *rapid.T) {
	q := rapid.SampledFrom(m.peers).Draw(t, "peer")
	for _, r := range m.pool[:rapid.IntRange(0, len(m.pool)).Draw(t, "heard")] {
		q.accept(t, r, m.now)
	}
	for range rapid.IntRange(1, 3).Draw(t, "drafts") {
		m.append(t, q)
	}
	m.pool = append(m.pool, q.flush(t, m.now).Own...)
}

// Mallory links what she likes: a far time, a dep on anything, a fork, or
// what breaks a rule.
func (m *machine) Mallory(t *rapid.T) {
	f := m.mallory
	switch rapid.SampledFrom([]string{"plain", "far", "dep", "fork", "bad"}).Draw(t, "what") {
	case "plain":
		f.status(1, testSubjects[0], `{"m":1}`)
	case "far":
		f.status(uint64(m.now), testSubjects[0], `{"m":2}`)
	case "dep":
		o := m.peers[0].ledger.Origin()
		place := rapid.Uint64Range(0, 1).Draw(t, "place") // right for the first or for the others
		dep := fresh(place, o, rapid.Uint64Range(1, 9).Draw(t, "seq"))
		if place == 0 && rapid.Bool().Draw(t, "known") {
			dep = []item{num(0), num(2)}
		}
		f.status(1_000_000, testSubjects[0], `{"m":3}`, dep...)
	case "fork":
		m.pool = append(m.pool, f.copy().status(1, testSubjects[1], `{"fork":1}`).run())
		f.status(1, testSubjects[1], `{"fork":2}`)
	case "bad":
		m.pool = append(m.pool, f.copy().status(1, "", `{}`).run())
		return
	}
	m.pool = append(m.pool, f.run())
}

// Accept takes a run of the pool.
func (m *machine) Accept(t *rapid.T) {
	r := rapid.SampledFrom(m.pool).Draw(t, "run")
	info, _ := m.p.archive.Info(r.Origin)
	c, err := chain.DecodeRun(r.Append(nil))
	require.NoError(t, err)
	if info.Genesis == nil && r.First != 1 {
		return
	}
	var key []byte
	if info.Genesis != nil {
		key = info.Genesis.Key
	}
	require.NoError(t, c.Verify(key))
	before := m.p.ledger.Head(r.Origin)
	out, err := m.p.ledger.Accept(c, m.now)
	require.NoError(t, err)
	require.Equal(t, m.p.ledger.Head(r.Origin), out.Head)
	if out.Verdict == chain.Forked {
		require.Equal(t, m.p.ledger.Frozen(r.Origin).After, out.Head.Seq)
		require.Less(t, out.Head.Seq, before.Seq)
	} else {
		require.Equal(t, before.Seq+chain.Seq(out.New), out.Head.Seq)
	}
	require.True(t, out.New == 0 || out.Verdict == chain.Accepted || out.Verdict == chain.Invalid, out)
	if out.Verdict == chain.Accepted {
		end := r.Last()
		if f := m.p.ledger.Frozen(r.Origin); f != nil {
			end = min(end, f.After)
		}
		require.Equal(t, end, out.Head.Seq)
		require.Positive(t, out.New)
	}
	m.waits = true
}

// Serve takes a range that a peer serves from anywhere.
func (m *machine) Serve(t *rapid.T) {
	q := rapid.SampledFrom(m.peers).Draw(t, "peer")
	chains := q.archive.Frontier().Origins()
	if len(chains) == 0 {
		t.Skip("knows nothing")
	}
	o := rapid.SampledFrom(chains).Draw(t, "chain")
	runs, err := q.archive.Runs(o, chain.Seq(rapid.IntRange(1, 9).Draw(t, "from")), rapid.SampledFrom([]int{0, 400, 1 << 20}).Draw(t, "size"))
	require.NoError(t, err)
	for _, b := range runs {
		r, err := chain.DecodeRun(b)
		require.NoError(t, err)
		m.p.accept(t, r, m.now)
	}
	m.Flush(t)
}

// Share bounds what a batch applies.
func (m *machine) Share(t *rapid.T) {
	m.p.ledger.SetBatch(rapid.SampledFrom([]int{1, 3000, 1 << 30}).Draw(t, "share"))
}

// Flush commits, and what a full batch left over after it.
func (m *machine) Flush(t *rapid.T) {
	m.p.flush(t, m.now)
	for m.p.ledger.Pending() {
		require.NoError(t, m.p.ledger.Continue(m.now))
		m.p.flush(t, m.now)
	}
	m.pool = append(m.pool, m.p.runs[m.own:]...)
	m.own, m.waits = len(m.p.runs), false
}

// Open opens the ledger again.
func (m *machine) Open(t *rapid.T) {
	m.Flush(t)
	root, sync := m.p.ledger.Root(), m.p.ledger.SyncRoot()
	var err error
	m.p.ledger, err = chain.NewLedger(m.p.store, m.p.config, m.now)
	require.NoError(t, err)
	require.Equal(t, sync, m.p.ledger.SyncRoot())
	m.p.archive = chain.NewArchive(m.p.ledger)
	if m.limit == 0 {
		require.Equal(t, root, m.p.ledger.Root())
	}
	require.NoError(t, m.p.ledger.SetLimit(m.limit, m.now))
	m.Flush(t)
}

// Limit moves the latest time that is applied, and the clock.
func (m *machine) Limit(t *rapid.T) {
	m.now += int64(rapid.IntRange(0, 1000).Draw(t, "ms"))
	m.limit = rapid.SampledFrom([]int64{0, m.now, m.now * 2, m.now * 5}).Draw(t, "limit")
	require.NoError(t, m.p.ledger.SetLimit(m.limit, m.now))
	m.waits = true
}

func (m *machine) Check(t *rapid.T) {
	l := m.p.ledger
	held := map[chain.Origin]chain.Held{}
	for _, h := range l.Held() {
		held[h.ID.Origin] = h
	}
	for _, o := range m.origins() {
		applied, received := l.Applied(o), l.Head(o)
		require.LessOrEqual(t, applied.Seq, received.Seq)
		frozen := l.Frozen(o)
		if frozen != nil {
			require.LessOrEqual(t, received.Seq, frozen.After)
			m.last[o] = min(m.last[o], frozen.After)
		}
		require.GreaterOrEqual(t, applied.Seq, m.last[o], "the frontier goes back")
		m.last[o] = applied.Seq
		h, waits := held[o]
		end := received.Seq
		if frozen != nil {
			end = min(end, frozen.After)
		}
		if waits || !l.Pending() {
			require.Equal(t, applied.Seq < end, waits, "%s: applied %d of %d", o, applied.Seq, end)
		}
		if waits {
			require.Equal(t, chain.ID{Origin: o, Seq: applied.Seq + 1}, h.ID)
			require.Equal(t, h.Reason == chain.HeldDependency, len(h.WaitingFor) > 0)
			for _, id := range h.WaitingFor {
				f := l.Frozen(id.Origin)
				require.False(t, f != nil && id.Seq > f.After, "waits for %s", id)
				if l.Applied(id.Origin).Seq >= id.Seq && !m.waits {
					dep, err := m.p.archive.Update(id)
					require.NoError(t, err)
					u, err := m.p.archive.Update(h.ID)
					require.NoError(t, err)
					require.GreaterOrEqual(t, dep.HLC, u.HLC, "waits for %s", id)
				}
			}
		}
	}
	if m.waits {
		return
	}
	var sync, root chain.Root
	for _, c := range m.p.archive.Chains() {
		sync.Add(c.Received)
		if c.Applied.Seq > 0 {
			root.Add(c.Applied)
		}
		require.Equal(t, m.p.archive.Frozen(c.Received.Origin), c.Frozen)
	}
	for _, f := range m.p.archive.Freezes() {
		root.AddFreeze(f)
		sync.AddFreeze(f)
	}
	require.Equal(t, sync.Hash(), l.SyncRoot())
	require.Equal(t, root.Hash(), l.Root())
	for state, err := range m.p.archive.Subjects(context.Background(), "", "") {
		require.NoError(t, err)
		if m.p.readBack(t, state.Subject()) > 0 {
			m.lagged++
		}
	}
	for name, n := range l.Sizes() {
		switch {
		case strings.HasPrefix(name, "batch"), name == "changed":
			require.Zero(t, n, name)
		default:
			require.LessOrEqual(t, n, 20, name)
		}
	}
}

// answers holds the index of what reactions made to what is applied.
func (m *machine) answers(t *rapid.T) {
	type trigger struct {
		authority, hook string
		cause           chain.ID
	}
	want := map[trigger][]chain.ID{}
	var first chain.Stamp
	newest := chain.Frontier{}
	for _, c := range m.p.archive.Chains() {
		for seq := chain.Seq(1); seq <= c.Applied.Seq; seq++ {
			u, err := m.p.archive.Update(chain.ID{Origin: c.Applied.Origin, Seq: seq})
			require.NoError(t, err)
			if u.Hook == "" {
				continue
			}
			key := trigger{c.Genesis.Authority, u.Hook, u.Cause}
			want[key] = append(want[key], u.ID)
			if cause, err := m.p.archive.Update(u.Cause); err == nil && key.hook == "h" && key.authority == "fleet" &&
				m.p.archive.Frontier().Has(u.Cause) {
				if first.IsZero() || cause.Stamp().Compare(first) < 0 {
					first = cause.Stamp()
				}
				newest[u.Cause.Origin] = max(newest[u.Cause.Origin], u.Cause.Seq)
			}
		}
	}
	indexed := 0
	for _, kv := range storetest.Dump(t, m.p.store, []byte("a"), []byte("b")) {
		indexed++
		require.True(t, strings.HasSuffix(kv, "="), "its value is empty")
	}
	for key, ids := range want {
		indexed -= len(ids)
		by, err := m.p.archive.Answered(key.authority, key.hook, key.cause)
		require.NoError(t, err)
		require.Contains(t, ids, by)
		by, err = m.p.ledger.Answered(key.authority, key.hook, key.cause)
		require.NoError(t, err)
		require.Contains(t, ids, by)
		by, err = m.p.archive.Answered("nobody", key.hook, key.cause)
		require.NoError(t, err)
		require.Zero(t, by)
	}
	require.Zero(t, indexed, "what is indexed is what counts")
	gotFirst, gotNewest, err := m.p.archive.Causes(context.Background(), "fleet", "h")
	require.NoError(t, err)
	require.Equal(t, first, gotFirst)
	require.Equal(t, newest, gotNewest)
}

func (m *machine) origins() []chain.Origin {
	out := []chain.Origin{m.p.ledger.Origin(), m.mallory.origin}
	for _, q := range m.peers {
		out = append(out, q.ledger.Origin())
	}
	return out
}

// contiguous reads every chain from the store, link by link.
func (m *machine) contiguous(t *rapid.T) {
	for _, c := range m.p.archive.Chains() {
		var tail chain.Tail
		tail.Origin = c.Received.Origin
		_, updates, _, err := m.p.archive.Page(tail.Origin, 1, 1<<30)
		require.NoError(t, err)
		for _, u := range updates {
			require.Equal(t, tail.Hash, u.Prev)
			e := chain.Entry{Header: u.Header, Body: u.Delta, Hash: chain.HashUpdate(u.Prev, u.Header, u.Delta)}
			got, err := tail.Next(&e)
			require.NoError(t, err)
			require.Equal(t, &u.Update, got)
		}
		require.Equal(t, c.Received, tail.Head)
	}
}

func TestLedgerMachine(t *testing.T) {
	lagged := 0
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		defer func() { lagged += m.lagged }()
		t.Repeat(map[string]func(*rapid.T){
			"append": m.Append, "publish": m.Publish, "publish more": m.Publish, "peer": m.Peer, "mallory": m.Mallory, "accept": m.Accept, "accept more": m.Accept,
			"serve": m.Serve, "flush": m.Flush, "open": m.Open, "limit": m.Limit, "": m.Check,
		})
		m.Flush(t)
		m.Check(t)
		m.contiguous(t)
		m.answers(t)
		// A ledger that begins anew, is served each chain, and is shown what
		// stopped those that were, comes to the same.
		q := newParty(t, "new", "reader")
		require.NoError(t, m.p.ledger.SetLimit(0, m.now))
		m.Flush(t)
		show := func(yes bool) {
			for _, f := range m.p.archive.Freezes() {
				if !yes {
					break
				}
				_, err := q.ledger.AcceptFreeze(proof(t, m.p, f.Origin), m.now)
				require.NoError(t, err)
				q.flush(t, m.now)
			}
		}
		before := rapid.Bool().Draw(t, "freezes before")
		show(before)
		for _, c := range m.p.archive.Chains() {
			runs, err := m.p.archive.Runs(c.Received.Origin, 1, 1<<30)
			require.NoError(t, err)
			for _, b := range runs {
				r, err := chain.DecodeRun(b)
				require.NoError(t, err)
				q.accept(t, r, m.now)
			}
		}
		show(true) // what was a gap before
		require.Equal(t, m.p.everything(t, testSubjects), q.everything(t, testSubjects))
	})
	require.Positive(t, lagged)
}

// What a ledger keeps in memory does not grow with updates: neither on the own
// chain nor on those of peers, with deps or without, flushed or refused.
func TestMemoryDoesNotGrow(t *testing.T) {
	p, dep := newParty(t, "self", "warehouse"), newForger("dep").genesis()
	var full map[string]int
	for i := range 300 {
		for range 20 {
			dep.status(1, "order/1", fmt.Sprintf(`{"d":%d}`, i))
		}
		p.mustTake(t, dep.run())
		p.publish(t, int64(5000+i), chain.Draft{
			Subject: "order/1", Delta: fmt.Appendf(nil, `{"a":%d}`, i), Deps: []chain.ID{dep.id(uint64(2 + 20*i)), dep.id(uint64(5 + 20*i))},
		})
		if i == 3 {
			full = p.ledger.Sizes()
		}
	}
	require.Equal(t, full, p.ledger.Sizes())

	// A tail that somebody verifies a chain with.
	tail := chain.Tail{Head: chain.Head{Origin: p.ledger.Origin()}}
	for _, r := range p.runs {
		for i := range r.Entries {
			_, err := tail.Next(&r.Entries[i])
			require.NoError(t, err)
		}
	}
	require.LessOrEqual(t, tail.Changed(), 1)
}

// The cache of subjects knows what they take, also of those that were only
// looked at.
func TestCacheKeepsToItsBytes(t *testing.T) {
	p := newParty(t, "self", "warehouse")
	p.config.CacheBytes = 1 << 20
	p.open(t)
	delta := []byte(`{"a":"` + strings.Repeat("x", 50_000) + `"}`)
	for round := range 2 {
		for i := range 60 {
			r := p.publish(t, 5000, chain.Draft{Subject: fmt.Sprintf("order/%d", i), Delta: delta})
			require.Equal(t, round > 0, r.Unchanged)
			counted, real := p.ledger.CacheBytes()
			require.LessOrEqual(t, counted, 1<<20)
			require.LessOrEqual(t, real, counted)
		}
	}
}
