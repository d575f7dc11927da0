package chain

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// shownExamples are the example bytes of FORMAT.md by name: the seeds.
func shownExamples(t testing.TB) map[string]string {
	doc, err := os.ReadFile("FORMAT.md")
	require.NoError(t, err)
	shown := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^([^\n]+):\n\n((?:    \S+\n)+)`).FindAllStringSubmatch(string(doc), -1) {
		shown[m[1]] = strings.Join(strings.Fields(m[2]), "")
	}
	return shown
}

func shownBytes(t testing.TB, name string) []byte {
	b, err := hex.DecodeString(shownExamples(t)[name])
	require.NoError(t, err)
	require.NotEmpty(t, b, name)
	return b
}

func FuzzDecodeRun(f *testing.F) {
	f.Add(shownBytes(f, "run"))
	f.Add([]byte{0x95, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRun(b)
		if err != nil {
			require.ErrorIs(t, err, ErrEncoding)
			return
		}
		require.Equal(t, b, r.Append(nil))
		require.NotZero(t, r.First)
		require.LessOrEqual(t, uint64(r.Last()), uint64(maxSeq))
		if err := r.Verify(nil); err != nil {
			require.True(t, errors.Is(err, ErrKey) || errors.Is(err, ErrSignature) || errors.Is(err, ErrEncoding) || errors.Is(err, ErrName), err)
			return
		}
		require.Equal(t, b, r.Append(nil))
	})
}

// exampleTail is the end of the chain of FORMAT.md, or its place before the
// genesis: the table knows one origin, and the seq named last is 9.
func exampleTail(t testing.TB, begun bool) *Tail {
	tail := &Tail{Head: Head{Origin: seedOrigin(7)}}
	if begun {
		r, err := DecodeRun(shownBytes(t, "run"))
		require.NoError(t, err)
		require.NoError(t, r.Verify(nil))
		for i := range r.Entries {
			_, err := tail.Next(&r.Entries[i])
			require.NoError(t, err)
		}
	}
	return tail
}

// FuzzTailNext is what the holder of a key can make a ledger read.
func FuzzTailNext(f *testing.F) {
	f.Add(false, shownBytes(f, "header of the genesis"), shownBytes(f, "body of the genesis"))
	f.Add(true, shownBytes(f, "header of seq 2"), []byte(`{"stock":3}`))
	f.Add(true, shownBytes(f, "header of seq 3"), []byte(`{"picked":true}`))
	o := func(b byte) []byte { return append([]byte{0xc4, 16, b}, make([]byte, 15)...) }
	twice := []byte{0x95, 9, 1, 0, 0xc4, 1, 'a', 0x96, 1}
	f.Add(true, append(append(append(append(twice, o(1)...), 5, 2), o(1)...), 6), []byte(`{}`))
	f.Add(true, []byte{0x95, 9, 1, 0, 0xc4, 1, 'a', 0x94, 0, 2, 0, 2}, []byte(`{}`))
	f.Add(true, []byte{0x93, 80, 1, 0, 0xc1}, []byte{0xff})
	tails := map[bool]*Tail{false: exampleTail(f, false), true: exampleTail(f, true)}
	f.Fuzz(func(t *testing.T, begun bool, header, body []byte) {
		if len(header) > maxHeader || len(body) > MaxDelta {
			return // no run holds them
		}
		before, tail := tails[begun].Clone(), tails[begun].Clone()
		e := Entry{Header: header, Body: body, Hash: HashUpdate(tail.Hash, header, body)}
		u, err := tail.Next(&e)
		if err != nil {
			require.True(t, errors.Is(err, ErrEncoding) || errors.Is(err, ErrDelta) || errors.Is(err, ErrSubject) ||
				errors.Is(err, ErrKey) || errors.Is(err, ErrName), err)
			require.Equal(t, before.Head, tail.Head)
			require.Equal(t, before.table, tail.table)
			require.Equal(t, before.index, tail.Clone().index)
			return
		}
		require.Greater(t, u.HLC, before.HLC)
		require.LessOrEqual(t, len(u.Deps), MaxDeps)
		for i, d := range u.Deps {
			require.True(t, d.Seq > 0 && d.Seq <= maxSeq && d.Origin != tail.Origin)
			require.True(t, i == 0 || u.Deps[i-1].Compare(d) < 0)
		}
		// What is kept of it reads back the same.
		rec, err := decodeRecord(u.ID, appendRecord(nil, u, &e, nil, nil))
		require.NoError(t, err)
		kept, err := rec.update(u.ID)
		require.NoError(t, err)
		want := *u
		want.Prev = Hash{}
		require.Equal(t, &want, kept)
		if u.Kind <= KindStatus {
			// One update has one encoding.
			writer, copied := before.Clone(), *u
			again := writer.Extend(&copied)
			require.Equal(t, header, again.Header)
			require.Equal(t, u, &copied)
			require.Equal(t, tail.table, writer.table)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(shownBytes(f, "record of seq 3"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id := ID{seedOrigin(7), 3}
		r, err := decodeRecord(id, b)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		u := &Update{HLC: r.hlc, Hash: r.hash, Deps: r.deps, Cause: r.cause}
		require.Equal(t, b, appendRecord(nil, u, &Entry{Header: r.header, Body: r.body}, r.seal, r.before))
		if _, err := r.update(id); err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
		}
	})
}

// FuzzStored reads what a damaged disk may hold of the other records.
func FuzzStored(f *testing.F) {
	c := &chainState{tail: *exampleTail(f, true)}
	o := c.tail.Origin
	f.Add(appendChainRecord(nil, c))
	f.Add(appendFreeze(nil, exampleFork(f)))
	f.Add(appendKeyRecord(nil, &keyRecord{millis: 5, unchanged: true, id: ID{o, 3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeChainRecord(o, b); err == nil {
			require.Equal(t, b, appendChainRecord(nil, c))
		} else {
			require.ErrorIs(t, err, ErrCorrupt)
		}
		if fr, err := decodeFreeze(o, b); err == nil {
			require.Equal(t, b, appendFreeze(nil, fr))
		} else {
			require.ErrorIs(t, err, ErrCorrupt)
		}
		if k, err := decodeKeyRecord(b); err == nil {
			require.Equal(t, b, appendKeyRecord(nil, k))
		} else {
			require.ErrorIs(t, err, ErrCorrupt)
		}
	})
}

// FuzzDecodeFreeze is what a peer can say of a chain that is to be stopped.
func FuzzDecodeFreeze(f *testing.F) {
	f.Add(exampleFork(f).Append(nil))
	f.Add(SignSeal(seedKey(7), Head{seedOrigin(7), 3, Hash{1}}).Append(nil))
	run, _ := exampleChain(f)
	f.Add((&Freeze{After: 2, Reason: FreezeInvalid, Key: run.key(), Proof: [][]byte{run.Append(nil)}}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := DecodeFreeze(b)
		if err != nil {
			require.ErrorIs(t, err, ErrEncoding)
			return
		}
		require.Equal(t, b, fr.Append(nil))
		if err := fr.Verify(); err != nil {
			require.True(t, errors.Is(err, ErrEvidence) || errors.Is(err, ErrSignature) || errors.Is(err, ErrKey) ||
				errors.Is(err, ErrEncoding) || errors.Is(err, ErrName), err)
			return
		}
		require.Equal(t, OriginOf(fr.Key), fr.Origin)
		_, told := fr.before()
		require.Equal(t, fr.Reason != FreezeInvalid, told)
	})
}

func FuzzDecodeGenesis(f *testing.F) {
	f.Add(shownBytes(f, "body of the genesis"))
	g := Genesis{Key: exampleTail(f, true).Genesis.Key, Node: "n", Authority: "a", Zone: "z", Predecessor: Origin{1}, Grant: []byte("g")}
	f.Add(g.AppendBody(nil))
	g.Predecessor = Origin{}
	body := g.AppendBody(nil)
	f.Add(append(append(body[:len(body)-5:len(body)-5], append([]byte{0xc4, 16}, make([]byte, 16)...)...), 0xc4, 1, 'g'))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := DecodeGenesis(b)
		if err != nil {
			require.True(t, errors.Is(err, ErrEncoding) || errors.Is(err, ErrKey) || errors.Is(err, ErrName), err)
			return
		}
		require.NoError(t, g.Validate())
		require.Equal(t, b, g.AppendBody(nil))
	})
}

func FuzzParseCursor(f *testing.F) {
	text := shownExamples(f)["cursor at seq 3 and seq 300 of the two, for prefix order and authority fleet"]
	require.NotEmpty(f, text)
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, cursorVersion))
	require.NoError(f, err)
	f.Add(text, raw[:len(raw)-cursorSum])
	f.Add(text+"\n", []byte{0x93, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, text string, b []byte) {
		// As it stands, and behind a checksum that is right.
		sum := cursorChecksum(b)
		for _, s := range []string{text, cursorVersion + base64.RawURLEncoding.EncodeToString(append(bytes.Clone(b), sum[:]...))} {
			c, err := ParseCursor(s)
			if err != nil {
				require.ErrorIs(t, err, ErrCursor)
				continue
			}
			require.Equal(t, s, c.String())
		}
	})
}

func FuzzParseNames(f *testing.F) {
	o := seedOrigin(7)
	for _, s := range []string{
		o.String(), ID{o, 1}.String(), ID{o, maxSeq}.String(), HLC(1).String(), Hash{1}.String(), "",
		o.String() + ".01", o.String() + ".+1", o.String() + ".0", strings.ToUpper(o.String()), "0000000000000_01", "+000000000000001",
		o.String()[:25] + "\n", strings.Repeat("v", 26), o.String() + ".18446744073709551616",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if o, err := ParseOrigin(s); err == nil {
			require.Equal(t, s, o.String())
		} else {
			require.ErrorIs(t, err, ErrMalformed)
		}
		if id, err := ParseID(s); err == nil {
			require.Equal(t, s, id.String())
			require.NotZero(t, id.Seq)
		} else {
			require.ErrorIs(t, err, ErrMalformed)
		}
		if h, err := ParseHLC(s); err == nil {
			require.Equal(t, s, h.String())
		} else {
			require.ErrorIs(t, err, ErrMalformed)
		}
		if h, err := ParseHash(s); err == nil {
			require.Equal(t, s, h.String())
		} else {
			require.ErrorIs(t, err, ErrMalformed)
		}
	})
}

func FuzzCheckSubject(f *testing.F) {
	for _, s := range []string{"order/42", "", "/", "a//b", "a/..", "./a", "a/...", "a\x00", "a\u0085b", "\xff", "ä/ö", strings.Repeat("a", 513), "a\u2028b", "a\x7f"} {
		f.Add(s, "a/b")
	}
	f.Fuzz(func(t *testing.T, s, other string) {
		err := CheckSubject(s)
		if err != nil {
			require.ErrorIs(t, err, ErrSubject)
			return
		}
		require.True(t, utf8.ValidString(s) && len(s) > 0 && len(s) <= MaxSubject)
		require.False(t, strings.ContainsAny(s, "\x00\n\r\t\x1b\x7f"))
		for _, segment := range strings.Split(s, "/") {
			require.NotContains(t, []string{"", ".", ".."}, segment)
		}
		_, err = Prepare(Draft{Subject: s, Delta: []byte(`{}`)})
		require.NoError(t, err)
		// Its index is its own: no other subject's keys fall into the range.
		at := Stamp{HLC(1<<64 - 1), ID{seedOrigin(7), maxSeq}}
		key := appendIndexKey(nil, s, at)
		got, err := indexStamp(key)
		require.NoError(t, err)
		require.Equal(t, at, got)
		lo, hi := indexRange(s)
		require.True(t, bytes.Compare(lo, key) <= 0 && bytes.Compare(key, hi) < 0)
		if CheckSubject(other) == nil && other != s {
			key := appendIndexKey(nil, other, at)
			require.False(t, bytes.Compare(lo, key) <= 0 && bytes.Compare(key, hi) < 0, "%q is in the range of %q", other, s)
		}
		require.True(t, Prefix(s).Contains(s))
		require.False(t, Prefix(s+"/").Contains(s))
		require.Equal(t, strings.HasPrefix(other, s+"/") && other != s+"/" || other == s, Prefix(s).Contains(other) && other != s+"/")
	})
}

// FuzzCheckedDelta: what Accept finds in order must be taken by the fold, for
// an error there is the ledger's end.
func FuzzCheckedDelta(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1e999999999}`, `{"a":[1,{"b":null}],"":"\u0000"}`, `{"a":-0}`, `{"\ud83d\ude00":true}`, `{"a":{"b":{"c":[[[]]]}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if CheckDelta(b) != nil {
			return
		}
		v, err := ParseValue(b)
		require.NoError(t, err)
		require.True(t, v.IsObject())
		compact, err := CompactDelta(b)
		require.NoError(t, err)
		require.Equal(t, b, compact)
	})
}
