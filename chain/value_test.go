package chain

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func parsed(t testing.TB, s string) Value {
	t.Helper()
	v, err := ParseValue([]byte(s))
	if err != nil {
		t.Fatalf("parse %s: %v", s, err)
	}
	return v
}

func TestValueAppend(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{` null `, `null`},
		{`true`, `true`},
		{`-0`, `-0`},
		{`1.50E+3`, `1.50E+3`},
		{`[ ]`, `[]`},
		{`{"b":1,"a":2,"":3}`, `{"":3,"a":2,"b":1}`},
		{`"\u0041\/\u003c\u2028é"`, "\"A/<\u2028é\""},
		{`"\u0000\u001F\u007f\b\f\n\r\t\"\\"`, "\"\\u0000\\u001f\x7f\\b\\f\\n\\r\\t\\\"\\\\\""},
		{`[1, {"b":"\u0062", "a":[ {} ]}]`, `[1,{"a":[{}],"b":"b"}]`},
		// By UTF-8 bytes U+FFFF comes before U+10000; by UTF-16 it would not.
		{`{"𐀀":1,"￿":2}`, `{"￿":2,"𐀀":1}`},
	} {
		v := parsed(t, test.in)
		if got := v.String(); got != test.want {
			t.Errorf("%s: %s, want %s", test.in, got, test.want)
		}
		if _, err := valueParse([]byte(test.want), true); err != nil {
			t.Errorf("strict %s: %v", test.want, err)
		}
		if test.in != test.want {
			if _, err := valueParse([]byte(test.in), true); err == nil {
				t.Errorf("strict %s: no error", test.in)
			}
		}
	}
}

// A long source is not kept by the short strings of its value, a short one is
// shared; both must read the same.
func TestValueOfLongSource(t *testing.T) {
	for _, n := range []int{1, valueShared, 10 * valueShared} {
		in := []byte(`{"a":"` + strings.Repeat("x", n) + `","b":[1,{"c":"d"}],"e":12}`)
		v := parsed(t, string(in))
		want := string(in)
		for i := range in {
			in[i] = 0
		}
		if v.String() != want {
			t.Errorf("length %d: %s", n, v)
		}
	}
}

func TestAppendJSONString(t *testing.T) {
	if got := string(AppendJSONString(nil, "a\xff<>&\x01é")); got != "\"a\ufffd<>&\\u0001é\"" {
		t.Errorf("got %s", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		var back string
		if err := json.Unmarshal(AppendJSONString(nil, s), &back); err != nil || back != s {
			t.Fatalf("%q reads back as %q, %v", s, back, err)
		}
	})
}

// exact is a value's exact text, which must be one of JSON for the same value.
func exact(v Value) string {
	text := v.appendExact(nil)
	back, err := valueParse(text, true)
	if err != nil || !back.Equal(v) {
		return "not " + v.String() + " but " + string(text)
	}
	return string(text)
}

func TestValueExact(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{`{"b":[1.50,{"c":-0.0}],"a":"1.0\\\""}`, `{"a":"1.0\\\"","b":[15e-1,{"c":0}]}`},
		{`[0,7,-7,100,1e2,1E+0,0.05,123456,120]`, `[0,7,-7,1e2,1e2,1,5e-2,123456,12e1]`},
		{`-12.30e-4`, `-123e-5`},
		{`1e99999999999999999999999999`, `1e99999999999999999999999999`},
		{`[true,false,null,{}]`, `[true,false,null,{}]`},
	} {
		if got := exact(parsed(t, test.in)); got != test.want {
			t.Errorf("%s: %s, want %s", test.in, got, test.want)
		}
	}
}

func TestValueEqual(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{`1.0`, `1`, true},
		{`1`, `10e-1`, true},
		{`-0`, `0`, true},
		{`-0.00e7`, `0E99`, true},
		{`0`, `1`, false},
		{`-1`, `1`, false},
		{`100`, `1e2`, true},
		{`100`, `1e3`, false},
		{`0.001`, `1E-3`, true},
		{`0.0010`, `10e-4`, true},
		{`1e007`, `10000000`, true},
		{`9007199254740993`, `9007199254740992`, false},
		{`1e999999999999`, `10e999999999998`, true},
		{`1e999999999999`, `1e999999999998`, false},
		{`1e99999999999999999999999999`, `0.1e100000000000000000000000000`, true},
		{`1e-99999999999999999999999999`, `10e-100000000000000000000000000`, true},
		{`1e99999999999999999999999999`, `1e-99999999999999999999999999`, false},
		{`1e99999999999999999999999999`, `1`, false},
		{`1e0000000000000000000000000000002`, `100`, true},
		{`"A"`, `"\u0041"`, true},
		{`"é"`, "\"e\u0301\"", false},
		{`[1,{"a":2.0}]`, `[1.0,{"a":2}]`, true},
		{`[true,false,null,"1",1]`, `[true,false,null,"1",1e0]`, true},
		{`["a\\",1,"\"",2]`, `["a\\",1.0,"\"",2]`, true},
		{`["1.0"]`, `["1"]`, false},
		{`["1.0",1]`, `["1.0",1.00]`, true},
		{`[1,2]`, `[12]`, false},
		{`[1.0,"a"]`, `[1,"ab"]`, false},
		{`[1.0,"ab"]`, `[1,"a"]`, false},
		{`[-1]`, `[1]`, false},
		{`[1.0,true]`, `[1,null]`, false},
		{`[1.0,{"a":1}]`, `[1,{"b":1}]`, false},
		{`[1.0,[]]`, `[1,[[]]]`, false},
		{`[1,2]`, `[2,1]`, false},
		{`[1]`, `[1,1]`, false},
		{`{"a":1,"b":[{}]}`, `{"b":[{}],"a":1e0}`, true},
		{`{"a":1}`, `{"b":1}`, false},
		{`{}`, `[]`, false},
		{`null`, `false`, false},
		{`1`, `"1"`, false},
	} {
		a, b := parsed(t, test.a), parsed(t, test.b)
		if a.Equal(b) != test.want || b.Equal(a) != test.want {
			t.Errorf("%s = %s: %v and %v, want %v", test.a, test.b, a.Equal(b), b.Equal(a), test.want)
		}
		if x, y := exact(a), exact(b); (x == y) != test.want {
			t.Errorf("%s is exactly %s, %s is %s; the same: want %v", test.a, x, test.b, y, test.want)
		}
	}
	long := "1e" + strings.Repeat("9", 60_000)
	if !parsed(t, long).Equal(parsed(t, "10e"+strings.Repeat("9", 59_999)+"8")) || parsed(t, long).Equal(parsed(t, "-"+long)) {
		t.Error("an exponent of 60,000 digits")
	}
}

// Arrays are compared as the model compares them, and the worst that fits into a
// delta takes one pass.
func TestArraysEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		item := rapid.SampledFrom([]string{`1`, `1.0`, `10e-1`, `"1"`, `"\""`, `true`, `null`, `[1]`, `[1.0]`, `{"a":1}`, `{"a":1.00}`, `{}`})
		items := rapid.SliceOfN(item, 0, 3)
		a := "[" + strings.Join(items.Draw(t, "a"), ",") + "]"
		b := "[" + strings.Join(items.Draw(t, "b"), ",") + "]"
		v, w := parsedRapid(t, a), parsedRapid(t, b)
		if got, want := v.Equal(w), modelEqual(modelParse([]byte(a)), modelParse([]byte(b))); got != want {
			t.Fatalf("%s = %s: %v, want %v", a, b, got, want)
		}
		if x, y := exact(v), exact(w); (x == y) != v.Equal(w) {
			t.Fatalf("%s is exactly %s, %s is %s", a, x, b, y)
		}
	})
	deep := strings.Repeat("[", MaxDepth-2) + strings.Repeat(`{"b":1,"a":2},`, MaxDelta/16) + "1" + strings.Repeat("]", MaxDepth-2)
	v, w := parsed(t, deep), parsed(t, strings.ReplaceAll(deep, "2}", "2.0}"))
	if allocs := testing.AllocsPerRun(1, func() {
		if !v.Equal(w) {
			t.Error("equal arrays differ")
		}
	}); allocs > float64(MaxDelta) {
		t.Errorf("%v allocations", allocs)
	}
}

func TestNumberEqualIsExact(t *testing.T) {
	literal := rapid.StringMatching(`-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,3})?([eE][+-]?0?[0-9])?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := literal.Draw(t, "a"), literal.Draw(t, "b")
		if rapid.Bool().Draw(t, "scaled") {
			b = a + "0"
			if !strings.ContainsAny(a, ".eE") {
				b = a + ".0"
			}
		}
		x, okX := new(big.Rat).SetString(a)
		y, okY := new(big.Rat).SetString(b)
		if !okX || !okY {
			t.Fatal("a literal that big.Rat refuses")
		}
		if numberEqual(a, b) != (x.Cmp(y) == 0) {
			t.Fatalf("%s = %s: %v", a, b, numberEqual(a, b))
		}
		if c, d := exact(parsedRapid(t, a)), exact(parsedRapid(t, b)); (c == d) != numberEqual(a, b) {
			t.Fatalf("%s is exactly %s, %s is %s", a, c, b, d)
		}
	})
}

func TestValueAt(t *testing.T) {
	v := parsed(t, `{"a":{"b/c":{"~":[1]}},"":2,"~1":3}`)
	for _, test := range []struct{ pointer, want string }{
		{"", v.String()},
		{"/a/b~1c/~0", "[1]"},
		{"/", "2"},
		{"/~01", "3"},
		{"/a/x", "none"},
		{"/a/b~1c/~0/0", "none"},
		{"//", "none"},
	} {
		got := "none"
		if w, ok := v.at(test.pointer); ok {
			got = w.String()
		}
		if got != test.want {
			t.Errorf("%q: %s, want %s", test.pointer, got, test.want)
		}
	}
}

func FuzzValue(f *testing.F) {
	for _, s := range []string{`null`, `[1,{"b":"\u0062"}]`, `{"b":1,"a":{"":[[]]}}`, `"\ud83d\ude00"`, `1e400`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := ParseValue(in)
		strict, strictErr := valueParse(in, true)
		if err != nil {
			if strictErr == nil {
				t.Fatalf("strict takes %q", in)
			}
			return
		}
		canonical := v.Append(nil)
		if (strictErr == nil) != bytes.Equal(in, canonical) {
			t.Fatalf("strict of %q: %v, canonical is %q", in, strictErr, canonical)
		}
		if strictErr == nil && !strict.Equal(v) {
			t.Fatalf("strict reads %q as another value", in)
		}
		if back := parsed(t, exact(v)); !back.Equal(v) {
			t.Fatalf("the exact text of %q has another value", in)
		}
	})
}
