package storetest

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

// testModel compares random operations with a map.
func testModel(t *testing.T, open Open) {
	rapid.Check(t, func(t *rapid.T) {
		place, err := os.MkdirTemp("", "storetest")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(place)
		m := &model{open: open, place: place, s: open(t, place), want: map[string][]byte{}}
		defer func() { shut(t, m.s) }()
		t.Repeat(map[string]func(*rapid.T){
			"commit": m.commit,
			"scan":   m.scan,
			"get":    m.get,
			"reopen": m.reopen,
			"": func(t *rapid.T) {
				if got := len(m.want); got != len(Dump(t, m.s, nil, nil)) {
					t.Fatalf("want %d keys", got)
				}
			},
		})
	})
}

type model struct {
	open  Open
	place string
	s     chain.Store
	want  map[string][]byte
}

// Few short keys, so that they meet.
var (
	anyKey   = rapid.StringMatching(`[abc\x{ff}]{1,3}`)
	anyBound = rapid.StringMatching(`[abc\x{ff}]{0,3}`)
	anyValue = rapid.SliceOfN(rapid.Byte(), 0, 20)
)

func (m *model) commit(t *rapid.T) {
	var batch chain.Batch
	for range rapid.IntRange(0, 8).Draw(t, "writes") {
		key := anyKey.Draw(t, "key")
		if rapid.Float64Range(0, 1).Draw(t, "delete") < 0.3 {
			batch.Delete([]byte(key))
			delete(m.want, key)
			continue
		}
		value := anyValue.Draw(t, "value")
		batch.Set([]byte(key), value)
		m.want[key] = append([]byte{}, value...)
	}
	if err := m.s.Commit(&batch, rapid.Bool().Draw(t, "sync")); err != nil {
		t.Fatalf("commit: %v", err)
	}
	if rapid.Bool().Draw(t, "sync after") {
		if err := m.s.Sync(); err != nil {
			t.Fatalf("sync: %v", err)
		}
	}
}

func (m *model) get(t *rapid.T) {
	key := anyKey.Draw(t, "key")
	want(t, m.s, []byte(key), m.want[key])
}

func (m *model) scan(t *rapid.T) {
	lo := []byte(anyBound.Draw(t, "lo"))
	var hi []byte
	if rapid.Bool().Draw(t, "bounded") {
		hi = []byte(anyBound.Draw(t, "hi"))
	}
	var keys []string
	for key := range m.want {
		if key >= string(lo) && (hi == nil || key < string(hi)) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	it := m.s.Scan(lo, hi)
	defer it.Close()
	at := -1
	for range rapid.IntRange(1, 12).Draw(t, "moves") {
		var ok bool
		switch rapid.SampledFrom([]string{"next", "next", "prev", "last", "seek"}).Draw(t, "move") {
		case "next":
			ok, at = it.Next(), min(at+1, len(keys))
		case "prev":
			ok, at = it.Prev(), max(at-1, -1)
		case "last":
			ok, at = it.Last(), len(keys)-1
		case "seek":
			key := anyBound.Draw(t, "to")
			ok = it.SeekGE([]byte(key))
			at, _ = slices.BinarySearch(keys, key)
		}
		on := at >= 0 && at < len(keys)
		if ok != on {
			t.Fatalf("moved %v, want %v: at %d of %q", ok, on, at, keys)
		}
		if on && (string(it.Key()) != keys[at] || !bytes.Equal(it.Value(), m.want[keys[at]])) {
			t.Fatalf("on %q=%q, want %q=%q", it.Key(), it.Value(), keys[at], m.want[keys[at]])
		}
	}
}

func (m *model) reopen(t *rapid.T) {
	if !m.s.Durable() {
		t.Skip("keeps nothing")
	}
	shut(t, m.s)
	m.s = m.open(t, m.place)
}
