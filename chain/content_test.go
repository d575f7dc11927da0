package chain_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// badContent are entries that a chain's own key signs after begun's three, with
// what is wrong with each. Place 0 of the table is taken by the origin near.
func badContent(t *testing.T, near chain.Origin) map[string]struct {
	forge func(*forger) *forger
	want  error
} {
	o := func(b byte) chain.Origin { return chain.Origin{b} }
	header := func(items ...item) func(*forger) *forger {
		return func(f *forger) *forger { return f.link(list(items...), `{"a":1}`) }
	}
	subject := func(s string) func(*forger) *forger {
		return func(f *forger) *forger { return f.status(1, s, `{"a":1}`) }
	}
	delta := func(s string) func(*forger) *forger {
		return func(f *forger) *forger { return f.status(1, "order/1", s) }
	}
	deps := func(items ...[]item) func(*forger) *forger {
		return func(f *forger) *forger { return f.status(1, "order/1", `{"a":1}`, slices.Concat(items...)...) }
	}
	own := func() item { f := newForger("mallory"); return bin(string(f.origin[:])) }()
	many := func(n int) (all []item) {
		for i := range n {
			all = append(all, fresh(uint64(1+i), chain.Origin{1, byte(i)}, 1)...)
		}
		return all
	}
	reaction := func(hook string, depth, at, seq uint64) func(*forger) *forger {
		return header(num(formStatus|formReaction), num(1), num(0), bin("order/1"), bin(hook), num(depth), num(at), num(seq))
	}
	enc, sub, del := chain.ErrEncoding, chain.ErrSubject, chain.ErrDelta
	return map[string]struct {
		forge func(*forger) *forger
		want  error
	}{
		"no header":                  {func(f *forger) *forger { return f.link(nil, `{}`) }, enc},
		"header with more":           {func(f *forger) *forger { return f.link(append(list(num(8), num(1), num(0), bin("a")), 0), `{}`) }, enc},
		"header with an item more":   {header(num(8), num(1), num(0), bin("a"), num(0)), enc},
		"header with an item less":   {header(num(8), num(1), num(0)), enc},
		"number in a longer form":    {header(raw(0xcc, 8), num(1), num(0), bin("a")), enc},
		"subject in a longer form":   {header(num(8), num(1), num(0), raw(0xc5, 0, 1, 'a')), enc},
		"huge length":                {header(num(8), num(1), num(0), raw(0xc6, 0xff, 0xff, 0xff, 0xff)), enc},
		"kind 256":                   {header(num(256<<3), num(1), num(0)), enc},
		"kind 257, status cut":       {header(num(257<<3), num(1), num(0), bin("a")), enc},
		"genesis twice":              {func(f *forger) *forger { return f.genesis() }, enc},
		"time not above":             {header(num(8), num(0), num(0), bin("a")), enc},
		"time past its end":          {header(num(8), num(1<<48), num(0), bin("a")), enc},
		"time near 2^63":             {header(num(8), num(1<<63), num(0), bin("a")), enc},
		"time that wraps":            {header(num(8), num(1<<64-1), num(0), bin("a")), enc},
		"counter past its end":       {header(num(8), num(1), num(1<<16), bin("a")), enc},
		"no subject":                 {subject(""), sub},
		"subject of 513 bytes":       {subject(strings.Repeat("a", 513)), enc},
		"subject not UTF-8":          {subject("a\xff"), sub},
		"subject with NUL":           {subject("a\x00b"), sub},
		"subject with dots":          {subject("a/../b"), sub},
		"subject with C1 control":    {subject("a\u0085"), sub},
		"no delta":                   {delta(""), del},
		"delta an array":             {delta(`[]`), del},
		"delta not compact":          {delta(`{"a": 1}`), del},
		"delta with bytes after it":  {delta(`{}{}`), del},
		"delta with equal keys":      {delta(`{"a":1,"\u0061":2}`), del},
		"delta not UTF-8":            {delta("{\"a\":\"\xff\"}"), del},
		"delta with half a pair":     {delta(`{"a":"\ud800"}`), del},
		"delta of depth 65":          {delta(strings.Repeat(`{"a":`, 64) + `{}` + strings.Repeat(`}`, 64)), del},
		"delta of depth 30,000":      {delta(`{"a":` + strings.Repeat(`[`, 30_000) + strings.Repeat(`]`, 30_000) + `}`), del},
		"dep on itself":              {deps([]item{num(1), own, num(6)}), enc},
		"dep on the own chain":       {deps([]item{num(1), own, num(2)}), enc},
		"dep on seq 0":               {deps(fresh(1, o(1), 0)), enc},
		"dep on seq 2^63":            {deps(fresh(1, o(1), 1<<63)), enc},
		"dep below seq 1":            {deps([]item{num(0), num(2*9 - 1)}), enc}, // 9 less than 9
		"dep that wraps":             {deps([]item{num(0), num(1<<64 - 1)}), enc},
		"dep past the table":         {deps([]item{num(2), num(0)}), enc},
		"dep far past the table":     {deps([]item{num(1<<64 - 1), num(0)}), enc},
		"deps that skip a place":     {deps(fresh(1, o(1), 1), fresh(3, o(2), 1)), enc},
		"no deps":                    {header(num(9), num(1), num(0), bin("a"), list()), enc},
		"half a dep":                 {header(num(9), num(1), num(0), bin("a"), list(num(0), num(2), num(0))), enc},
		"deps out of order":          {deps(fresh(1, o(2), 1), fresh(2, o(1), 1)), enc},
		"deps of one chain downward": {deps(fresh(1, o(1), 5), []item{num(1), num(1)}), enc},
		"dep twice":                  {deps(fresh(1, o(1), 5), []item{num(1), num(0)}), enc},
		"65 deps":                    {deps(many(65)), enc},
		"a million deps claimed":     {header(num(9), num(1), num(0), bin("a"), raw(0xdd, 0, 0x0f, 0x42, 0x40)), enc},
		"origin introduced again":    {deps(fresh(1, near, 10)), enc},
		"origin introduced twice":    {deps(fresh(1, o(1), 5), fresh(2, o(1), 6)), enc},
		"key of zeros":               {header(num(formStatus|formKey), num(1), num(0), bin("a"), bin(string(make([]byte, 24)))), enc},
		"key of 23 bytes":            {header(num(formStatus|formKey), num(1), num(0), bin("a"), bin(string(make([]byte, 23)))), enc},
		"reaction without a name":    {reaction("", 1, 0, 2), enc},
		"reaction of control":        {reaction("a\n", 1, 0, 2), enc},
		"reaction of 65 bytes":       {reaction(strings.Repeat("a", 65), 1, 0, 2), enc},
		"reaction at depth 0":        {reaction("r", 0, 0, 2), enc},
		"reaction at depth 17":       {reaction("r", 17, 0, 2), enc},
		"reaction at depth 257":      {reaction("r", 257, 0, 2), enc},
		"reaction to itself":         {reaction("r", 1, 0, 6), enc},
		"reaction to what is ahead":  {reaction("r", 1, 0, 7), enc},
		"reaction to nothing":        {reaction("r", 1, 0, 0), enc},
		"reaction past the deps":     {reaction("r", 1, 1, 0), enc},
	}
}

// An update that its chain's key signed and that breaks a rule stops its chain
// right before it, however the runs are cut, with the run that holds it as the
// proof. Nothing else changes, and all else goes on.
func TestAcceptFreezesOnContent(t *testing.T) {
	near := newForger("near")
	for name, c := range badContent(t, near.origin) {
		t.Run(name, func(t *testing.T) {
			p, f := begun(t)
			// The table has an origin, and the run one good update before the bad.
			p.mustTake(t, near.copy().genesis().run())
			f.status(1, "order/1", `{"near":1}`, fresh(0, near.origin, 9)...)
			p.mustTake(t, f.run())
			f.status(1, "order/1", `{"b":2}`, num(0), num(0))
			cut := f.copy()
			good, later := cut.run(), c.forge(cut).run()
			bad := c.forge(f).run()
			q := newParty(t, "another", "reader") // to which they come cut otherwise
			for _, run := range [][]byte{served(t, p, near.origin), served(t, p, f.origin), good.Append(nil)} {
				_, err := q.take(t, run, 5000)
				require.NoError(t, err)
			}

			out, err := p.take(t, bad.Append(nil), 5000)
			require.NoError(t, err)
			require.Equal(t, chain.Invalid, out.Verdict)
			require.ErrorIs(t, out.Err, chain.ErrInvalid)
			require.ErrorIs(t, out.Err, c.want)
			require.Equal(t, chain.Head{Origin: f.origin, Seq: 5, Hash: good.Head().Hash}, out.Head)
			require.Equal(t, 1, out.New)
			root := q.ledger.Root()
			cutOut, err := q.take(t, later.Append(nil), 5000)
			require.NoError(t, err)
			require.Equal(t, out.Err.Error(), cutOut.Err.Error())
			require.NotEqual(t, root, q.ledger.Root(), "a freeze is part of the root")
			require.Equal(t, q.ledger.Root(), p.ledger.Root())
			require.Equal(t, q.ledger.SyncRoot(), p.ledger.SyncRoot())
			require.Equal(t, q.everything(t, testSubjects), p.everything(t, testSubjects))

			for _, when := range []string{"now", "opened again"} {
				frozen := p.ledger.Frozen(f.origin)
				require.NotNil(t, frozen, when)
				require.Equal(t, chain.FreezeInvalid, frozen.Reason)
				require.Equal(t, chain.Seq(5), frozen.After)
				require.Equal(t, out.Err.Error(), frozen.Detail)
				require.Equal(t, [][]byte{bad.Append(nil)}, proof(t, p, f.origin).Proof)
				require.Equal(t, frozen, p.archive.Frozen(f.origin), when)
				was := p.dump(t)
				refused, err := p.take(t, bad.Append(nil), 5000)
				require.NoError(t, err)
				require.Equal(t, chain.Refused, refused.Verdict, when)
				require.ErrorIs(t, refused.Err, chain.ErrFrozen)
				beyond := f.copy().status(1, "order/1", `{}`)
				beyond.run()
				refused, err = p.take(t, beyond.status(1, "order/1", `{}`).run().Append(nil), 5000)
				require.NoError(t, err)
				require.Equal(t, chain.Refused, refused.Verdict, "a gap that nobody may fill")
				require.Equal(t, was, p.dump(t), when)
				root := p.ledger.Root()
				p.open(t)
				require.Equal(t, root, p.ledger.Root(), "opened again")
			}
			// All that counts is served, with what shows the freeze.
			third := newParty(t, "third", "reader")
			_, err = third.take(t, served(t, p, near.origin), 5000)
			require.NoError(t, err)
			out, err = third.take(t, served(t, p, f.origin), 5000)
			require.NoError(t, err)
			require.Equal(t, chain.Invalid, out.Verdict)
			require.Equal(t, p.everything(t, testSubjects), third.everything(t, testSubjects))

			other := newForger("other")
			p.mustTake(t, other.genesis().status(1, "order/1", `{"c":1}`).run())
			require.Equal(t, chain.Seq(2), p.ledger.Applied(other.origin).Seq)
		})
	}
}

// served is a whole chain as a peer serves it, in one run.
func served(t *testing.T, p *party, o chain.Origin) []byte {
	t.Helper()
	runs, err := p.archive.Runs(o, 1, 1<<20)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	return runs[0]
}

// What is good about the headers above is: each bound is reached.
func TestAcceptAtTheBounds(t *testing.T) {
	p, f := begun(t)
	var deps []item
	for i := range 64 {
		deps = append(deps, fresh(uint64(i), chain.Origin{1, byte(i)}, 1<<63-1)...)
	}
	pad := strings.Repeat("x", chain.MaxDelta-len(`{"a":""}`))
	f.status(1, strings.Repeat("a", 512), `{"a":"`+pad+`"}`)
	f.status(1, "order/1", strings.Repeat(`{"a":`, 63)+`{}`+strings.Repeat(`}`, 63))
	f.link(list(num(formStatus|formReaction|formKey), num(0), num(1), bin("order/1"), bin(strings.Repeat("k", 24)),
		bin(strings.Repeat("r", 64)), num(16), num(0), num(5)), `{}`)
	f.link(list(num(formStatus), num(1<<48-1-1004), num(65535), bin("order/1")), `{"last":1}`)
	p.mustTake(t, f.run())
	require.Equal(t, chain.HLC(1<<64-1), p.ledger.Clock())
	require.Equal(t, chain.Seq(7), p.ledger.Applied(f.origin).Seq)

	g := newForger("many deps")
	p.mustTake(t, g.genesis().status(1, "order/1", `{}`, deps...).run())
	require.Len(t, p.ledger.Held(), 1)
	require.Len(t, p.ledger.Held()[0].WaitingFor, 64)
}

// A chain whose first update is wrong is not there at all: there is nothing to
// freeze, and the same origin may still begin well.
func TestAcceptRefusesBeginnings(t *testing.T) {
	for name, forge := range map[string]func(*forger) *forger{
		"status at seq 1": func(f *forger) *forger {
			f.genesis()
			body := string(f.entries[0].Body)
			*f = *newForger("mallory")
			return f.link(list(num(8), num(1), num(0), bin("a")), body)
		},
		"unknown kind at seq 1": func(f *forger) *forger {
			f.genesis()
			body := string(f.entries[0].Body)
			*f = *newForger("mallory")
			return f.link(list(num(9<<3), num(1), num(0)), body)
		},
		"genesis with flags": func(f *forger) *forger {
			f.genesis()
			body := string(f.entries[0].Body)
			*f = *newForger("mallory")
			return f.link(list(num(formDeps), num(1), num(0)), body)
		},
		"time 0": func(f *forger) *forger {
			f.genesis()
			body := string(f.entries[0].Body)
			*f = *newForger("mallory")
			return f.link(list(num(0), num(0), num(0)), body)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t, "honest", "reader")
			before, root := p.dump(t), p.ledger.Root()
			bad := forge(newForger("mallory")).run()
			for range 2 {
				out, err := p.take(t, bad.Append(nil), 5000)
				require.NoError(t, err)
				require.Equal(t, chain.Outcome{Verdict: chain.Invalid, Head: chain.Head{Origin: bad.Origin}, Err: out.Err}, out)
				require.ErrorIs(t, out.Err, chain.ErrInvalid)
				require.ErrorIs(t, out.Err, chain.ErrEncoding)
				require.Equal(t, before, p.dump(t))
				require.Equal(t, root, p.ledger.Root())
				require.Nil(t, p.ledger.Frozen(bad.Origin))
			}
			p.mustTake(t, newForger("mallory").genesis().status(1, "order/1", `{}`).run())
		})
	}
}

// One whose genesis is good, and what comes next is not, is there, and ends with
// its genesis.
func TestAcceptFreezesAfterGenesis(t *testing.T) {
	p := newParty(t, "honest", "reader")
	f := newForger("mallory").genesis()
	good := f.copy().run()
	out, err := p.take(t, f.status(1, "", `{}`).run().Append(nil), 5000)
	require.NoError(t, err)
	require.Equal(t, chain.Invalid, out.Verdict)
	require.ErrorIs(t, out.Err, chain.ErrSubject)
	require.Equal(t, good.Head(), out.Head)
	require.Equal(t, chain.Seq(1), p.archive.Frozen(f.origin).After)
	require.Equal(t, good.Head(), p.ledger.Applied(f.origin))
}

// A kind of update that this build does not know is stored, linked, served and
// counted, and changes no view.
func TestUnknownKind(t *testing.T) {
	for _, kind := range []uint64{2, 9, 255} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			p, f := begun(t)
			view := func() string { return p.everything(t, []string{"order/1", "order/2"}) }
			_, before, _ := strings.Cut(view(), "\n")
			updates, subjects := p.archive.Summary().Updates, p.ledger.Subjects()
			// Whatever follows, well formed or not.
			f.link(append(list(num(kind<<3|7), num(1), num(0)), "\xc1 anything"...), "\x00not JSON")
			f.link(list(num(kind<<3), num(1), num(0), list(bin("order/1"))), "")
			p.mustTake(t, f.run())
			_, after, _ := strings.Cut(view(), "\n")
			require.Equal(t, before, after)
			require.Equal(t, updates+2, p.archive.Summary().Updates)
			require.Equal(t, subjects, p.ledger.Subjects())
			require.Equal(t, chain.Seq(5), p.ledger.Applied(f.origin).Seq)
			u, err := p.archive.Update(f.id(4))
			require.NoError(t, err)
			require.Equal(t, chain.Kind(kind), u.Kind)
			require.Equal(t, "\x00not JSON", string(u.Delta))
			// The chain goes on, also after an open, and is served to another.
			p.open(t)
			p.mustTake(t, f.status(1, "order/1", `{"b":1}`).run())
			q := newParty(t, "another", "reader")
			runs, err := p.archive.Runs(f.origin, 1, 1<<20)
			require.NoError(t, err)
			for _, b := range runs {
				_, err := q.take(t, b, 5000)
				require.NoError(t, err)
			}
			require.Equal(t, p.ledger.Root(), q.ledger.Root())
			require.Equal(t, view(), q.everything(t, []string{"order/1", "order/2"}))
			page, err := q.archive.Feed(chain.Cursor{}, chain.Filter{}, 100, nil)
			require.NoError(t, err)
			require.Len(t, page.Updates, 3)
			require.True(t, page.UpToDate)
			require.Equal(t, chain.Seq(6), page.Cursor.Frontier[f.origin])
		})
	}
}
