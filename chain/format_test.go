package chain

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite golden files")

func seedKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func seedOrigin(b byte) Origin { return OriginOf(seedKey(b).Public().(ed25519.PublicKey)) }

// exampleChain is the chain of FORMAT.md.
func exampleChain(t testing.TB) (*Run, []*Update) {
	g := &Genesis{Key: seedKey(7).Public().(ed25519.PublicKey), Node: "wh-1", Authority: "warehouse"}
	dep := ID{seedOrigin(8), 9}
	p, err := Prepare(Draft{Subject: "order/42", Delta: []byte(`{"picked":true}`), Deps: []ID{dep}, Key: "k-1", Cause: dep, Hook: "pick"})
	require.NoError(t, err)
	updates := []*Update{
		{Kind: KindGenesis, HLC: HLCOf(1_700_000_000_000), Delta: g.AppendBody(nil)},
		{Kind: KindStatus, HLC: HLCOf(1_700_000_000_000) + 1, Subject: "order/42", Delta: []byte(`{"stock":3}`)},
		{
			Kind: KindStatus, HLC: HLCOf(1_700_000_000_250), Subject: "order/42", Delta: p.delta, Deps: []ID{dep},
			Key: p.tagOn(seedOrigin(7)), Cause: dep, Hook: "pick", Depth: 1,
		},
	}
	tail := Tail{Head: Head{Origin: seedOrigin(7)}}
	run := &Run{Origin: tail.Origin, First: 1}
	for _, u := range updates {
		run.Entries = append(run.Entries, tail.Extend(u))
	}
	run.Signature = Sign(seedKey(7), tail.Head)
	return run, updates
}

func (r *Run) key() ed25519.PublicKey {
	g, err := DecodeGenesis(r.Entries[0].Body)
	if err != nil {
		panic(err)
	}
	return g.Key
}

// exampleFork is the proof that the key of FORMAT.md's chain signed another
// update at seq 3.
func exampleFork(t testing.TB) *Freeze {
	run, updates := exampleChain(t)
	tail := Tail{Head: Head{Origin: run.Origin}}
	for i := range 2 {
		_, err := tail.Next(&run.Entries[i])
		require.NoError(t, err)
	}
	other := &Run{Origin: run.Origin, First: 3, Prev: updates[1].Hash, Entries: []Entry{
		tail.Extend(&Update{Kind: KindStatus, HLC: HLCOf(1_700_000_000_900), Subject: "order/42", Delta: []byte(`{"picked":false}`)}),
	}}
	other.Signature = Sign(seedKey(7), tail.Head)
	return forkFreeze(run.key(), run.after(2), other)
}

// FORMAT.md shows the bytes that the code writes, and they read back.
func TestFormatExamples(t *testing.T) {
	run, updates := exampleChain(t)
	cursor := Cursor{Frontier: Frontier{seedOrigin(7): 3, seedOrigin(8): 300}, Filter: Filter{Prefix: "order", Authorities: []string{"fleet"}}.Hash()}
	var root Root
	fork := exampleFork(t)
	seal := SignSeal(seedKey(7), run.Head())
	before := Sign(seedKey(7), Head{run.Origin, 2, updates[1].Hash})
	told := Cursor{Frontier: Frontier{seedOrigin(8): 300}, Told: Frontier{seedOrigin(7): 0}}
	root.Add(run.Head())
	other := &Update{
		ID: ID{seedOrigin(8), 9}, Kind: KindStatus, HLC: HLCOf(1_700_000_000_100), Subject: "order/42",
		Delta: []byte(`{"van":7}`), Hash: Hash(bytes.Repeat([]byte{9}, len(Hash{}))),
	}
	next := &Update{ID: ID{run.Origin, 4}, HLC: updates[2].HLC + 1}
	state, index := exampleState(t, updates, other, next)
	lagging := storedState{size: lagFrom, tips: len(state.tips), lags: true}
	require.True(t, lagging.lag(state, []*Update{next}, nil))
	whole, lacks := state.Append(nil), lagging.lacks
	lags := slices.Clone(whole)
	lags[1] |= stateLags
	require.True(t, storedLags(lags))
	first := &Update{ID: ID{seedOrigin(9), 2}, Kind: KindStatus, HLC: next.HLC + 1, Subject: "order/42", Delta: []byte(`{"dock":3}`)}
	_, err := state.Add(first, "carrier", Context{first.ID})
	require.NoError(t, err)
	require.True(t, lagging.lag(state, []*Update{first}, []ID{first.ID}))
	examples := []struct{ name, text string }{
		{"origin", run.Origin.String()},
		{"header of the genesis", hex.EncodeToString(run.Entries[0].Header)},
		{"body of the genesis", hex.EncodeToString(run.Entries[0].Body)},
		{"header of seq 2", hex.EncodeToString(run.Entries[1].Header)},
		{"header of seq 3", hex.EncodeToString(run.Entries[2].Header)},
		{"hash of seq 3", updates[2].Hash.String()},
		{"run", hex.EncodeToString(run.Append(nil))},
		{"record of seq 3", hex.EncodeToString(appendRecord(nil, updates[2], &run.Entries[2], run.Signature[:], nil))},
		{"cursor at seq 3 and seq 300 of the two, for prefix order and authority fleet", cursor.String()},
		{"root of the chain alone", root.Hash().String()},
		{"index entry of seq 3", hex.EncodeToString(index[0])},
		{"index entry of seq 4", hex.EncodeToString(index[1])},
		{"state of the subject", hex.EncodeToString(whole)},
		{"freeze after seq 2, by a fork at seq 3", hex.EncodeToString(fork.Append(nil))},
		{"freeze after seq 3, by a seal of the chain's own key", hex.EncodeToString(seal.Append(nil))},
		{"cursor at seq 300 of the other, told that the chain was ended after seq 0", told.String()},
		{"state of the subject, if it lags", hex.EncodeToString(lags)},
		{"what the state lacks once seq 4 is applied, if it lags", hex.EncodeToString(lacks)},
		{"and once seq 2 of the origin of the seed 32 bytes of 9, by carrier, is", hex.EncodeToString(lagging.lacks)},
		{"record of seq 3, with the seal of seq 2", hex.EncodeToString(appendRecord(nil, updates[2], &run.Entries[2], nil, before[:]))},
	}
	var b strings.Builder
	for _, e := range examples {
		b.WriteString(e.name + ":\n\n")
		for text := e.text; text != ""; {
			n := min(len(text), 120)
			b.WriteString("    " + text[:n] + "\n")
			text = text[n:]
		}
		b.WriteString("\n")
	}
	const file, heading = "FORMAT.md", "32 bytes of 8, carries the key `k-1`, and answers that dep as reaction `pick`.\n\n"
	doc, err := os.ReadFile(file)
	require.NoError(t, err)
	head, _, ok := strings.Cut(string(doc), heading)
	require.True(t, ok, "the examples' heading is gone")
	want := head + heading + strings.TrimRight(b.String(), "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
	}
	doc, err = os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, string(doc), "run the test with -update and look at the difference")

	// What the document shows is read by the decoders.
	shown := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^([^\n]+):\n\n((?:    \S+\n)+)`).FindAllStringSubmatch(string(doc), -1) {
		shown[m[1]] = strings.Join(strings.Fields(m[2]), "")
	}
	raw, err := hex.DecodeString(shown["run"])
	require.NoError(t, err)
	got, err := DecodeRun(raw)
	require.NoError(t, err)
	require.NoError(t, got.Verify(nil))
	require.Equal(t, run.Head(), got.Head())
	tail := Tail{Head: Head{Origin: got.Origin}}
	for i := range got.Entries {
		u, err := tail.Next(&got.Entries[i])
		require.NoError(t, err)
		want := *updates[i]
		want.Prev = u.Prev
		require.Equal(t, &want, u)
	}
	c, err := ParseCursor(shown[examples[8].name])
	require.NoError(t, err)
	require.Equal(t, cursor.Frontier, c.Frontier)
	c, err = ParseCursor(shown[examples[15].name])
	require.NoError(t, err)
	require.Equal(t, told.Frontier, c.Frontier)
	require.Equal(t, told.Told, c.Told)
	for i, want := range map[int]*Freeze{13: fork, 14: seal} {
		raw, err := hex.DecodeString(shown[examples[i].name])
		require.NoError(t, err)
		got, err := DecodeFreeze(raw)
		require.NoError(t, err)
		require.NoError(t, got.Verify())
		require.Equal(t, want.Proof, got.Proof)
		require.Equal(t, want.After, got.After)
		require.Equal(t, run.Origin, got.Origin)
	}
	rec, err := hex.DecodeString(shown["record of seq 3"])
	require.NoError(t, err)
	r, err := decodeRecord(updates[2].ID, rec)
	require.NoError(t, err)
	u, err := r.update(updates[2].ID)
	require.NoError(t, err)
	back := *updates[2]
	back.Prev = Hash{}
	require.Equal(t, &back, u)
	rec, err = hex.DecodeString(shown["record of seq 3, with the seal of seq 2"])
	require.NoError(t, err)
	r, err = decodeRecord(updates[2].ID, rec)
	require.NoError(t, err)
	require.Empty(t, r.seal)
	require.NoError(t, VerifySeal(run.key(), Head{run.Origin, 2, updates[1].Hash}, [64]byte(r.before)))
	for _, e := range []struct {
		name string
		at   *Update
		want contextEntry
	}{
		{"index entry of seq 3", updates[2], contextEntry{other: Context{other.ID}}},
		{"index entry of seq 4", next, contextEntry{hops: 1, prev: updates[2].Stamp()}},
	} {
		b, err := hex.DecodeString(shown[e.name])
		require.NoError(t, err)
		read, err := decodeContextEntry(e.at.Stamp(), b)
		require.NoError(t, err)
		require.Equal(t, e.want, read)
	}
	encoded, err := hex.DecodeString(shown["state of the subject"])
	require.NoError(t, err)
	s, err := DecodeState("order/42", encoded)
	require.NoError(t, err)
	require.Equal(t, `{"picked":true,"stock":3,"van":7}`, s.Status().String())
	require.Equal(t, []ID{updates[2].ID}, s.Heads())
	require.Equal(t, uint64(3), s.Updates())
}

// exampleState is the state of FORMAT.md, and the index entries of seq 3 and,
// next, seq 4.
func exampleState(t *testing.T, updates []*Update, other, next *Update) (s *State, index [2][]byte) {
	s = NewState("order/42")
	for _, a := range []struct {
		u         *Update
		authority string
		seen      Context
	}{
		{updates[1], "warehouse", Context{updates[1].ID}},
		{other, "fleet", Context{other.ID}},
		{updates[2], "warehouse", Context{}.With(other.ID).With(updates[2].ID)},
	} {
		index[0] = entryOn(s, a.u, a.seen)
		_, err := s.Add(a.u, a.authority, a.seen)
		require.NoError(t, err)
	}
	index[1] = entryOn(s, next, Context{}.With(other.ID).With(next.ID))
	return s, index
}

// entryOn is what the index keeps of an update that comes next to a state.
func entryOn(s *State, u *Update, seen Context) []byte {
	var own *stateTip
	if i, ok := s.tip(u.ID.Origin); ok {
		own = &s.tips[i]
	}
	e := contextEntryOf(u, seen, own)
	return e.append(nil, u.Stamp())
}
