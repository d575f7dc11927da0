package chain_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
	"github.com/tidings-mesh/tidings/chain/wire"
)

// item is one encoded value of a header.
type item []byte

func num(v uint64) item  { return wire.AppendUint(nil, v) }
func bin(v string) item  { return wire.AppendBin(nil, []byte(v)) }
func raw(b ...byte) item { return b }

// list is an array of items.
func list(items ...item) item {
	b := wire.AppendArray(nil, len(items))
	for _, it := range items {
		b = append(b, it...)
	}
	return b
}

// fresh introduces an origin in a list of deps.
func fresh(place uint64, o chain.Origin, seq uint64) []item {
	return []item{num(place), bin(string(o[:])), num(seq)}
}

// forger writes a chain whose hashes and signatures are good, whatever its
// headers and bodies say: what the holder of a key can make a ledger see.
type forger struct {
	key    ed25519.PrivateKey
	origin chain.Origin
	seq    chain.Seq
	hash   chain.Hash
	// What is linked since the last seal.
	first   chain.Seq
	prev    chain.Hash
	entries []chain.Entry
	deps    int // origins that it has named
}

func newForger(name string) *forger {
	key := testKey(name)
	return &forger{key: key, origin: chain.OriginOf(public(key)), first: 1}
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// copy is a forger that goes its own way from here: a fork.
func (f *forger) copy() *forger {
	c := *f
	c.entries = append([]chain.Entry(nil), f.entries...)
	return &c
}

func (f *forger) id(seq uint64) chain.ID { return chain.ID{Origin: f.origin, Seq: chain.Seq(seq)} }

// link adds an entry of any content.
func (f *forger) link(header item, body string) *forger {
	e := chain.Entry{Header: header, Body: []byte(body), Hash: chain.HashUpdate(f.hash, header, []byte(body))}
	f.entries = append(f.entries, e)
	f.seq, f.hash = f.seq+1, e.Hash
	return f
}

const (
	formStatus   = 8
	formDeps     = 1
	formReaction = 2
	formKey      = 4
)

// genesis begins the chain at the time of 1,000 ms.
func (f *forger) genesis() *forger { return f.genesisBy("forgery") }

func (f *forger) genesisBy(authority string) *forger {
	g := chain.Genesis{Key: public(f.key), Node: "forger", Authority: authority}
	return f.link(list(num(0), num(1000), num(0)), string(g.AppendBody(nil)))
}

// status adds a status change that is ms after the one before, with deps as
// they are given.
func (f *forger) status(ms uint64, subject, delta string, deps ...item) *forger {
	form, items := uint64(formStatus), []item{num(ms), num(0), bin(subject)}
	if len(deps) > 0 {
		form, items = form|formDeps, append(items, list(deps...))
	}
	return f.link(list(append([]item{num(form)}, items...)...), delta)
}

// run seals what was linked since the last time.
func (f *forger) run() *chain.Run {
	head := chain.Head{Origin: f.origin, Seq: f.seq, Hash: f.hash}
	r := &chain.Run{Origin: f.origin, First: f.first, Prev: f.prev, Entries: f.entries, Signature: chain.Sign(f.key, head)}
	f.first, f.prev, f.entries = f.seq+1, f.hash, nil
	return r
}

// dump is all that a party knows, but for freezes and the root over them.
func (p *party) dump(t *testing.T) string {
	var b strings.Builder
	for _, kv := range storetest.Dump(t, p.store, nil, nil) {
		if kv[0] != 'f' {
			fmt.Fprintf(&b, "%q\n", kv)
		}
	}
	s := p.archive.Summary()
	fmt.Fprintf(&b, "%s %s %d %d\n", s.SyncRoot, s.Clock, s.Subjects, s.Updates)
	for _, h := range s.Held {
		fmt.Fprintf(&b, "held %s %s %v %d\n", h.ID, h.Reason, h.WaitingFor, h.Behind)
	}
	f := p.archive.Frontier()
	for _, o := range f.Origins() {
		fmt.Fprintf(&b, "%s applied %d received %v\n", o, f[o], p.archive.Head(o))
	}
	return b.String()
}

// take is what a node does with bytes from a peer: decode, verify, accept,
// commit.
func (p *party) take(t *testing.T, b []byte, now int64) (chain.Outcome, error) {
	r, err := chain.DecodeRun(b)
	if err != nil {
		return chain.Outcome{}, err
	}
	var key ed25519.PublicKey
	if info, ok := p.archive.Info(r.Origin); ok {
		key = info.Genesis.Key
	}
	if err := r.Verify(key); err != nil {
		return chain.Outcome{}, err
	}
	out, err := p.ledger.Accept(r, now)
	require.NoError(t, err)
	p.flush(t, now)
	return out, nil
}

// mustTake takes a run that is wholly new.
func (p *party) mustTake(t *testing.T, r *chain.Run) chain.Outcome {
	t.Helper()
	out, err := p.take(t, r.Append(nil), 5000)
	require.NoError(t, err)
	require.NoError(t, out.Err)
	require.Equal(t, chain.Accepted, out.Verdict)
	require.Equal(t, len(r.Entries), out.New)
	return out
}

// replaced is b with the first occurrence of old replaced, which must be there.
func replaced(t *testing.T, b, old, with []byte) []byte {
	t.Helper()
	require.True(t, bytes.Contains(b, old))
	return bytes.Replace(b, old, with, 1)
}
