package chain_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/wire"
)

// begun is a ledger that has a forged chain of three updates, and the forger.
func begun(t *testing.T) (*party, *forger) {
	p, f := newParty(t, "honest", "reader"), newForger("mallory")
	p.mustTake(t, f.genesis().status(1, "order/1", `{"a":1}`).status(1, "order/2", `{"a":2}`).run())
	return p, f
}

// rawRun encodes a run item by item.
func rawRun(origin, first, prev, signature, entries item) []byte {
	return list(origin, first, prev, signature, entries)
}

// What is no encoding of a run is refused as such, and nothing comes of it.
func TestRunRefusesEncodings(t *testing.T) {
	p, f := begun(t)
	good := f.copy().status(1, "order/1", `{"a":3}`).run()
	b := good.Append(nil)
	origin, prev, sig := bin(string(good.Origin[:])), bin(string(good.Prev[:])), bin(string(good.Signature[:]))
	first, none := num(4), bin(string(make([]byte, 32)))
	header, body := bin(string(good.Entries[0].Header)), bin(string(good.Entries[0].Body))
	entry := list(header, body)
	require.Equal(t, b, rawRun(origin, first, prev, sig, entry), "the cases below differ from a good run in one place")
	big := func(n int) item { return bin(string(make([]byte, n))) }
	before, root := p.dump(t), p.ledger.Root()
	cases := map[string][]byte{
		"empty":                         {},
		"four billion items":            {0xdd, 0xff, 0xff, 0xff, 0xff},
		"four billion bytes":            append([]byte{0x95, 0xc6, 0xff, 0xff, 0xff, 0xff}, b[3:]...),
		"four billion entries":          rawRun(origin, first, prev, sig, raw(0xdd, 0xff, 0xff, 0xff, 0xff)),
		"more entries than bytes":       rawRun(origin, first, prev, sig, append(raw(0xdc, 0x40, 0x00), make([]byte, 0x4000)...)),
		"nested arrays":                 bytes.Repeat([]byte{0x91}, 400_000),
		"trailing byte":                 append(bytes.Clone(b), 0),
		"truncated":                     b[:len(b)-1],
		"a map":                         append([]byte{0x85}, b[1:]...),
		"six items":                     append(append([]byte{0x96}, b[1:]...), 0),
		"array in a longer form":        append([]byte{0xdc, 0x00, 0x05}, b[1:]...),
		"origin in a longer form":       append([]byte{0x95, 0xc5, 0x00, 0x10}, b[3:]...),
		"origin as a string":            append([]byte{0x95, 0xb0}, b[3:]...),
		"origin of 15 bytes":            rawRun(bin(string(good.Origin[:15])), first, prev, sig, entry),
		"seq in a longer form":          rawRun(origin, raw(0xcc, 4), prev, sig, entry),
		"seq as a signed integer":       rawRun(origin, raw(0xd0, 4), prev, sig, entry),
		"seq 0":                         rawRun(origin, num(0), prev, sig, entry),
		"seq 0 without a previous hash": rawRun(origin, num(0), none, sig, entry),
		"seq 2^63":                      rawRun(origin, num(1<<63), prev, sig, entry),
		"seq 2^64 - 1":                  rawRun(origin, num(1<<64-1), prev, sig, entry),
		"end past 2^63 - 1":             rawRun(origin, num(1<<63-1), prev, sig, list(header, body, header, body)),
		"seq 4 without a previous hash": rawRun(origin, first, none, sig, entry),
		"seq 1 with a previous hash":    rawRun(origin, num(1), prev, sig, entry),
		"previous hash of 31 bytes":     rawRun(origin, first, bin(string(good.Prev[:31])), sig, entry),
		"signature of 63 bytes":         rawRun(origin, first, prev, bin(string(good.Signature[:63])), entry),
		"no entries":                    rawRun(origin, first, prev, sig, list()),
		"half an entry":                 rawRun(origin, first, prev, sig, list(header)),
		"header over its bound":         rawRun(origin, first, prev, sig, list(big(8<<10+1), body)),
		"delta over its bound":          rawRun(origin, first, prev, sig, list(header, big(chain.MaxDelta+1))),
		"run over its bound":            rawRun(origin, first, prev, sig, list(header, big(chain.MaxDelta), header, big(chain.MaxRun-chain.MaxDelta))),
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := p.take(t, b, 5000)
			require.ErrorIs(t, err, chain.ErrEncoding)
			require.Equal(t, before, p.dump(t))
			require.Equal(t, root, p.ledger.Root())
		})
	}
	require.Nil(t, p.ledger.Frozen(f.origin))
	p.mustTake(t, good)
}

// A length is never believed before it is compared with what is left.
func TestDecodersAllocateByWhatIsThere(t *testing.T) {
	_, f := begun(t)
	r := f.status(1, "order/1", `{}`).run()
	claim := rawRun(bin(string(r.Origin[:])), num(4), bin(string(r.Prev[:])), bin(string(r.Signature[:])),
		append(wire.AppendArray(nil, 500_000), make([]byte, 500_000)...))
	require.LessOrEqual(t, len(claim), chain.MaxRun)
	// The same for a cursor, whose checksum anybody can compute.
	frontier := append(wire.AppendArray(nil, 2_000_000), make([]byte, 2_000_000)...)
	cursor := sumCursor(append(append(wire.AppendArray(nil, 3), bin(string(make([]byte, 8)))...), frontier...))
	for name, decode := range map[string]func() error{
		"run":    func() error { _, err := chain.DecodeRun(claim); return err },
		"cursor": func() error { _, err := chain.ParseCursor(cursor); return err },
	} {
		t.Run(name, func(t *testing.T) {
			result := testing.Benchmark(func(b *testing.B) {
				for range b.N {
					if decode() == nil {
						b.Fatal("decoded")
					}
				}
			})
			require.Less(t, result.AllocedBytesPerOp(), int64(8<<20))
		})
	}
}

// What no chain's key signed is refused as such, and nothing comes of it.
func TestVerifyRefusesSeals(t *testing.T) {
	p, f := begun(t)
	good := f.copy().status(1, "order/1", `{"a":3}`).status(1, "order/1", `{"a":4}`).run()
	other := f.copy().status(1, "order/1", `{"a":5}`).run()
	stranger := newForger("stranger")
	strangers := stranger.genesis().status(1, "order/1", `{}`).run()
	before, root := p.dump(t), p.ledger.Root()
	change := func(by func(*chain.Run)) []byte {
		r, err := chain.DecodeRun(good.Append(nil))
		require.NoError(t, err)
		r.Entries = append([]chain.Entry(nil), r.Entries...)
		by(r)
		return r.Append(nil)
	}
	cases := map[string]struct {
		b    []byte
		want error
	}{
		"wrong previous hash":    {change(func(r *chain.Run) { r.Prev[0]++ }), chain.ErrSignature},
		"delta altered":          {change(func(r *chain.Run) { r.Entries[0].Body = []byte(`{"a":9}`) }), chain.ErrSignature},
		"header altered":         {change(func(r *chain.Run) { r.Entries[0].Header[2]++ }), chain.ErrSignature},
		"last one left out":      {change(func(r *chain.Run) { r.Entries = r.Entries[:1] }), chain.ErrSignature},
		"first one left out":     {change(func(r *chain.Run) { r.First, r.Entries = r.First+1, r.Entries[1:] }), chain.ErrSignature},
		"order changed":          {change(func(r *chain.Run) { r.Entries[0], r.Entries[1] = r.Entries[1], r.Entries[0] }), chain.ErrSignature},
		"signature over another": {change(func(r *chain.Run) { r.Signature = other.Signature }), chain.ErrSignature},
		"signature of another seq": {change(func(r *chain.Run) {
			r.Signature = chain.Sign(f.key, chain.Head{Origin: f.origin, Seq: 4, Hash: r.Prev})
		}), chain.ErrSignature},
		"signature by another key":  {change(func(r *chain.Run) { r.Signature = chain.Sign(stranger.key, good.Head()) }), chain.ErrSignature},
		"signature of zeros":        {change(func(r *chain.Run) { r.Signature = [64]byte{} }), chain.ErrSignature},
		"signature out of range":    {change(func(r *chain.Run) { r.Signature = beyondOrder(r.Signature) }), chain.ErrSignature},
		"at another place":          {change(func(r *chain.Run) { r.First++ }), chain.ErrSignature},
		"for another chain":         {change(func(r *chain.Run) { r.Origin = stranger.origin }), chain.ErrKey},
		"genesis of another origin": {replaced(t, strangers.Append(nil), stranger.origin[:], f.origin[:]), chain.ErrKey},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := p.take(t, c.b, 5000)
			require.ErrorIs(t, err, c.want)
			require.Equal(t, before, p.dump(t))
			require.Equal(t, root, p.ledger.Root())
		})
	}
	p.mustTake(t, good)
}

// beyondOrder is the same signature with the group's order added to its scalar.
func beyondOrder(s [64]byte) [64]byte {
	order := [32]byte{
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
	}
	carry := 0
	for i := range order {
		carry += int(s[32+i]) + int(order[i])
		s[32+i] = byte(carry)
		carry >>= 8
	}
	return s
}

// A chain's first run shows its key, so a key under which a signature is good
// for anything must not pass.
func TestVerifyRefusesGenesis(t *testing.T) {
	p := newParty(t, "honest", "reader")
	before := p.dump(t)
	body := func(key ed25519.PublicKey, change func(*chain.Genesis)) string {
		g := chain.Genesis{Key: key, Node: "n", Authority: "a"}
		if change != nil {
			change(&g)
		}
		return string(g.AppendBody(nil))
	}
	key := testKey("mallory")
	good := body(public(key), nil)
	identity := ed25519.PublicKey(append([]byte{1}, make([]byte, 31)...))
	cases := map[string]struct {
		key  ed25519.PublicKey
		body string
		want error
	}{
		"low order":        {identity, body(identity, nil), chain.ErrKey},
		"low order, sign":  {signed(identity), body(signed(identity), nil), chain.ErrKey},
		"zero key":         {make([]byte, 32), body(make([]byte, 32), nil), chain.ErrKey},
		"key of 31 bytes":  {public(key), body(public(key)[:31], nil), chain.ErrEncoding},
		"no name":          {public(key), body(public(key), func(g *chain.Genesis) { g.Node = "" }), chain.ErrName},
		"no authority":     {public(key), body(public(key), func(g *chain.Genesis) { g.Authority = "" }), chain.ErrName},
		"control in name":  {public(key), body(public(key), func(g *chain.Genesis) { g.Node = "a\x1b[2J" }), chain.ErrName},
		"not UTF-8":        {public(key), body(public(key), func(g *chain.Genesis) { g.Zone = "\xff" }), chain.ErrName},
		"long authority":   {public(key), body(public(key), func(g *chain.Genesis) { g.Authority = string(bytes.Repeat([]byte("a"), 129)) }), chain.ErrEncoding},
		"long grant":       {public(key), body(public(key), func(g *chain.Genesis) { g.Grant = make([]byte, 4097) }), chain.ErrEncoding},
		"trailing bytes":   {public(key), good + "\x00", chain.ErrEncoding},
		"unknown version":  {public(key), "\x97\x02" + good[2:], chain.ErrEncoding},
		"huge length":      {public(key), "\x97\x01\xc6\xff\xff\xff\xff", chain.ErrEncoding},
		"half predecessor": {public(key), good[:len(good)-4] + string(bin("12345678")) + string(bin("")), chain.ErrEncoding},
		"zero predecessor": {public(key), good[:len(good)-4] + string(bin(string(make([]byte, 16)))) + string(bin("")), chain.ErrEncoding},
		"empty":            {public(key), "", chain.ErrEncoding},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := &forger{key: key, origin: chain.OriginOf(c.key), first: 1}
			r := f.link(list(num(0), num(1), num(0)), c.body).run()
			if bytes.Equal(c.key, identity) {
				// Under the identity, R = 1 and S = 0 is good for any message.
				r.Signature = [64]byte{1}
				require.NoError(t, chain.VerifySeal(c.key, r.Head(), r.Signature), "the case is a real one")
			}
			_, err := p.take(t, r.Append(nil), 5000)
			require.ErrorIs(t, err, c.want)
			require.Equal(t, before, p.dump(t))
		})
	}
}

// signed is a point with its sign turned.
func signed(key ed25519.PublicKey) ed25519.PublicKey {
	k := bytes.Clone(key)
	k[31] |= 0x80
	return k
}

// sumCursor is the text of a cursor of any content.
func sumCursor(b []byte) string {
	sum := sha256.Sum256(append([]byte("tidings cursor 1\x00"), b...))
	return "c1." + base64.RawURLEncoding.EncodeToString(append(b, sum[:6]...))
}

// A run may begin anywhere: one whose beginning is missing is a gap, and of an
// unknown chain it is one from seq 1.
func TestAcceptGap(t *testing.T) {
	p, f := begun(t)
	skipped := f.status(1, "order/1", `{"a":3}`).run()
	r := f.status(1, "order/1", `{"a":4}`).run()
	before, root := p.dump(t), p.ledger.Root()
	out, err := p.take(t, r.Append(nil), 5000)
	require.NoError(t, err)
	require.Equal(t, chain.Outcome{Verdict: chain.Gap, Head: p.ledger.Head(f.origin)}, out)
	require.Equal(t, before, p.dump(t))

	g := newForger("unknown")
	g.genesis().run()
	r2 := g.status(1, "order/1", `{}`).run()
	require.NoError(t, r2.Verify(public(g.key)))
	out, err = p.ledger.Accept(r2, 5000)
	require.NoError(t, err)
	require.Equal(t, chain.Outcome{Verdict: chain.Gap, Head: chain.Head{Origin: g.origin}}, out)
	p.flush(t, 5000)
	require.Equal(t, before, p.dump(t))
	require.Equal(t, root, p.ledger.Root())

	p.mustTake(t, skipped)
	p.mustTake(t, r)
}

// The last seqs that a run may have are reached by its bounds alone.
func TestRunAtTheLastSeq(t *testing.T) {
	r := &chain.Run{Origin: chain.Origin{1}, First: 1<<63 - 2, Prev: chain.Hash{1}, Entries: []chain.Entry{{Header: []byte{0x90}}}}
	got, err := chain.DecodeRun(r.Append(nil))
	require.NoError(t, err)
	require.Equal(t, chain.Seq(1<<63-2), got.Last())
	r.First++
	_, err = chain.DecodeRun(r.Append(nil))
	require.ErrorIs(t, err, chain.ErrEncoding)
}
