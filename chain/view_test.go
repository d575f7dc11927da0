package chain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestAppendView(t *testing.T) {
	x, y, z := modelOrigin(0).String(), modelOrigin(1).String(), modelOrigin(3).String()
	want := `{"subject":"order/<42>","status":{"a":2,"b":{"x":{}},"d":[1,{"e":"é"}],"f":-1.50},` +
		`"authorities":{"fleet":{"status":{"a":1,"b":{"x":{}},"f":-1.50},"update":"` + z + `.2","time":"1970-01-01T00:00:00.004Z"},` +
		`"warehouse":{"status":{"a":2,"d":[1,{"e":"é"}]},"update":"` + y + `.2","time":"1970-01-01T00:00:00.002Z"}},` +
		`"conflicts":[{"path":"/a","writes":[` +
		`{"value":2,"authority":"warehouse","update":"` + y + `.2","time":"1970-01-01T00:00:00.002Z"},` +
		`{"value":1,"authority":"fleet","update":"` + x + `.2","time":"1970-01-01T00:00:00.001Z"}]}],` +
		`"heads":["` + x + `.3","` + z + `.2"],"updates":4,"time":"1970-01-01T00:00:00.004Z"}`
	if got := string(sampleState(t).AppendView(nil)); got != want {
		t.Errorf("view\n%s, want\n%s", got, want)
	}
}

// A view that a service prints, or answers as JSON, is the one that the node answers.
func TestAViewEncodesItself(t *testing.T) {
	s := sampleState(t)
	want := string(s.AppendView(nil))
	if got := fmt.Sprint(s); got != want {
		t.Errorf("printed\n%s, want\n%s", got, want)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(b.String()); got != want {
		t.Errorf("encoded\n%s, want\n%s", got, want)
	}
}

func TestAppendViewOfARemoval(t *testing.T) {
	x, y := modelOrigin(0), modelOrigin(1)
	n := newRuleNode(t)
	n.publish(x, `{"a":{"b":1}}`)
	n.publish(y, `{"a":null}`)
	want := `"conflicts":[{"path":"/a","writes":[` +
		`{"value":null,"deleted":true,"authority":"warehouse","update":"` + y.String() + `.2","time":"1970-01-01T00:00:00.002Z"},` +
		`{"value":{"b":1},"authority":"fleet","update":"` + x.String() + `.2","time":"1970-01-01T00:00:00.001Z"}]}]`
	var view struct{ Conflicts json.RawMessage }
	if err := json.Unmarshal(n.state.AppendView(nil), &view); err != nil {
		t.Fatal(err)
	}
	if got := `"conflicts":` + string(view.Conflicts); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestAppendUpdateJSON(t *testing.T) {
	x, y := modelOrigin(0), modelOrigin(1)
	plain := modelUpdate(ID{x, 3}, 1700000000123, `{"b":"\u0041","a":1.0}`)
	reaction := modelUpdate(ID{x, 4}, 1700000000124, `{}`, ID{y, 9}, ID{y, 2})
	reaction.HLC++
	reaction.Cause, reaction.Hook = ID{y, 9}, `re"fund`
	genesis := &Update{ID: ID{x, 1}, Kind: KindGenesis, HLC: HLCOf(0), Delta: []byte{0x93}}
	unknown := &Update{ID: ID{x, 5}, Kind: 7, Delta: []byte{0x93}}
	for _, test := range []struct {
		name string
		u    *Update
		want string
	}{
		{
			"plain", plain,
			`{"id":"` + x.String() + `.3","subject":"order/<42>","authority":"war\"e","time":"2023-11-14T22:13:20.123Z","hlc":"018bcfe5687b0000","deps":[],"delta":{"b":"\u0041","a":1.0}}`,
		},
		{
			"reaction", reaction,
			`{"id":"` + x.String() + `.4","subject":"order/<42>","authority":"war\"e","time":"2023-11-14T22:13:20.124Z","hlc":"018bcfe5687c0001","deps":["` +
				y.String() + `.2","` + y.String() + `.9"],"delta":{},"cause":"` + y.String() + `.9","hook":"re\"fund"}`,
		},
		{
			"genesis", genesis,
			`{"id":"` + x.String() + `.1","kind":"genesis","authority":"war\"e","time":"1970-01-01T00:00:00.000Z","hlc":"0000000000000000","deps":[]}`,
		},
		{
			"unknown kind", unknown,
			`{"id":"` + x.String() + `.5","kind":"kind-7","authority":"war\"e","time":"1970-01-01T00:00:00.000Z","hlc":"0000000000000000","deps":[]}`,
		},
	} {
		got := AppendUpdateJSON([]byte("x"), test.u, `war"e`)
		if string(got) != "x"+test.want {
			t.Errorf("%s:\n%s, want\n%s", test.name, got[1:], test.want)
		}
		if !json.Valid(got[1:]) {
			t.Errorf("%s: not JSON", test.name)
		}
	}
}
