package chain

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestDiff(t *testing.T) {
	for _, test := range []struct{ from, to, want string }{
		{`{}`, `{}`, `{}`},
		{`{}`, `{"a":1}`, `{"a":1}`},
		{`{"a":1}`, `{}`, `{"a":null}`},
		{`{"a":1,"b":2,"c":3}`, `{"b":4,"c":3,"d":5}`, `{"a":null,"b":4,"d":5}`},
		{`{"a":{"x":1,"y":2}}`, `{"a":{"x":1,"y":3}}`, `{"a":{"y":3}}`},
		{`{"a":{"x":1}}`, `{"a":{}}`, `{"a":{"x":null}}`},
		{`{"a":{"x":1}}`, `{}`, `{"a":null}`},
		{`{"a":{"x":{"y":1}}}`, `{"a":{"x":{"y":1}}}`, `{}`},
		{`{"a":1}`, `{"a":{}}`, `{"a":{}}`},
		{`{"a":{}}`, `{"a":1}`, `{"a":1}`},
		// Numbers are compared by their exact value, and written as they come.
		{`{"a":1.0,"b":1e2}`, `{"a":1,"b":100}`, `{}`},
		{`{"a":0.1}`, `{"a":0.10000000000000000001}`, `{"a":0.10000000000000000001}`},
		{`{"a":[1.0,{"b":2}]}`, `{"a":[1,{"b":2e0}]}`, `{}`},
		{`{"a":1}`, `{"a":"1"}`, `{"a":"1"}`},
		// Arrays are leaves; the nulls in them are kept.
		{`{"a":[1,2]}`, `{"a":[1,2,3]}`, `{"a":[1,2,3]}`},
		{`{"a":[1]}`, `{"a":[null,{"b":null}]}`, `{"a":[null,{"b":null}]}`},
		{`{"a":[null]}`, `{"a":[null]}`, `{}`},
		// Null is absent.
		{`{}`, `{"a":null}`, `{}`},
		{`{"a":1}`, `{"a":null}`, `{"a":null}`},
		{`{}`, `{"a":{"b":null}}`, `{"a":{}}`},
		{`{"a":{"b":1,"c":2}}`, `{"a":{"b":null,"c":2}}`, `{"a":{"b":null}}`},
		{`{"a":5}`, `{"a":{"b":null,"c":{"d":null}}}`, `{"a":{"c":{}}}`},
		{`{"a":null}`, `{"a":null}`, `{"a":null}`},
		{`{"a":null}`, `{"a":1}`, `{"a":1}`},
		// Without an object there is nothing to go into.
		{`[1]`, `{"a":1,"b":null}`, `{"a":1}`},
		{`{"a":1}`, `[1]`, `[1]`},
		{`1`, `1`, `1`},
	} {
		require.Equal(t, test.want, Diff(parsed(t, test.from), parsed(t, test.to)).String(), "from %s to %s", test.from, test.to)
	}
}

func TestDiffIsWhatChanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkDiff(t, parsedRapid(t, modelDelta(4).Draw(t, "from")), parsedRapid(t, modelDelta(4).Draw(t, "to")))
	})
}

// FuzzDiff takes any two texts, so also keys, strings and numbers that a
// generator would not think of.
func FuzzDiff(f *testing.F) {
	for _, test := range mergeTable {
		f.Add([]byte(test.target), []byte(test.patch))
	}
	f.Add([]byte(`{"a":{"b":{"c":1,"d":[{"e":null}]}},"n":1e400}`), []byte(`{"a":{"b":{"c":null,"d":[{"e":null}]}},"n":10e399}`))
	f.Add([]byte(`{"":{"":{}},"a/~":"\u00e9"}`), []byte(`{"a/~":"é","":{"":1}}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a)+len(b) > 1<<10 {
			return // the check takes the square of the length
		}
		from, err := ParseValue(a)
		if err != nil {
			return
		}
		to, err := ParseValue(b)
		if err != nil || !from.IsObject() || !to.IsObject() {
			return
		}
		checkDiff(t, from, to)
	})
}

func checkDiff(t require.TestingT, from, to Value) {
	want := mergeStrip(to)
	patch := Diff(from, to)
	require.True(t, Merge(from, patch).Equal(want), "from %s to %s by %s is %s", from, to, patch, Merge(from, patch))
	_, err := CompactDelta(patch.Append(nil))
	require.NoError(t, err, "it can be published")
	if from.Equal(want) {
		require.True(t, patch.IsEmpty(), "nothing changed from %s to %s, and yet %s", from, to, patch)
	}
	require.True(t, Diff(want, to).IsEmpty(), "done is done")
	for _, less := range withoutOne(patch) {
		require.False(t, Merge(from, less).Equal(want), "from %s to %s %s would have been enough instead of %s", from, to, less, patch)
	}
}

// withoutOne are the patches that say one thing less: without a leaf, or
// without an object and all below it.
func withoutOne(patch Value) (out []Value) {
	for i, m := range patch.members {
		without := func(instead ...valueMember) Value {
			members := append(append([]valueMember{}, patch.members[:i]...), instead...)
			return Value{kind: valueObject, members: append(members, patch.members[i+1:]...)}
		}
		out = append(out, without())
		for _, less := range withoutOne(m.value) {
			out = append(out, without(valueMember{m.key, less}))
		}
	}
	return out
}
