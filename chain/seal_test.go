package chain_test

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
)

// checkSeals holds all that is published of each chain to its seals: by hand, and as
// it is served to peers.
func (p *party) checkSeals(t require.TestingT) {
	for _, info := range p.archive.Chains() {
		if info.Received.Seq > 0 {
			p.checkSealsOf(t, info.Received.Origin)
		}
	}
}

func (p *party) checkSealsOf(t require.TestingT, o chain.Origin) {
	info, updates, seals, err := p.archive.Page(o, 1, 1<<20)
	require.NoError(t, err)
	sealed := chain.Seq(0)
	for _, s := range seals {
		require.NoError(t, chain.VerifySeal(info.Genesis.Key, chain.Head{Origin: o, Seq: s.Seq, Hash: updates[s.Seq-1].Hash}, s.Signature))
		sealed = s.Seq
	}
	cover, err := p.archive.Cover(info)
	require.NoError(t, err)
	if cover != nil {
		require.NoError(t, cover.Verify(info.Genesis.Key, info.Received))
		sealed = info.Received.Seq
	}
	if len(updates) == int(info.Received.Seq) {
		require.Equal(t, info.Received.Seq, sealed)
	}
	for next := chain.Seq(1); next <= info.Received.Seq; {
		runs, err := p.archive.Runs(o, next, 2000)
		require.NoError(t, err)
		require.NotEmpty(t, runs, "nothing is served from %d on", next)
		for _, b := range runs {
			r, err := chain.DecodeRun(b)
			require.NoError(t, err)
			require.NoError(t, r.Verify(info.Genesis.Key))
			next = r.Last() + 1
		}
	}
}

// append puts drafts of so many bytes on the own chain, without a flush.
func (p *party) append(t require.TestingT, now int64, sizes ...int) {
	for i, n := range sizes {
		prepared, err := chain.Prepare(chain.Draft{
			Subject: testSubjects[i%len(testSubjects)],
			Delta:   fmt.Appendf(nil, `{"a":"%d %d %d %s"}`, now, i, p.ledger.Head(p.ledger.Origin()).Seq, strings.Repeat("x", n)),
		})
		require.NoError(t, err)
		_, err = p.ledger.Append(prepared, now)
		require.NoError(t, err)
	}
}

// appendEach commits n drafts of so many bytes, each by itself.
func (p *party) appendEach(t require.TestingT, n, size int) {
	for range n {
		p.append(t, 1000, size)
		p.flush(t, 1000)
	}
}

// Of the own chain the log has a seal every few kilobytes, and none of the last run.
// All of it is served under seals all the same.
func TestSealsOfTheOwnLog(t *testing.T) {
	p := &party{name: "writer", config: chain.Config{Key: testKey("writer"), Node: "w", Authority: "a"}, store: store.Memory(), late: true}
	p.open(t)
	const n = 600
	for i := range n {
		p.append(t, int64(1000+i), 256)
		p.flush(t, int64(1000+i))
	}
	_, updates, seals, err := p.archive.Page(p.ledger.Origin(), 1, n+1)
	require.NoError(t, err)
	require.Len(t, updates, n+1)
	require.EqualValues(t, n+1, seals[len(seals)-1].Seq)
	require.Less(t, len(seals), n/20)
	last, size := chain.Seq(0), 0
	for _, u := range updates {
		size += len(u.Header) + len(u.Delta)
		if u.ID.Seq == seals[0].Seq {
			require.LessOrEqual(t, size, 8<<10, "from %d to %d", last, u.ID.Seq)
			last, size, seals = u.ID.Seq, 0, seals[1:]
		}
	}
	p.checkSeals(t)
	for _, size := range []int{0, 20_000, 200_000} {
		runs, err := p.archive.Runs(p.ledger.Origin(), 100, size)
		require.NoError(t, err)
		total := 0
		for _, b := range runs {
			total += len(b)
		}
		require.Less(t, total, max(size, 9<<10))
	}
}

// A flush can leave the seals to be made while the batch is committed.
func TestFlushUnsealed(t *testing.T) {
	p := newParty(t, "writer", "a")
	for i := range 5 {
		p.append(t, 1000, 1, 2, 3)
		batch, effects, err := p.ledger.FlushUnsealed(1000)
		require.NoError(t, err)
		require.Len(t, effects.Own, 1)
		require.Zero(t, effects.Own[0].Signature)
		sealed := make(chan bool)
		go func() {
			effects.Seal()
			close(sealed)
		}()
		require.NoError(t, p.store.Commit(batch, true))
		<-sealed
		p.archive.Publish(p.ledger, effects)
		wireCopy(t, effects.Own[0], public(p.config.Key))
		p.checkSeals(t)
		seal := &effects.Own[0].Signature
		seal[0]++
		was := *seal
		effects.Seal()
		require.Equal(t, was, *seal, "round %d", i)
		seal[0]--
	}
}

// drawWriter is a party that has published batches of random sizes, what its store got,
// and its heads after each commit.
func drawWriter(t *rapid.T) (*party, *tape, []chain.Head) {
	p := newParty(t, "writer", "a")
	tape := &tape{Store: p.store}
	p.store = tape
	p.open(t)
	heads := []chain.Head{p.ledger.Head(p.ledger.Origin())}
	for i := range rapid.IntRange(1, 8).Draw(t, "batches") {
		pads := rapid.SliceOfN(rapid.SampledFrom([]int{0, 200, 3000, 60_000}), 1, 12).Draw(t, "pads")
		p.append(t, int64(1000+i), pads...)
		p.flush(t, int64(1000+i))
		heads = append(heads, p.ledger.Head(p.ledger.Origin()))
	}
	p.checkSeals(t)
	return p, tape, heads
}

// after is the node of p with another store and, for all but "", another key.
func (p *party) after(t require.TestingT, s chain.Store, key string, former ...ed25519.PrivateKey) *party {
	q := &party{name: p.name, config: p.config, store: s}
	if key != "" {
		q.config.Key, q.config.Former, q.config.Predecessor = testKey(key), former, p.ledger.Origin()
	}
	q.open(t)
	return q
}

// Whenever a writer is killed, all that was committed of its chain is served, by itself
// and, once it has another key, as a chain that it wrote before.
func TestSealsAtEveryCommit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, tape, heads := drawWriter(t)
		o := p.ledger.Origin()
		for n, head := range heads {
			q := p.after(t, tape.upTo(t, n), "")
			require.Equal(t, head, q.archive.Head(o))
			q.checkSeals(t)
			q.append(t, 5000, 1)
			q.flush(t, 5000)
			require.Greater(t, q.archive.Head(o).Seq, head.Seq)
			q.checkSeals(t)
			q.after(t, q.store, "").checkSeals(t)

			q = p.after(t, tape.upTo(t, n), "another", testKey("unused"), p.config.Key)
			q.append(t, 5000, 1)
			q.flush(t, 5000)
			require.Equal(t, head, q.archive.Head(o))
			q.checkSeals(t)
			// From then on the log has all seals of it.
			if third := p.after(t, q.store, "third"); head.Seq > 0 {
				third.checkSealsOf(t, o)
			}
		}
	})
}

// Who has the key no more serves what the log has seals of.
func TestSealsWithoutTheKey(t *testing.T) {
	p := newParty(t, "writer", "a")
	p.appendEach(t, 7, 300)
	o := p.ledger.Origin()
	q := p.after(t, p.store, "another")
	info, ok := q.archive.Info(o)
	require.True(t, ok)
	require.EqualValues(t, 8, info.Received.Seq)
	runs, err := q.archive.Runs(o, 1, 1<<20)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	r, err := chain.DecodeRun(runs[0])
	require.NoError(t, err)
	require.NoError(t, r.Verify(info.Genesis.Key))
	require.Less(t, r.Last(), info.Received.Seq)
	require.NotZero(t, r.Last())
	runs, err = q.archive.Runs(o, r.Last()+1, 1<<20)
	require.NoError(t, err)
	require.Empty(t, runs)
}

// A writer whose own chain is stopped, wherever that is and whatever it was about to
// append, serves what shows that its chain is good up to there.
func TestSealsOfAnOwnChainThatIsStopped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, _, heads := drawWriter(t)
		o := p.ledger.Origin()
		end := heads[len(heads)-1]
		_, updates, _, err := p.archive.Page(o, 1, 1<<20)
		require.NoError(t, err)
		if rapid.Bool().Draw(t, "appended") {
			p.append(t, 5000, 1, 1)
		}
		after := chain.Seq(rapid.IntRange(1, min(len(updates), int(end.Seq))).Draw(t, "after"))
		head := chain.Head{Origin: o, Seq: after, Hash: updates[after-1].Hash}
		if rapid.Bool().Draw(t, "forked") {
			f := newForger("writer")
			f.first, f.seq, f.prev, f.hash = after+1, after, head.Hash, head.Hash
			r := f.status(1<<30, "order/1", `{"forked":1}`).run()
			out, err := p.ledger.Accept(wireCopy(t, r, public(p.config.Key)), 5000)
			require.NoError(t, err)
			if out.Verdict == chain.Accepted {
				require.Equal(t, end.Seq, after)
				return
			}
			require.Equal(t, chain.Forked, out.Verdict)
		} else {
			out, err := p.ledger.AcceptFreeze(chain.SignSeal(p.config.Key, head), 5000)
			require.NoError(t, err)
			require.Equal(t, chain.Accepted, out.Verdict)
		}
		p.flush(t, 5000)
		require.Equal(t, head, p.archive.Head(o))
		p.checkSeals(t)
		info, _, seals, err := p.archive.Page(o, 1, 1<<20)
		require.NoError(t, err)
		cover, err := p.archive.Cover(info)
		require.NoError(t, err)
		for _, key := range []string{"", "another"} {
			q := p.after(t, p.store, key, p.config.Key)
			q.flush(t, 5000)
			q.checkSeals(t)
			info, _, again, err := q.archive.Page(o, 1, 1<<20)
			require.NoError(t, err)
			require.Equal(t, seals, again)
			covered, err := q.archive.Cover(info)
			require.NoError(t, err)
			require.Equal(t, cover, covered)
		}
	})
}

// A writer whose store was set back gets its chain from peers, in runs of any size, and
// serves it as they do.
func TestSealsOfAnOwnChainThatComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, tape, _ := drawWriter(t)
		o := p.ledger.Origin()
		peer := newParty(t, "peer", "b")
		for _, r := range p.runs {
			peer.accept(t, r, 5000)
		}
		q := p.after(t, tape.upTo(t, rapid.IntRange(0, len(tape.batches)).Draw(t, "kept")), "")
		for head := q.archive.Head(o); head.Seq < p.archive.Head(o).Seq; head = q.archive.Head(o) {
			runs, err := peer.archive.Runs(o, head.Seq+1, rapid.SampledFrom([]int{0, 1 << 30}).Draw(t, "size"))
			require.NoError(t, err)
			for _, b := range runs {
				r, err := chain.DecodeRun(b)
				require.NoError(t, err)
				require.Equal(t, chain.Accepted, q.accept(t, r, 5000).Verdict)
			}
			q.checkSeals(t)
		}
		q.append(t, 6000, 1)
		q.flush(t, 6000)
		q.checkSeals(t)
		q.after(t, q.store, "").checkSeals(t)
	})
}

// A salvage signs the own chain, as far as it is what was written.
func TestSalvageOfAnOwnChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, _, heads := drawWriter(t)
		o := p.ledger.Origin()
		end := heads[len(heads)-1].Seq
		bad := chain.Seq(rapid.IntRange(2, int(end)).Draw(t, "bad"))
		m := &moths{Store: p.store, altered: map[string][]byte{}}
		key := chain.UpdateKey(chain.ID{Origin: o, Seq: bad})
		value, err := p.store.Get(key)
		require.NoError(t, err)
		damage := rapid.SampledFrom([]string{"none", "seal", "body", "gone"}).Draw(t, "damage")
		switch damage {
		case "body":
			i := strings.LastIndex(string(value), `"}`)
			value[i-1] ^= 1
			m.altered[string(key)] = value
		case "seal": // if it has one: nobody needs that
			value[len(value)-1] ^= 1
			if sealed, err := chain.Unsealed(key, value); err == nil && len(sealed) < len(value) {
				m.altered[string(key)] = value
			}
		case "gone":
			m.gone = map[string]bool{string(key): true}
		}
		key2 := "" // as the node that wrote it, or as one that did before
		var former []ed25519.PrivateKey
		if rapid.Bool().Draw(t, "rekeyed") {
			key2, former = "another", []ed25519.PrivateKey{p.config.Key}
		}
		q := p.after(t, store.Memory(), key2, former...)
		out, err := chain.Salvage(m, q.store, q.config, chain.SalvageOptions{Now: 5000})
		require.NoError(t, err)
		q.open(t)
		q.checkSeals(t)
		if damage == "none" || damage == "seal" {
			require.Empty(t, out.Lost())
			require.Equal(t, end, q.archive.Head(o).Seq)
			return
		}
		require.Len(t, out.Lost(), 1)
		have, was := q.archive.Head(o), bad-1
		require.Equal(t, was, have.Seq, "%s at %d of %d", damage, bad, end)
	})
}

// A seal that is behind a large run stays there when the update behind it is written
// again, so that no run is served that is larger than one may be.
func TestSealsOfLargeRuns(t *testing.T) {
	p := newParty(t, "writer", "a")
	p.append(t, 1000, 60_000, 60_000, 60_000, 60_000, 60_000, 60_000, 60_000, 60_000)
	p.flush(t, 1000)
	p.append(t, 1001, 60_000)
	p.flush(t, 1001)
	q := p.after(t, p.store, "another", p.config.Key)
	q.flush(t, 1002)
	q.checkSeals(t)
	p.after(t, p.store, "third").checkSeals(t)

	// The same where it is written again at once.
	p.store = store.Memory()
	p.open(t)
	p.append(t, 1000, 60_000, 60_000, 60_000, 60_000, 60_000, 60_000, 60_000, 60_000)
	p.flush(t, 1000)
	p.append(t, 1001, 60_000)
	p.flush(t, 1001)
	_, err := p.ledger.AcceptFreeze(chain.SignSeal(p.config.Key, p.archive.Head(p.ledger.Origin())), 1002)
	require.NoError(t, err)
	p.flush(t, 1002)
	p.checkSeals(t)

	q = &party{name: "late", config: chain.Config{Key: testKey("late"), Node: "l", Authority: "l"}, store: store.Memory(), late: true}
	q.open(t)
	q.append(t, 1000, 60_000, 60_000, 60_000, 60_000, 60_000, 60_000, 60_000, 60_000, 40_000)
	q.flush(t, 1000)
	require.Len(t, q.runs, 1)
	q.open(t)
	q.append(t, 1001, 5000)
	q.flush(t, 1001)
	q.append(t, 1002, 60_000)
	q.flush(t, 1002)
	q.checkSeals(t)
}

// What is signed at the opening is what the chain's record says, or nothing.
func TestSealOfADamagedEnd(t *testing.T) {
	p := newParty(t, "writer", "a")
	p.append(t, 1000, 1)
	p.flush(t, 1000)
	head := p.archive.Head(p.ledger.Origin())
	key := chain.UpdateKey(chain.ID{Origin: head.Origin, Seq: head.Seq})
	value, err := p.store.Get(key)
	require.NoError(t, err)
	i := strings.Index(string(value), string(head.Hash[:]))
	require.Positive(t, i)
	value[i] ^= 1
	_, err = chain.NewLedger(&moths{Store: p.store, altered: map[string][]byte{string(key): value}}, p.config, 1)
	require.ErrorIs(t, err, chain.ErrCorrupt)
}

// A record that cannot be read, or is not there, is no matter of a page that ends before
// it, though a seal could be in it.
func TestPageBeforeDamage(t *testing.T) {
	p := newParty(t, "writer", "a")
	p.appendEach(t, 20, 100)
	o := p.ledger.Origin()
	whole := p.store
	for bad := chain.Seq(2); bad <= 20; bad++ {
		key := string(chain.UpdateKey(chain.ID{Origin: o, Seq: bad}))
		missing := copyOf(t, whole, func(k, v []byte) []byte {
			if string(k) == key {
				return nil
			}
			return v
		})
		for name, s := range map[string]chain.Store{
			"unread":  &moths{Store: whole, gone: map[string]bool{key: true}},
			"altered": &moths{Store: whole, altered: map[string][]byte{key: {0xc1}}},
			"missing": missing,
		} {
			q := p.after(t, s, "")
			info, updates, seals, err := q.archive.Page(o, 1, int(bad)-1)
			require.NoError(t, err, name)
			require.Len(t, updates, int(bad)-1)
			for _, s := range seals {
				require.NoError(t, chain.VerifySeal(info.Genesis.Key, chain.Head{Origin: o, Seq: s.Seq, Hash: updates[s.Seq-1].Hash}, s.Signature), name)
			}
			_, _, _, err = q.archive.Page(o, 1, int(bad))
			require.ErrorIs(t, err, chain.ErrCorrupt, name)
		}
	}
}

// What leads from the end of a chain that was stopped to its seal is read, or said to be
// damaged.
func TestDamageBeyondTheEnd(t *testing.T) {
	p := newParty(t, "writer", "a")
	p.append(t, 1000, 1, 1, 1, 1, 1)
	p.flush(t, 1000)
	o := p.ledger.Origin()
	_, updates, _, err := p.archive.Page(o, 1, 3)
	require.NoError(t, err)
	_, err = p.ledger.AcceptFreeze(chain.SignSeal(p.config.Key, chain.Head{Origin: o, Seq: 3, Hash: updates[2].Hash}), 1000)
	require.NoError(t, err)
	p.flush(t, 1000)
	for bad := chain.Seq(4); bad <= 6; bad++ {
		q := p.after(t, &moths{Store: p.store, gone: map[string]bool{string(chain.UpdateKey(chain.ID{Origin: o, Seq: bad})): true}}, "")
		info, _ := q.archive.Info(o)
		_, err := q.archive.Cover(info)
		require.ErrorIs(t, err, chain.ErrCorrupt)
		_, err = q.archive.Runs(o, 1, 1<<20)
		require.ErrorIs(t, err, chain.ErrCorrupt)
	}
}

// copyOf is a store with what change makes of the values of another, but for those that
// are nil.
func copyOf(t require.TestingT, s chain.Store, change func(key, value []byte) []byte) chain.Store {
	to := store.Memory()
	var b chain.Batch
	it := s.Scan(nil, nil)
	for it.Next() {
		if v := change(it.Key(), it.Value()); v != nil {
			b.Set(it.Key(), v)
		}
	}
	require.NoError(t, it.Close())
	require.NoError(t, to.Commit(&b, true))
	return to
}

// A store that a build of version 4 wrote has each run's seal with its last update. It is
// read, and goes on as one of this version.
func TestSealsOfVersion4(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, _, _ := drawWriter(t)
		seals := map[string][]byte{}
		for _, r := range p.runs {
			seals[string(chain.UpdateKey(chain.ID{Origin: r.Origin, Seq: r.Last()}))] = r.Signature[:]
		}
		old := copyOf(t, p.store, func(key, value []byte) []byte {
			if key[0] != 'u' {
				return value
			}
			v, err := chain.Sealed(key, value, seals[string(key)])
			require.NoError(t, err)
			return v
		})
		q := p.after(t, old, "")
		q.checkSeals(t)
		_, _, all, err := q.archive.Page(p.ledger.Origin(), 1, 1<<20)
		require.NoError(t, err)
		require.Len(t, all, len(p.runs))
		for i := range 3 {
			q.append(t, int64(6000+i), 10)
			q.flush(t, int64(6000+i))
			q.checkSeals(t)
		}
		q.after(t, q.store, "").checkSeals(t)
	})
}

// Who does not have the key salvages such a chain up to its last seal, by the seals that
// are in it.
func TestSalvageByTheSealsInALog(t *testing.T) {
	p := newParty(t, "writer", "a")
	p.appendEach(t, 40, 100)
	o := p.ledger.Origin()
	q := p.after(t, store.Memory(), "another")
	out, err := chain.Salvage(p.store, q.store, q.config, chain.SalvageOptions{Now: 5000})
	require.NoError(t, err)
	q.open(t)
	q.checkSeals(t)
	require.Len(t, out.Lost(), 1)
	require.Less(t, q.archive.Head(o).Seq, p.archive.Head(o).Seq)
	require.Greater(t, q.archive.Head(o).Seq, p.archive.Head(o).Seq-10)
}
