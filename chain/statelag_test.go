package chain_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
)

// many are authorities that each write a member of their own of one subject, in turn.
type many struct {
	subject string
	forgers []*forger
	n       int
}

func newMany(subject string, authorities int) *many {
	m := &many{subject: subject}
	for i := range authorities {
		m.forgers = append(m.forgers, newForger(fmt.Sprint("many ", i)).genesisBy(fmt.Sprint("authority ", i)))
	}
	return m
}

// next is the next one's run of one update, which is length bytes long and some ms after
// that authority's last.
func (m *many) next(length int, ms uint64) *chain.Run {
	i := m.n % len(m.forgers)
	m.n++
	return m.forgers[i].status(ms, m.subject, fmt.Sprintf(`{"m%d":"%05d%s"}`, i, m.n, strings.Repeat("x", length))).run()
}

// readBack holds what the store has of a subject to all its updates, and returns how many
// of them the state lacks.
func (p *party) readBack(t require.TestingT, subject string) (lacks int) {
	state, lag, err := chain.ReadState(p.store, subject)
	require.NoError(t, err)
	require.NotNil(t, state)
	require.LessOrEqual(t, lag[0], 32)
	require.LessOrEqual(t, lag[1], lag[2])
	stitched := func(yield func(*chain.Update, string, error) bool) {
		for u, err := range p.archive.History(subject) {
			if !yield(u, p.archive.Authority(u.ID.Origin), err) {
				return
			}
		}
	}
	whole, err := chain.Rebuild(subject, nil, stitched, nil, nil)
	require.NoError(t, err)
	require.Equal(t, string(whole.AppendView(nil)), string(state.AppendView(nil)))
	require.Equal(t, whole.Append(nil), state.Append(nil))
	return lag[0]
}

// What the states of subjects take of the disk for an update grows little with the number
// of their authorities: a state that grew large lacks the last updates, and is read with them.
func TestLargeStatesLag(t *testing.T) {
	p := newParty(t, "honest", "reader")
	p.store, p.late = &counted{Store: p.store}, true
	p.open(t)
	const authorities, rounds = 16, 20
	m := newMany("order/1", authorities)
	for range authorities {
		p.accept(t, m.next(200, 1), 5000)
	}
	size := func() int {
		b, err := p.store.Get([]byte("sorder/1"))
		require.NoError(t, err)
		return len(b)
	}
	require.Greater(t, size(), 16*200)
	count := p.store.(*counted)
	*count = counted{Store: count.Store}
	most, whole := 0, 0
	for i := range rounds * authorities {
		const opened = 100
		if i == opened {
			require.Positive(t, p.readBack(t, "order/1"))
			p.open(t) // what was kept decoded is gone
		}
		p.accept(t, m.next(200, 1), 5000)
		lacks := p.readBack(t, "order/1")
		if opened <= i && i < opened+4 {
			require.Zero(t, lacks, "it may be let go of again")
		}
		most = max(most, lacks)
		if lacks == 0 {
			whole++
		}
	}
	t.Logf("a state of %d bytes is written %d times for %d updates, lacks %d at most; %d and %d bytes", size(), whole, rounds*authorities, most, count.bytes['s'], count.bytes['l'])
	require.Greater(t, most, 8)
	require.Less(t, whole, rounds*authorities/8)
	require.Less(t, (count.bytes['s']+count.bytes['l'])/(rounds*authorities), size()/8)

	// However little its updates are, and however large it is.
	p.accept(t, m.next(20_000, 1), 5000)
	most = 0
	for range 100 {
		p.accept(t, m.next(1, 1), 5000)
		most = max(most, p.readBack(t, "order/1"))
	}
	require.Equal(t, 32, most)

	// What has one small state is written each time, with nothing beside it.
	count.bytes = [256]int{}
	small := newForger("small").genesis()
	for i := range 20 {
		p.accept(t, small.status(1, "order/2", fmt.Sprintf(`{"a":%d}`, i)).run(), 5000)
		require.Zero(t, p.readBack(t, "order/2"))
	}
	require.Zero(t, count.bytes['l'])
}

// Of a subject that one authority after the other begins to write, the state lacks also
// what each says first, and is read with that.
func TestStatesLagFirstUpdates(t *testing.T) {
	p := newParty(t, "honest", "reader")
	p.late = true
	p.open(t)
	const authorities = 40
	m := newMany("order/1", authorities)
	rand.New(rand.NewPCG(7, 7)).Shuffle(authorities, func(i, j int) { m.forgers[i], m.forgers[j] = m.forgers[j], m.forgers[i] })
	most, whole, firsts := 0, 0, 0
	for i := range 3 * authorities {
		if i%17 == 16 {
			p.open(t) // what was kept decoded is gone, also while it lacks some
		}
		if i%23 == 22 { // several in a batch, of which one is not the first
			f := m.forgers[m.n%authorities]
			for range 3 {
				_, err := p.ledger.Accept(m.next(200, 1), 5000)
				require.NoError(t, err)
			}
			_, err := p.ledger.Accept(f.status(1, "order/1", `{"again":true}`).run(), 5000)
			require.NoError(t, err)
			p.flush(t, 5000)
		}
		p.accept(t, m.next(200, 1), 5000)
		lacks := p.readBack(t, "order/1")
		if most = max(most, lacks); lacks == 0 && m.n <= authorities {
			whole++
		}
		_, lag, err := chain.ReadState(p.store, "order/1")
		require.NoError(t, err)
		if lag[3] > 0 {
			firsts++
		}
	}
	t.Logf("written whole %d times while %d authorities began, lacks %d at most, a first update %d times", whole, authorities, most, firsts)
	require.Less(t, whole, authorities/2)
	require.Greater(t, firsts, authorities/2)
}

// A subject of which all is taken back while its state lacks updates may grow large again.
func TestStateLagIsTakenBack(t *testing.T) {
	p := newParty(t, "honest", "reader")
	p.late = true
	p.open(t)
	f := newForger("mallory").genesis()
	fork := f.copy().status(1, "order/2", `{}`).run()
	p.mustTake(t, f.status(1, "order/1", fmt.Sprintf(`{"a":"%s"}`, strings.Repeat("x", 2000))).run())
	for i := range 6 {
		p.mustTake(t, f.status(1, "order/1", fmt.Sprintf(`{"b":%d}`, i)).run())
	}
	require.Equal(t, 3, p.readBack(t, "order/1"))
	_, err := p.take(t, fork.Append(nil), 5000)
	require.NoError(t, err)
	_, err = p.archive.View(context.Background(), "order/1")
	require.ErrorIs(t, err, chain.ErrNotFound)
	require.Empty(t, storetest.Dump(t, p.store, []byte("l"), []byte("m")))
	m, lagged := newMany("order/1", 3), 0
	for range 12 {
		p.accept(t, m.next(1000, 1), 5000)
		if p.readBack(t, "order/1") > 0 {
			lagged++
		}
	}
	require.Positive(t, lagged)
}

// counted counts the bytes that are written of each kind of key.
type counted struct {
	chain.Store
	bytes [256]int
}

func (c *counted) Commit(b *chain.Batch, sync bool) error {
	err := b.Each(func(key, value []byte) error { c.bytes[key[0]] += len(key) + len(value); return nil }, func([]byte) error { return nil })
	return errors.Join(err, c.Store.Commit(b, sync))
}

// In whatever order the updates of several come, many at once or one by one, and though
// the states are let go of meanwhile, what the store has is the fold of all.
func TestStatesLagInAnyOrder(t *testing.T) {
	lagged, let := 0, 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 11))
		m := newMany("order/1", 2+rng.IntN(6))
		both := []string{"", `,"both":{"a":%d}`, `,"both":{"b":%d}`, `,"both":%d`}
		var left [][]*chain.Run
		for i, f := range m.forgers {
			var runs []*chain.Run
			for n := range 30 {
				more := both[rng.IntN(len(both))]
				if more != "" {
					more = fmt.Sprintf(more, n)
				}
				f.status(uint64(1+rng.IntN(20)), "order/1", fmt.Sprintf(`{"m%d":"%d%s"%s}`, i, n, strings.Repeat("x", rng.IntN(300)), more))
				if rng.IntN(3) > 0 {
					runs = append(runs, f.run())
				}
			}
			left = append(left, append(runs, f.status(1, "order/2", `{}`).run()))
		}
		p := newParty(t, "honest", "reader")
		p.late = seed%2 == 0
		p.open(t)
		if seed%3 == 0 {
			p.ledger.LagSoon()
		}
		for len(left) > 0 {
			i := rng.IntN(len(left))
			_, err := p.ledger.Accept(left[i][0], 5000)
			require.NoError(t, err)
			if left[i] = left[i][1:]; len(left[i]) == 0 {
				left = append(left[:i], left[i+1:]...)
			}
			if rng.IntN(4) > 0 {
				p.flush(t, 5000)
				if p.readBack(t, "order/1") > 0 {
					lagged++
				}
			}
			if rng.IntN(20) == 0 {
				p.flush(t, 5000)
				p.ledger.SweepStates()
				p.ledger.SweepStates()
				let++
			}
		}
		p.flush(t, 5000)
		p.readBack(t, "order/1")
		again := newParty(t, "honest", "reader")
		again.store = p.store
		again.open(t)
		require.Equal(t, p.everything(t, testSubjects), again.everything(t, testSubjects))
	}
	require.Greater(t, lagged, 500)
	require.Greater(t, let, 60)
}

// lagging is a store in which the state of a subject lacks updates.
func lagging(t *testing.T) (p *party, m *many) {
	p, m = newParty(t, "honest", "reader"), newMany("order/1", 4)
	for range 7 {
		p.accept(t, m.next(300, 1), 5000)
	}
	require.Equal(t, 3, p.readBack(t, "order/1"))
	_, lag, err := chain.ReadState(p.store, "order/1")
	require.NoError(t, err)
	require.Equal(t, 3*(128+len(`{"m0":"00000"}`)+300), lag[1])
	return p, m
}

// What is beside a state and is not what it lacks is told from it, at once.
func TestStateLagRefuses(t *testing.T) {
	p, m := lagging(t)
	key := []byte("lorder/1")
	good, err := p.store.Get(key)
	require.NoError(t, err)
	list := string(good)
	require.Len(t, list, 3*2)
	for name, bad := range map[string]string{
		"cut off":                       list[:5],
		"a place that is not":           "\x05\x03",
		"an update that is not":         list[:1] + "\x09",
		"seq 0":                         list[:1] + "\x00",
		"a genesis":                     list[:1] + "\x01",
		"an update that it has":         list[:1] + "\x02",
		"one twice":                     list[:2] + list[:2],
		"number not in short form":      list[:1] + "\x83\x00",
		"a first that is cut off":       "\x04" + string(m.forgers[0].origin[:15]),
		"a first without authority":     "\x04" + string(newForger("other").origin[:]),
		"a first of one that has a tip": "\x04" + string(m.forgers[0].origin[:]) + "\x01a\x03",
		"a first that is not":           "\x04" + string(newForger("other").origin[:]) + "\x01a\x03",
		"no first":                      "\x04" + string(newForger("other").origin[:]) + "\x01a",
	} {
		t.Run(name, func(t *testing.T) {
			moths := &moths{Store: p.store, altered: map[string][]byte{string(key): []byte(bad)}}
			_, _, err := chain.ReadState(moths, "order/1")
			require.ErrorIs(t, err, chain.ErrCorrupt)
			require.ErrorContains(t, err, "order/1")
		})
	}
	stale, err := p.store.Get([]byte("sorder/1"))
	require.NoError(t, err)
	stale[1] |= 1
	_, _, err = chain.ReadState(&moths{Store: p.store, altered: map[string][]byte{"sorder/1": stale}}, "order/1")
	require.ErrorIs(t, err, chain.ErrCorrupt)
	third := string(m.forgers[0].origin[:]) + "\x00\x00\x00\x00\x00\x00\x00\x03"
	parts := 0
	for _, kv := range storetest.Dump(t, p.store, nil, nil) {
		key, _, ok := entry(t, p.store, kv)
		if !ok || !strings.HasSuffix(string(key), third) && string(key) != "lorder/1" {
			continue
		}
		parts++
		var less chain.Batch
		less.Delete(key)
		without := copied(t, p.store)
		require.NoError(t, without.Commit(&less, true))
		_, _, err := chain.ReadState(without, "order/1")
		require.ErrorIs(t, err, chain.ErrCorrupt, "%q", key)
		_, _, err = chain.ReadState(&moths{Store: p.store, gone: map[string]bool{string(key): true}}, "order/1")
		require.ErrorContains(t, err, fmt.Sprintf("key %x", key), "as it could not be read")
	}
	require.Equal(t, 3, parts, "its record, its index, and the list")
	index := 0
	for _, kv := range storetest.Dump(t, p.store, []byte("i"), []byte("j")) {
		if key, _, ok := entry(t, p.store, kv); ok && strings.HasSuffix(string(key), third) {
			index++
			// Behind seq 1, of 1 in place of 2 ms before.
			_, _, err := chain.ReadState(&moths{Store: p.store, altered: map[string][]byte{string(key): {1, 2, 1, 0}}}, "order/1")
			require.ErrorIs(t, err, chain.ErrCorrupt)
			require.ErrorContains(t, err, "is behind")
		}
	}
	require.Equal(t, 1, index)
	// The second of an origin as if it were the first.
	fifth := newForger("fifth").genesisBy("authority 5")
	before, err := p.store.Get([]byte("sorder/1"))
	require.NoError(t, err)
	a, b := m.forgers[0], m.forgers[1]
	if a.origin.Compare(b.origin) > 0 {
		a, b = b, a
	}
	fifth.status(100, "order/1", `{"m5":1}`, append(fresh(0, a.origin, 2), fresh(1, b.origin, 2)...)...)
	p.accept(t, fifth.run(), 5000)
	p.accept(t, fifth.status(1, "order/1", `{"m5":2}`).run(), 5000)
	second := list + "\x04" + string(fifth.origin[:]) + "\x0bauthority 5\x03"
	_, _, err = chain.ReadState(&moths{Store: p.store, altered: map[string][]byte{"sorder/1": before, string(key): []byte(second)}}, "order/1")
	require.ErrorIs(t, err, chain.ErrCorrupt)
	require.ErrorContains(t, err, "is behind")
	// One that would have the state folded anew: it was written whole then.
	p.accept(t, m.forgers[0].status(100, "order/1", `{"m0":{"last":1}}`).run(), 5000)
	was, err := p.store.Get([]byte("sorder/1"))
	require.NoError(t, err)
	lag, err := p.store.Get(key)
	require.NoError(t, err)
	p.accept(t, m.forgers[1].status(1, "order/1", `{"m0":{"late":1}}`).run(), 5000)
	require.Zero(t, p.readBack(t, "order/1"))
	lag = append(lag, list[2], 4)
	_, _, err = chain.ReadState(&moths{Store: p.store, altered: map[string][]byte{"sorder/1": was, "lorder/1": lag}}, "order/1")
	require.ErrorIs(t, err, chain.ErrCorrupt)
	require.ErrorContains(t, err, "has to be folded in")
}

// copied is a store with all that another one has.
func copied(t require.TestingT, from chain.Store) chain.Store {
	var all chain.Batch
	it := from.Scan(nil, nil)
	for it.Next() {
		all.Set(it.Key(), it.Value())
	}
	require.NoError(t, it.Close())
	to := store.Memory()
	require.NoError(t, to.Commit(&all, true))
	return to
}

// between is a store in which something happens before one of its reads.
type between struct {
	chain.Store
	left   int // reads before that
	happen func()
}

func (b *between) read() {
	if b.left--; b.left == -1 {
		b.happen()
	}
}

func (b *between) Get(key []byte) ([]byte, error) {
	b.read()
	return b.Store.Get(key)
}

func (b *between) Scan(lo, hi []byte) chain.Iterator {
	b.read()
	return &betweenIterator{b.Store.Scan(lo, hi), b}
}

type betweenIterator struct {
	chain.Iterator
	b *between
}

func (it *betweenIterator) SeekGE(key []byte) bool {
	it.b.read()
	return it.Iterator.SeekGE(key)
}

func (it *betweenIterator) Next() bool {
	it.b.read()
	return it.Iterator.Next()
}

// Whatever the writer does while a state is read that lags, the reader gets it as it was
// before that, or is since.
func TestStatesWrittenWhileTheyAreRead(t *testing.T) {
	for name, happen := range map[string]func(t *testing.T, p *party, m *many, forked *chain.Run){
		"lacks one more": func(t *testing.T, p *party, m *many, _ *chain.Run) { p.accept(t, m.next(10, 1), 5000) },
		"written whole":  func(t *testing.T, p *party, m *many, _ *chain.Run) { p.accept(t, m.next(3000, 1), 5000) },
		"written whole, and lags again": func(t *testing.T, p *party, m *many, _ *chain.Run) {
			p.accept(t, m.next(3000, 1), 5000)
			p.accept(t, m.next(10, 1), 5000)
		},
		"taken back": func(t *testing.T, p *party, _ *many, forked *chain.Run) {
			_, err := p.take(t, forked.Append(nil), 5000)
			require.NoError(t, err)
			require.NotNil(t, p.ledger.Frozen(forked.Origin))
		},
	} {
		for what, read := range map[string]func(p *party, b *between) (*chain.State, error){
			"state": func(p *party, b *between) (*chain.State, error) {
				state, _, err := chain.ReadState(b, "order/1")
				return state, err
			},
			"page": func(p *party, b *between) (found *chain.State, err error) {
				p.archive.ReadFrom(b)
				for state, err := range p.archive.Subjects(context.Background(), "order", "") {
					if err != nil || state.Subject() == "order/1" {
						return state, err
					}
				}
				return nil, chain.ErrNotFound
			},
		} {
			t.Run(what+" "+name, func(t *testing.T) {
				bytes := func(p *party) string {
					state, _, err := chain.ReadState(p.store, "order/1")
					require.NoError(t, err)
					return string(state.Append(nil))
				}
				left := 0
				for ; ; left++ {
					p, m := lagging(t)
					// The last update that the state lacks has seen one that a freeze takes back.
					z := newForger("mallory").genesis()
					p.mustTake(t, z.run())
					fork := z.copy().status(1, "order/2", `{"f":1}`).run()
					p.mustTake(t, z.status(1, "order/1", `{"m1":"mallory"}`).run())
					for range 3 {
						p.accept(t, m.next(300, 1), 5000)
					}
					i := m.n % len(m.forgers)
					m.n++
					p.mustTake(t, m.forgers[i].status(50, "order/1", `{"m1":"has seen it"}`, fresh(0, z.origin, 2)...).run())
					require.Positive(t, p.readBack(t, "order/1"))
					before := bytes(p)
					b := &between{Store: p.store, left: left, happen: func() { happen(t, p, m, fork) }}
					state, err := read(p, b)
					require.NoError(t, err)
					is := string(state.Append(nil))
					if b.left >= 0 {
						require.Equal(t, before, is)
						break
					}
					require.Contains(t, []string{before, bytes(p)}, is, "before read %d", left)
				}
				require.GreaterOrEqual(t, left, 6)
			})
		}
	}
}

// A page of subjects has what their states lack too, and what was written since the page
// was begun is read anew.
func TestPagesOfStatesThatLag(t *testing.T) {
	p, m := lagging(t)
	p.accept(t, newForger("other").genesisBy("reader").status(1, "order/0", `{"a":1}`).run(), 5000)
	p.accept(t, m.next(10, 1), 5000)
	n := 0
	for state, err := range p.archive.Subjects(context.Background(), "", "") {
		require.NoError(t, err)
		if n++; n == 1 {
			require.Equal(t, "order/0", state.Subject())
			p.accept(t, m.next(3000, 1), 5000)
			continue
		}
		require.Equal(t, uint64(9), state.Updates())
		view, err := p.archive.View(context.Background(), "order/1")
		require.NoError(t, err)
		require.Equal(t, string(view.AppendView(nil)), string(state.AppendView(nil)))
	}
	require.Equal(t, 2, n)
}

// A subject that is taken back while its page is read is not in it, or as it was.
func TestPagesWhileStatesAreTakenBack(t *testing.T) {
	gone := 0
	for left := 0; ; left++ {
		p := newParty(t, "honest", "reader")
		f := newForger("mallory").genesis()
		p.mustTake(t, f.run())
		fork := f.copy().status(1, "order/2", `{}`).run()
		for i := range 4 {
			p.mustTake(t, f.status(1, "order/1", fmt.Sprintf(`{"n":%d,"a":"%s"}`, i, strings.Repeat("x", 500*(1-min(i, 1))))).run())
		}
		require.Positive(t, p.readBack(t, "order/1"))
		b := &between{Store: p.store, left: left, happen: func() {
			_, err := p.take(t, fork.Append(nil), 5000)
			require.NoError(t, err)
		}}
		p.archive.ReadFrom(b)
		n := 0
		for state, err := range p.archive.Subjects(context.Background(), "order", "") {
			require.NoError(t, err, "before read %d", left)
			require.Equal(t, uint64(4), state.Updates())
			n++
		}
		if b.left >= 0 {
			require.Equal(t, 1, n)
			break
		}
		gone += 1 - n
	}
	require.GreaterOrEqual(t, gone, 2)
}

// FuzzStateLag reads what a damaged disk may hold beside a state.
func FuzzStateLag(f *testing.F) {
	p, m := newParty(f, "honest", "reader"), newMany("order/1", 4)
	for range 7 {
		p.accept(f, m.next(300, 1), 5000)
	}
	p.accept(f, newForger("fifth").genesisBy("authority 5").status(5, "order/1", `{"m5":1}`).run(), 5000)
	good, err := p.store.Get([]byte("lorder/1"))
	require.NoError(f, err)
	f.Add(good)
	f.Add(good[:3])
	f.Add([]byte(string(good) + "\x06\x02"))
	f.Add([]byte("\x05\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _, err := chain.ReadState(&moths{Store: p.store, altered: map[string][]byte{"lorder/1": b}}, "order/1")
		if err != nil {
			require.ErrorIs(t, err, chain.ErrCorrupt)
			return
		}
		require.GreaterOrEqual(t, s.Updates(), uint64(4))
		require.LessOrEqual(t, s.Updates(), uint64(8))
	})
}

// A state that lacks as many updates as it may costs a reader so many looks more.
func BenchmarkReadStateThatLags(b *testing.B) {
	for _, lacks := range []int{0, 7, 14} {
		b.Run(fmt.Sprint(lacks), func(b *testing.B) {
			p, m := newParty(b, "honest", "reader"), newMany("order/1", 16)
			for range 16 + lacks {
				p.accept(b, m.next(200, 1), 5000)
			}
			require.Equal(b, lacks, p.readBack(b, "order/1"))
			for b.Loop() {
				if _, _, err := chain.ReadState(p.store, "order/1"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
