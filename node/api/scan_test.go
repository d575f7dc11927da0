package api

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

var scanSeeds = []string{
	`{}`, `[]`, `null`, `true`, `false`, `0`, `-0`, `1.5e+10`, `"a"`, `"\u00e9\ud83d\ude00\n"`, `{"a":[1,{"b":null},"c"],"d":{}}`,
	` [ 1 , 2 ] `, `[1,]`, `{"a":}`, `{"a"1}`, `{,}`, `[`, `{`, `"`, `"\`, `"\u12`, `01`, `1.`, `1e`, `-`, `tru`, `nul`, "\"\x01\"", `[]]`,
	`[}`, `{]`, `{"a":1,}`, `"\ud800"`, `"\udc00\ud800"`, `+1`, `.5`, `NaN`, "\ufeff{}", `{"a":1}{"b":2}`, ``, ` `,
}

func TestScanner(t *testing.T) {
	for _, text := range scanSeeds {
		checkScanner(t, []byte(text))
	}
	// Neither depth nor length costs more than memory in proportion.
	deep := strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000)
	s := scanner{b: []byte(deep)}
	if v, err := s.value(); err != nil || len(v) != len(deep) {
		t.Errorf("deep value: %d bytes, %v", len(v), err)
	}
	s = scanner{b: []byte(deep[:1_000_000])}
	if _, err := s.value(); err == nil {
		t.Error("open value was taken")
	}
}

// checkScanner holds the scanner against encoding/json.
func checkScanner(t *testing.T, text []byte) {
	t.Helper()
	s := scanner{b: text}
	value, err := s.value()
	if err == nil {
		err = s.end()
	}
	if got, want := err == nil, json.Valid(text); got != want && bytes.Count(text, []byte{'['})+bytes.Count(text, []byte{'{'}) < 10_000 { // its limit of depth
		t.Fatalf("%q: valid %t (%v), encoding/json says %t", text, got, err, want)
	}
	if err != nil {
		return
	}
	if !bytes.Equal(value, bytes.Trim(text, " \t\r\n")) {
		t.Fatalf("%q: value is %q", text, value)
	}
	if value[0] == '"' && utf8.Valid(value) {
		var want string
		if err := json.Unmarshal(value, &want); err != nil {
			t.Fatal(err)
		}
		got, err := unquote(value)
		// encoding/json puts U+FFFD where half of a surrogate pair stands.
		if err == nil && got != want || err != nil && !strings.ContainsRune(want, utf8.RuneError) {
			t.Fatalf("%q: unquoted %q, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzScanner(f *testing.F) {
	for _, text := range scanSeeds {
		f.Add([]byte(text))
	}
	f.Fuzz(checkScanner)
}
