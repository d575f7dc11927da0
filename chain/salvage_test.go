package chain_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
)

// moths are in a store: some keys do not read, and some values read otherwise.
type moths struct {
	chain.Store
	gone    map[string]bool
	altered map[string][]byte
}

func (m *moths) Get(key []byte) ([]byte, error) {
	if m.gone[string(key)] {
		return nil, fmt.Errorf("key %x: %w", key, chain.ErrCorrupt)
	}
	if v, ok := m.altered[string(key)]; ok {
		return append([]byte{}, v...), nil
	}
	return m.Store.Get(key)
}

func (m *moths) Scan(lo, hi []byte) chain.Iterator {
	return &mothIterator{m.Store.Scan(lo, hi), m, nil}
}

type mothIterator struct {
	chain.Iterator
	m   *moths
	err error
}

func (it *mothIterator) at(ok bool) bool {
	if ok && it.m.gone[string(it.Iterator.Key())] {
		it.err = fmt.Errorf("key %x: %w", it.Iterator.Key(), chain.ErrCorrupt)
	}
	return ok && it.err == nil
}

func (it *mothIterator) Next() bool { return it.err == nil && it.at(it.Iterator.Next()) }

func (it *mothIterator) SeekGE(key []byte) bool {
	return it.err == nil && it.at(it.Iterator.SeekGE(key))
}
func (it *mothIterator) Close() error { return errors.Join(it.err, it.Iterator.Close()) }

func (it *mothIterator) Value() []byte {
	if v, ok := it.m.altered[string(it.Key())]; ok {
		return v
	}
	return it.Iterator.Value()
}

// worn is a party that has seen a random history, published into it and keeps
// records, and the runs of all chains, its own among them.
func worn(t *rapid.T) (p *party, runs []*chain.Run, names []chain.Origin) {
	runs, names = script(t)
	p = newParty(t, "reader", "reader")
	names = append(names, p.ledger.Origin())
	for i, r := range runs {
		p.accept(t, r, 5000)
		if i%2 == 0 {
			d := chain.Draft{Subject: "order/1", Delta: fmt.Appendf(nil, `{"seen":%d}`, i/4), Key: fmt.Sprintf("key %d", i)}
			_, _ = p.try(t, 5000, d) // every other time there is nothing to say, and the key is kept beside
		}
	}
	for progress := true; progress; { // what was held back by the order
		progress = false
		for _, r := range runs {
			progress = p.accept(t, r, 5000).Verdict == chain.Accepted || progress
		}
	}
	p.ledger.PutPrivate("place", []byte("somewhere"))
	p.flush(t, 5000)
	return p, append(runs, p.runs...), names
}

// salvaged is a party with the same key on what could be salvaged.
func (p *party) salvaged(t require.TestingT, from chain.Reader, note []byte) (*party, *chain.Salvaged) {
	q := &party{name: p.name, config: p.config, store: store.Memory()}
	out, err := chain.Salvage(from, q.store, q.config, chain.SalvageOptions{Note: note, Now: 5000})
	require.NoError(t, err)
	q.open(t)
	return q, out
}

// Of a store that is whole a salvage loses nothing: not a view, an index, a
// freeze, a key nor a record.
func TestSalvageOfAWholeStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, _, names := worn(t)
		q, out := p.salvaged(t, p.store, p.archive.HeadsNote())
		require.Empty(t, out.Lost())
		require.Empty(t, out.Unread)
		require.Equal(t, p.summary(names), q.summary(names))
		require.Equal(t, p.everything(t, testSubjects), q.everything(t, testSubjects))
		require.True(t, slices.Equal(dumpBut(t, p.store, "kx", p.ledger.Origin()), dumpBut(t, q.store, "kx", p.ledger.Origin())))
		// A key that an update brought back has the update's time.
		require.Len(t, storetest.Dump(t, q.store, []byte("k"), []byte("l")), len(storetest.Dump(t, p.store, []byte("k"), []byte("l"))))
		for i := range 20 {
			d := chain.Draft{Subject: "order/1", Delta: fmt.Appendf(nil, `{"seen":%d}`, i/4), Key: fmt.Sprintf("key %d", i)}
			was, err := p.try(t, 5000, d)
			if err != nil || !was.Repeated {
				continue
			}
			is, err := q.try(t, 5000, d)
			require.NoError(t, err)
			require.Equal(t, was, is)
		}
	})
}

// Whatever does not read, or reads otherwise: what is salvaged is the beginning
// of each chain as it was, what is missing of it is named, and with the runs
// from peers the ledger is again what it was.
func TestSalvageOfADamagedStore(t *testing.T) {
	lost := 0
	rapid.Check(t, func(t *rapid.T) {
		p, runs, names := worn(t)
		m := &moths{Store: p.store, gone: map[string]bool{}, altered: map[string][]byte{}}
		all := storetest.Dump(t, p.store, nil, nil)
		for range rapid.IntRange(1, 6).Draw(t, "damages") {
			kv := rapid.SampledFrom(all).Draw(t, "key")
			if kv[0] == 'u' && rapid.Bool().Draw(t, "altered") {
				key, value, ok := entry(t, p.store, kv)
				require.True(t, ok)
				value[rapid.IntRange(0, len(value)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
				m.altered[string(key)] = value
				continue
			}
			key, _, ok := entry(t, p.store, kv)
			require.True(t, ok)
			m.gone[string(key)] = true
		}
		q, out := p.salvaged(t, m, p.archive.HeadsNote())
		named := map[chain.Origin]bool{}
		for _, c := range out.Lost() {
			named[c.Origin] = true
			require.Error(t, c.End)
			require.Equal(t, p.ledger.Head(c.Origin).Seq, c.Known)
			lost++
		}
		for _, o := range names {
			have, had := q.ledger.Head(o), p.ledger.Head(o)
			require.Equal(t, have.Seq < had.Seq, named[o], "%s: %d of %d", o, have.Seq, had.Seq)
			if have.Seq > had.Seq {
				// The freeze is lost, so what it took back counts until peers tell it.
				require.NotNil(t, p.ledger.Frozen(o))
				require.Nil(t, q.ledger.Frozen(o))
				continue
			}
			if have.Seq > 0 {
				u, err := p.archive.Update(chain.ID{Origin: o, Seq: have.Seq})
				require.NoError(t, err)
				require.Equal(t, u.Hash, have.Hash)
			}
		}
		missing, err := q.archive.CheckNote(p.archive.HeadsNote())
		require.NoError(t, err)
		require.Len(t, missing, len(named))

		for progress := true; progress; {
			progress = false
			for _, r := range runs {
				progress = q.accept(t, r, 5000).Verdict == chain.Accepted || progress
			}
			for _, f := range p.archive.Freezes() {
				progress = q.toldOf(t, p, f.Origin) || progress
			}
		}
		require.Equal(t, p.everything(t, testSubjects), q.everything(t, testSubjects))
		require.Equal(t, p.ledger.SyncRoot(), q.ledger.SyncRoot())
	})
	if lost == 0 {
		t.Error("no chain lost anything: nothing was damaged")
	}
}

// toldOf hands over the evidence of a freeze, and reports whether it was news.
func (p *party) toldOf(t require.TestingT, by *party, o chain.Origin) bool {
	b, err := by.archive.Evidence(o)
	require.NoError(t, err)
	f, err := chain.DecodeFreeze(b)
	require.NoError(t, err)
	require.NoError(t, f.Verify())
	was := p.ledger.Frozen(o)
	_, err = p.ledger.AcceptFreeze(f, 5000)
	require.NoError(t, err)
	p.flush(t, 5000)
	return was != p.ledger.Frozen(o)
}

// entry finds the key and the value of a line of a dump.
func entry(t require.TestingT, s chain.Store, line string) (key, value []byte, ok bool) {
	it := s.Scan(nil, nil)
	defer func() { require.NoError(t, it.Close()) }()
	for it.Next() {
		if fmt.Sprintf("%s=%s", it.Key(), it.Value()) == line {
			return append([]byte{}, it.Key()...), append([]byte{}, it.Value()...), true
		}
	}
	return nil, nil, false
}
