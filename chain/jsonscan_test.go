package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestCompactDelta(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{`{}`, `{}`},
		{" {\n\t} \r\n", `{}`},
		{`{"b": 1, "a" :[ 1 , {"b" : null } ] }`, `{"b":1,"a":[1,{"b":null}]}`},
		{`{"a":"\u0041 \/ \" b"}`, `{"a":"\u0041 \/ \" b"}`},
		{`{"a":-0.0, "b":1E+400,"c":0e-0}`, `{"a":-0.0,"b":1E+400,"c":0e-0}`},
		{`{"a":1e99999999999999999999999999999}`, `{"a":1e99999999999999999999999999999}`},
		{`{"😀":"\ud83d\ude00"}`, `{"😀":"\ud83d\ude00"}`},
		{`{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}`, `{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}`},
		{`{"":true,"x":false,"y":null}`, `{"":true,"x":false,"y":null}`},
	} {
		got, err := CompactDelta([]byte(test.in))
		if err != nil || string(got) != test.want {
			t.Errorf("CompactDelta(%s) = %s, %v; want %s", test.in, got, err, test.want)
			continue
		}
		if err := CheckDelta(got); err != nil {
			t.Errorf("CheckDelta(%s) = %v", got, err)
		}
		if err := CheckDelta([]byte(test.in)); (err == nil) != (test.in == test.want) {
			t.Errorf("CheckDelta(%s) = %v", test.in, err)
		}
	}
}

func TestCompactDeltaKeepsNothingOfItsInput(t *testing.T) {
	in := []byte(`{"a":1}`)
	got, err := CompactDelta(in)
	if err != nil {
		t.Fatal(err)
	}
	in[2] = 'b'
	if string(got) != `{"a":1}` {
		t.Errorf("changed with its input: %s", got)
	}
}

func TestDeltaRefused(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	if err := CheckDelta([]byte(deep(MaxDepth))); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
	var many strings.Builder
	for i := range 100 {
		many.WriteString(`"k` + string(rune('a'+i/10)) + string(rune('a'+i%10)) + `":1,`)
	}
	for _, test := range []struct {
		name, in string
		fault    DeltaFault
		offset   int
		pointer  string
	}{
		{"nothing", ``, DeltaSyntax, 0, ""},
		{"array", ` [1]`, DeltaNotObject, 1, ""},
		{"null", `null`, DeltaNotObject, 0, ""},
		{"string", `"a"`, DeltaNotObject, 0, ""},
		{"cut off", `{"a":[1,`, DeltaSyntax, 8, "/a/1"},
		{"cut off in a string", `{"a":"b`, DeltaSyntax, 7, "/a"},
		{"no colon", `{"a" 1}`, DeltaSyntax, 5, ""},
		{"comma at the end", `{"a":1,}`, DeltaSyntax, 7, ""},
		{"comma at an array's end", `{"a":[1,]}`, DeltaSyntax, 8, "/a/1"},
		{"wrong bracket", `{"a":[1}}`, DeltaSyntax, 7, "/a"},
		{"trailing bytes", `{} {}`, DeltaSyntax, 3, ""},
		{"NUL after", "{}\x00", DeltaSyntax, 2, ""},
		{"byte order mark", "\ufeff{}", DeltaSyntax, 0, ""},
		{"vertical tab", "{\v}", DeltaSyntax, 1, ""},
		{"duplicate key", `{"x":{"a":1,"a":2}}`, DeltaDuplicate, 12, "/x"},
		{"duplicate key in an array", `{"x":[{"a":1,"a":2}]}`, DeltaDuplicate, 13, "/x/0"},
		{"duplicate of many", `{` + many.String() + `"kbc":1}`, DeltaDuplicate, 801, ""},
		{"too deep", deep(MaxDepth + 1), DeltaTooDeep, 5 * MaxDepth, strings.Repeat("/a", MaxDepth)},
		{"arrays too deep", `{"a":` + strings.Repeat("[", 100_000), DeltaTooDeep, 5 + MaxDepth - 1, "/a" + strings.Repeat("/0", MaxDepth-1)},
		{"array too deep at the top", strings.Repeat("[", 100_000), DeltaTooDeep, MaxDepth, strings.Repeat("/0", MaxDepth)},
		{"not UTF-8", "{\"a\":\"\xff\"}", DeltaSyntax, 6, "/a"},
		{"overlong", "{\"a\":\"\xc0\x80\"}", DeltaSyntax, 6, "/a"},
		{"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", DeltaSyntax, 6, "/a"},
		{"key not UTF-8", "{\"\x80\":1}", DeltaSyntax, 2, ""},
		{"lone high surrogate", `{"a":"\ud800"}`, DeltaSyntax, 6, "/a"},
		{"lone low surrogate", `{"a":"\udc00x"}`, DeltaSyntax, 6, "/a"},
		{"high surrogate twice", `{"a":"\ud800\ud800"}`, DeltaSyntax, 6, "/a"},
		{"control character", "{\"a\":\"\n\"}", DeltaSyntax, 6, "/a"},
		{"unknown escape", `{"a":"\x41"}`, DeltaSyntax, 6, "/a"},
		{"bad hex", `{"a":"\u00g0"}`, DeltaSyntax, 6, "/a"},
		{"leading zero", `{"a":01}`, DeltaSyntax, 6, ""},
		{"leading plus", `{"a":+1}`, DeltaSyntax, 5, "/a"},
		{"no digit after the point", `{"a":1.}`, DeltaSyntax, 7, "/a"},
		{"no digit before the point", `{"a":.5}`, DeltaSyntax, 5, "/a"},
		{"no exponent", `{"a":1e}`, DeltaSyntax, 7, "/a"},
		{"minus alone", `{"a":-}`, DeltaSyntax, 6, "/a"},
		{"NaN", `{"a":NaN}`, DeltaSyntax, 5, "/a"},
		{"capital word", `{"a":True}`, DeltaSyntax, 5, "/a"},
		{"cut off word", `{"a":tru}`, DeltaSyntax, 5, "/a"},
		{"word runs on", `{"a":truex}`, DeltaSyntax, 9, ""},
		{"key with a slash", `{"a/~b":[+]}`, DeltaSyntax, 9, "/a~1~0b/0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := CompactDelta([]byte(test.in))
			var e *DeltaError
			if !errors.Is(err, ErrDelta) || !errors.As(err, &e) {
				t.Fatalf("error %v is no ErrDelta", err)
			}
			if e.Fault != test.fault || e.Offset != test.offset || e.Pointer != test.pointer {
				t.Errorf("%v\nfault %d at %d in %q, want %d at %d in %q", err, e.Fault, e.Offset, e.Pointer, test.fault, test.offset, test.pointer)
			}
			if err := CheckDelta([]byte(test.in)); !errors.Is(err, ErrDelta) {
				t.Errorf("CheckDelta: %v", err)
			}
			if test.fault != DeltaNotObject {
				if _, err := ParseValue([]byte(test.in)); !errors.Is(err, ErrDelta) {
					t.Errorf("ParseValue: %v", err)
				}
			}
			if len(err.Error()) > 300 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
		})
	}
}

// Two keys can differ as text and be one key: a peer that compares texts would
// keep the first where another keeps the last, and the views would differ.
func TestRule7_DuplicateKeysAfterUnescaping(t *testing.T) {
	for _, in := range []string{
		`{"a":1,"\u0061":2}`,
		`{"/":1,"\/":2}`,
		`{"x":[{"😀":1,"\ud83d\ude00":2}]}`,
		`{"\u00e9":1,"é":2}`,
	} {
		var e *DeltaError
		if err := CheckDelta([]byte(in)); !errors.As(err, &e) || e.Fault != DeltaDuplicate {
			t.Errorf("CheckDelta(%s) = %v", in, err)
		}
		if _, err := ParseValue([]byte(in)); !errors.As(err, &e) || e.Fault != DeltaDuplicate {
			t.Errorf("ParseValue(%s) = %v", in, err)
		}
	}
	// Composed and decomposed letters are different code points.
	if err := CheckDelta([]byte("{\"é\":1,\"e\u0301\":2}")); err != nil {
		t.Error(err)
	}
}

// encoding/json takes a lone surrogate and invalid UTF-8 as U+FFFD: one node
// would show the replacement, another the bytes.
func TestRule7_NothingIsReplaced(t *testing.T) {
	for _, in := range []string{`{"a":"\ud800"}`, "{\"a\":\"\xff\"}"} {
		if !json.Valid([]byte(in)) {
			t.Fatalf("%q is meant to pass encoding/json", in)
		}
		if err := CheckDelta([]byte(in)); !errors.Is(err, ErrDelta) {
			t.Errorf("CheckDelta(%q) = %v", in, err)
		}
	}
}

func FuzzDelta(f *testing.F) {
	for _, s := range []string{`{}`, ` {"a" : [1, {"b":null}] }`, `{"a":1,"\u0061":2}`, `{"a":"\ud83d\ude00"}`, `[1]`, `{"a":-1.5e+10}`, "{\"a\":\"\xff\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := CompactDelta(in)
		if err != nil {
			if !errors.Is(err, ErrDelta) {
				t.Fatalf("error %v is no ErrDelta", err)
			}
			if CheckDelta(in) == nil {
				t.Fatalf("CheckDelta takes what CompactDelta refuses: %q: %v", in, err)
			}
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, in); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", in, err)
		}
		if !bytes.Equal(out, want.Bytes()) {
			t.Fatalf("compact %q, want %q", out, want.Bytes())
		}
		if err := CheckDelta(out); err != nil {
			t.Fatalf("CheckDelta refuses %q: %v", out, err)
		}
		if (CheckDelta(in) == nil) != bytes.Equal(in, out) {
			t.Fatalf("CheckDelta of %q does not tell whether it is compact", in)
		}
		v, err := ParseValue(out)
		if err != nil {
			t.Fatalf("ParseValue refuses %q: %v", out, err)
		}
		canonical := v.Append(nil)
		w, err := valueParse(canonical, true)
		if err != nil {
			t.Fatalf("canonical %q of %q: %v", canonical, in, err)
		}
		if !w.Equal(v) || !bytes.Equal(w.Append(nil), canonical) {
			t.Fatalf("canonical form of %q is not stable: %q", in, canonical)
		}
		if !sameJSON(t, in, canonical) {
			t.Fatalf("canonical %q is not %q", canonical, in)
		}
	})
}

// sameJSON compares two texts as encoding/json reads them, but for numbers,
// which it compares by text.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	x, errX := json.Marshal(modelParse(a))
	y, errY := json.Marshal(modelParse(b))
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
