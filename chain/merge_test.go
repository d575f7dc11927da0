package chain

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The table of RFC 7396, appendix A.
var mergeTable = []struct{ target, patch, want string }{
	{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
	{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
	{`{"a":"b"}`, `{"a":null}`, `{}`},
	{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
	{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
	{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
	{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
	{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
	{`["a","b"]`, `["c","d"]`, `["c","d"]`},
	{`{"a":"b"}`, `["c"]`, `["c"]`},
	{`{"a":"foo"}`, `null`, `null`},
	{`{"a":"foo"}`, `"bar"`, `"bar"`},
	{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
	{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
	{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
}

func TestMergeRFC7396(t *testing.T) {
	for _, test := range mergeTable {
		if got := Merge(parsed(t, test.target), parsed(t, test.patch)).String(); got != test.want {
			t.Errorf("Merge(%s, %s) = %s, want %s", test.target, test.patch, got, test.want)
		}
	}
}

// A known library removes the null from an array in the patch; RFC 7396 says
// that arrays are replaced whole.
func TestRule7_ArraysKeepTheirNulls(t *testing.T) {
	for _, test := range []struct{ target, patch, want string }{
		{`{}`, `{"a":[{"b":null}]}`, `{"a":[{"b":null}]}`},
		{`{"a":[{"b":1}]}`, `{"a":[{"b":null}]}`, `{"a":[{"b":null}]}`},
		{`{"a":1}`, `{"a":{"c":[null,{"d":null}],"e":null}}`, `{"a":{"c":[null,{"d":null}]}}`},
	} {
		if got := Merge(parsed(t, test.target), parsed(t, test.patch)).String(); got != test.want {
			t.Errorf("Merge(%s, %s) = %s, want %s", test.target, test.patch, got, test.want)
		}
	}
}

// Patches are never composed: {"a":{"b":null}} after {"a":1} is not the patch
// {"a":{"b":null}} applied to what {"a":1} was applied to.
func TestRule7_PatchesAreNotComposed(t *testing.T) {
	status := parsed(t, `{"a":{"b":1,"c":2}}`)
	first, second := parsed(t, `{"a":1}`), parsed(t, `{"a":{"b":null}}`)
	if got := Merge(Merge(status, first), second).String(); got != `{"a":{}}` {
		t.Errorf("one after the other: %s", got)
	}
	if got := Merge(status, Merge(first, second)).String(); got == `{"a":{}}` {
		t.Error("composing is meant to differ here")
	}
}

func TestMergeIsTheModels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := modelDelta(4).Draw(t, "target")
		patch := modelDelta(4).Draw(t, "patch")
		before := Merge(valueEmpty, parsedRapid(t, target))
		beforeText := before.String()
		got := Merge(before, parsedRapid(t, patch))
		want := modelMerge(modelMerge(map[string]any{}, modelParse([]byte(target))), modelParse([]byte(patch)))
		wantText := modelJSON(want)
		if got.String() != wantText {
			t.Fatalf("Merge(%s, %s) = %s, want %s", before, patch, got, wantText)
		}
		if before.String() != beforeText {
			t.Fatalf("the target changed from %s to %s", beforeText, before)
		}
		if got.String() == beforeText && !got.same(before) {
			t.Fatalf("Merge(%s, %s) changes nothing and yet is a copy", before, patch)
		}
	})
}

func TestMergeShares(t *testing.T) {
	target := parsed(t, `{"a":{"x":{"y":1}},"b":{"z":2},"c":3}`)
	got := Merge(target, parsed(t, `{"b":{"z":4}}`))
	if a, _ := got.Get("a"); !a.same(target.members[0].value) {
		t.Error("a subtree that the patch leaves was copied")
	}
	patch := parsed(t, `{"a":{"x":{"y":1},"none":null},"b":{},"c":3}`)
	if allocs := testing.AllocsPerRun(10, func() { got = Merge(target, patch) }); allocs > 0 || !got.same(target) {
		t.Errorf("a patch that changes nothing: %v allocations, %s", allocs, got)
	}
}

// The trivial model: merge patch as RFC 7396 writes it, over what encoding/json
// makes of the text.

func modelParse(b []byte) any {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

func modelMerge(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out := map[string]any{}
	if t, ok := target.(map[string]any); ok {
		for k, v := range t {
			out[k] = v
		}
	}
	for k, v := range p {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = modelMerge(out[k], v)
		}
	}
	return out
}

func modelJSON(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func parsedRapid(t *rapid.T, s string) Value {
	v, err := ParseValue([]byte(s))
	if err != nil {
		t.Fatalf("parse %s: %v", s, err)
	}
	return v
}

// modelDelta draws patches over few keys, so that they meet: objects of at most
// that many levels. Keys come in any order.
func modelDelta(levels int) *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{`1`, `1.0`, `2`, `"x"`, `"<é>"`, `true`, `null`, `null`, `{}`, `[]`, `[1,{"b":null}]`})
	return rapid.Custom(func(t *rapid.T) string {
		keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{`a`, `b`, `a-b`, `c/~`, ``}), 0, 3, rapid.ID[string]).Draw(t, "keys")
		out := []byte{'{'}
		for i, k := range keys {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(AppendJSONString(out, k), ':')
			if levels > 1 && rapid.IntRange(0, 2).Draw(t, "nest") == 0 {
				out = append(out, modelDelta(levels-1).Draw(t, "object")...)
			} else {
				out = append(out, leaf.Draw(t, "leaf")...)
			}
		}
		return string(append(out, '}'))
	})
}

func TestLeaves(t *testing.T) {
	var got []string
	parsed(t, `{"b":{"x":null,"y":{}},"a/":[{"q":1}],"c":{"d":{"~":1}}}`).leaves(func(path []byte, v Value) {
		got = append(got, string(path)+"="+v.String())
	})
	want := []string{`/a~1=[{"q":1}]`, `/b/x=null`, `/b/y={}`, `/c/d/~0=1`}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("leaves %q, want %q", got, want)
	}
}

func TestLeavesAreYielded(t *testing.T) {
	delta, err := ParseValue([]byte(`{"b":{"c/d":1,"a":null},"a":[1,{"x":2}],"e":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for path, leaf := range delta.Leaves() {
		got = append(got, path+" "+leaf.String())
	}
	want := []string{`/a [1,{"x":2}]`, "/b/a null", "/b/c~1d 1", "/e {}"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for path := range delta.Leaves() {
		if path != "/a" {
			t.Errorf("went on to %s", path)
		}
		break
	}
}
