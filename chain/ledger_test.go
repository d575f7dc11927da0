package chain_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
)

// party is a ledger with its store and archive, and every run it appended.
type party struct {
	name    string
	config  chain.Config
	store   chain.Store
	ledger  *chain.Ledger
	archive *chain.Archive
	runs    []*chain.Run
	// late has states lag as they do, and not as soon as they can, and as few seals in
	// the log as there are.
	late bool
}

func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func newParty(t require.TestingT, name, authority string) *party {
	p := &party{name: name, config: chain.Config{Key: testKey(name), Node: name, Authority: authority}, store: store.Memory()}
	p.open(t)
	return p
}

func (p *party) open(t require.TestingT) {
	var err error
	p.ledger, err = chain.NewLedger(p.store, p.config, 1)
	require.NoError(t, err)
	if !p.late {
		p.ledger.LagSoon()
		p.ledger.SealEvery(1000)
	}
	p.archive = chain.NewArchive(p.ledger)
}

// flush commits what the ledger did, as a node would.
func (p *party) flush(t require.TestingT, now int64) *chain.Effects {
	batch, effects, err := p.ledger.Flush(now)
	require.NoError(t, err)
	require.NoError(t, p.store.Commit(batch, true))
	p.ledger.Reuse(batch)
	p.archive.Publish(p.ledger, effects)
	p.runs = append(p.runs, effects.Own...)
	return effects
}

func (p *party) publish(t require.TestingT, now int64, d chain.Draft) chain.Receipt {
	prepared, err := chain.Prepare(d)
	require.NoError(t, err)
	r, err := p.ledger.Append(prepared, now)
	require.NoError(t, err)
	p.flush(t, now)
	return r
}

// wireCopy is a run as a peer decodes it.
func wireCopy(t require.TestingT, r *chain.Run, key ed25519.PublicKey) *chain.Run {
	c, err := chain.DecodeRun(r.Append(nil))
	require.NoError(t, err)
	require.NoError(t, c.Verify(key))
	return c
}

func (p *party) accept(t require.TestingT, r *chain.Run, now int64) chain.Outcome {
	var key ed25519.PublicKey
	if info, ok := p.archive.Info(r.Origin); ok {
		key = info.Genesis.Key
	} else if r.First != 1 {
		return chain.Outcome{Verdict: chain.Gap}
	}
	out, err := p.ledger.Accept(wireCopy(t, r, key), now)
	require.NoError(t, err)
	p.flush(t, now)
	return out
}

// everything is all that readers can see of a ledger, as bytes.
func (p *party) everything(t require.TestingT, subjects []string) string {
	var b bytes.Buffer
	p.checkSeals(t)
	fmt.Fprintf(&b, "root %s sync %s\n", p.ledger.Root(), p.ledger.SyncRoot())
	for _, s := range subjects {
		state, err := p.archive.View(context.Background(), s)
		if errors.Is(err, chain.ErrNotFound) {
			continue
		}
		require.NoError(t, err)
		fmt.Fprintf(&b, "%s %s\n%q\n", state.ETag(), state.AppendView(nil), state.Append(nil))
		for u, err := range p.archive.History(s) {
			require.NoError(t, err)
			b.Write(chain.AppendUpdateJSON(nil, u, p.archive.Authority(u.ID.Origin)))
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// dumpBut is what a store has but for keys of some kinds. States are with what they lack,
// and the log of the own chain is without its seals: when one is written tells how updates came, and not which.
func dumpBut(t storetest.T, s chain.Store, kinds string, own chain.Origin) (all []string) {
	t.Helper()
	for _, kv := range storetest.Dump(t, s, nil, nil) {
		switch {
		case strings.IndexByte(kinds+"l", kv[0]) >= 0:
			continue
		case kv[0] == 's':
			subject := kv[1:strings.IndexByte(kv, '=')]
			state, _, err := chain.ReadState(s, subject)
			if err != nil {
				t.Fatalf("state of %q: %v", subject, err)
			}
			kv = fmt.Sprintf("s%s=%s", subject, state.Append(nil))
		case kv[0] == 'u' && chain.Origin([]byte(kv[1:17])) == own:
			const n = 1 + 16 + 8
			record, err := chain.Unsealed([]byte(kv[:n]), []byte(kv[n+1:]))
			if err != nil {
				t.Fatalf("%q: %v", kv, err)
			}
			kv = fmt.Sprintf("%s=%s", kv[:n], record)
		}
		all = append(all, kv)
	}
	return all
}

var testSubjects = []string{"order/1", "order/2", "order/3/line/1"}

// write makes a random history: parties publish and hear of each other now and
// then, so that some updates are concurrent and some are not.
func write(t *rapid.T, parties []*party, steps int) {
	now := int64(1_000_000)
	for i := range steps {
		now += int64(rapid.IntRange(0, 3).Draw(t, "ms"))
		p := parties[rapid.IntRange(0, len(parties)-1).Draw(t, "party")]
		if q := parties[rapid.IntRange(0, len(parties)-1).Draw(t, "heard")]; q != p {
			for _, r := range q.runs[:rapid.IntRange(0, len(q.runs)).Draw(t, "upto")] {
				p.accept(t, r, now)
			}
		}
		d := chain.Draft{Subject: rapid.SampledFrom(testSubjects).Draw(t, "subject")}
		value := rapid.SampledFrom([]string{`null`, `1`, `1.0`, `"x"`, `{}`, `[1]`, `{"b":1}`, `{"b":null}`, `{"c":{"d":2}}`}).Draw(t, "value")
		d.Delta = fmt.Appendf(nil, `{"%s":%s,"n":%d}`, rapid.SampledFrom([]string{"a", "s"}).Draw(t, "field"), value, i%5)
		prepared, err := chain.Prepare(d)
		require.NoError(t, err)
		_, err = p.ledger.Append(prepared, now-int64(len(p.name)))
		require.NoError(t, err)
		if rapid.Bool().Draw(t, "seal") {
			p.flush(t, now)
		}
	}
	for _, p := range parties {
		p.flush(t, now)
	}
}

// Any order, duplication and interleaving of the same runs gives the same
// views, histories and roots, byte for byte.
func TestDeliveryOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parties := []*party{newParty(t, "a", "warehouse"), newParty(t, "bb", "fleet"), newParty(t, "ccc", "fleet"), newParty(t, "dddd", "payments")}
		write(t, parties, rapid.IntRange(1, 30).Draw(t, "steps"))
		var all []*chain.Run
		for _, p := range parties {
			all = append(all, p.runs...)
		}
		const now = 2_000_000
		readers := []*party{newParty(t, "r1", "reader"), newParty(t, "r2", "reader")}
		for i, reader := range readers {
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), uint64(i)))
			for round := 0; ; round++ {
				new := 0
				for _, at := range rng.Perm(len(all)) {
					reader.ledger.SetBatch([]int{1, 3000, 1 << 30}[rng.IntN(3)])
					out := reader.accept(t, all[at], now)
					require.NoError(t, out.Err)
					new += out.New
					if rng.IntN(4) == 0 {
						new += reader.accept(t, all[rng.IntN(len(all))], now).New
					}
					if rng.IntN(20) == 0 {
						reader.open(t) // a restart in between
						reader.flush(t, now)
					}
				}
				if new == 0 && round > 0 {
					break
				}
			}
			for reader.ledger.Pending() {
				require.NoError(t, reader.ledger.Continue(now))
				reader.flush(t, now)
			}
			require.Empty(t, reader.ledger.Held())
			for _, p := range parties {
				require.Equal(t, p.ledger.Head(p.ledger.Origin()), reader.ledger.Applied(p.ledger.Origin()))
			}
		}
		want := readers[0].everything(t, testSubjects)
		require.Equal(t, want, readers[1].everything(t, testSubjects))
		// The writers, once they have all of it, agree too.
		for _, p := range parties {
			for range parties {
				for _, r := range all {
					p.accept(t, r, now)
				}
			}
			require.Equal(t, want, p.everything(t, testSubjects))
		}
		checkFeed(t, readers[0], readers[1])
	})
}

// checkFeed pages through the feed, going from node to node with the cursor.
func checkFeed(t *rapid.T, nodes ...*party) {
	seen := chain.Frontier{}
	var cursor chain.Cursor
	var last chain.Stamp
	n := 0
	for i := 0; ; i++ {
		page, err := nodes[i%len(nodes)].archive.Feed(cursor, chain.Filter{}, rapid.IntRange(1, 5).Draw(t, "limit"), nil)
		require.NoError(t, err)
		for _, u := range page.Updates {
			require.Greater(t, u.Stamp().Compare(last), 0, "stitched order")
			last = u.Stamp()
			for _, d := range u.Deps {
				require.True(t, seen.Has(d), "%s before its dependency %s", u.ID, d)
			}
			want := max(seen[u.ID.Origin]+1, 2)
			require.Equal(t, want, u.ID.Seq, "skipped or repeated")
			seen[u.ID.Origin] = u.ID.Seq
			n++
		}
		text := page.Cursor.String()
		cursor, err = chain.ParseCursor(text)
		require.NoError(t, err)
		require.Equal(t, text, cursor.String())
		if page.UpToDate {
			break
		}
	}
	require.Equal(t, nodes[0].archive.Summary().Updates, uint64(n))
	require.True(t, cursor.Frontier.Covers(nodes[0].archive.Frontier()))
}
