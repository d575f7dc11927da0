package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/tidings-mesh/tidings/chain"
)

// Open opens a store that is kept at place, which is new to the first open. An
// implementation that keeps nothing ignores it.
type Open func(t T, place string) chain.Store

// T is what the suite needs of a test, or of one run of a property.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Run tries all that the interface promises on the stores that open makes.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"Get", testGet},
		{"BatchOrder", testBatchOrder},
		{"BatchIsCopied", testBatchIsCopied},
		{"LargeValues", testLargeValues},
		{"ReservedKeys", testReservedKeys},
		{"Iterator", testIterator},
		{"IteratorOfNothing", testIteratorOfNothing},
		{"LongWalks", testLongWalks},
		{"Snapshot", testSnapshot},
		{"Model", testModel},
		{"ConcurrentReaders", testConcurrentReaders},
		{"Note", testNote},
		{"Bytes", testBytes},
		{"Reopen", testReopen},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open) })
	}
}

// Put commits one batch of sets; a nil value deletes.
func Put(t T, s chain.Store, sync bool, pairs ...[]byte) {
	t.Helper()
	var b chain.Batch
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			b.Delete(pairs[i])
		} else {
			b.Set(pairs[i], pairs[i+1])
		}
	}
	if err := s.Commit(&b, sync); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

// Dump returns all keys and values of a range, in order, as "key=value".
func Dump(t T, r chain.Reader, lo, hi []byte) []string {
	t.Helper()
	it := r.Scan(lo, hi)
	all := []string{}
	for it.Next() {
		all = append(all, fmt.Sprintf("%s=%s", it.Key(), it.Value()))
	}
	if err := it.Close(); err != nil {
		t.Fatalf("scan: %v", err)
	}
	return all
}

func want(t T, s chain.Store, key, value []byte) {
	t.Helper()
	got, err := s.Get(key)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	if (got == nil) != (value == nil) || !bytes.Equal(got, value) {
		t.Fatalf("get %q = %.80q (nil %v), want %.80q (nil %v)", key, got, got == nil, value, value == nil)
	}
}

func shut(t T, s chain.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func b(s string) []byte { return []byte(s) }

func testGet(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	want(t, s, b("a"), nil)
	Put(t, s, false, b("a"), b("1"), b("empty"), b(""))
	want(t, s, b("a"), b("1"))
	want(t, s, b("empty"), b(""))
	want(t, s, b("aa"), nil)
	want(t, s, b(""), nil)
	want(t, s, nil, nil)

	// The caller owns the result.
	got, err := s.Get(b("a"))
	if err != nil {
		t.Fatal(err)
	}
	got[0] = 'X'
	want(t, s, b("a"), b("1"))
}

func testBatchOrder(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	var batch chain.Batch
	for _, v := range []string{"1", "2", "3"} {
		batch.Set(b("over"), b(v))
	}
	batch.Set(b("gone"), b("1"))
	batch.Delete(b("gone"))
	batch.Delete(b("back"))
	batch.Set(b("back"), b("1"))
	batch.Delete(b("never"))
	if err := s.Commit(&batch, true); err != nil {
		t.Fatal(err)
	}
	want(t, s, b("over"), b("3"))
	want(t, s, b("gone"), nil)
	want(t, s, b("back"), b("1"))
	want(t, s, b("never"), nil)
	Put(t, s, false, b("over"), nil)
	want(t, s, b("over"), nil)

	batch.Reset()
	for _, sync := range []bool{false, true} {
		if err := s.Commit(&batch, sync); err != nil {
			t.Fatalf("an empty batch: %v", err)
		}
	}
}

func testBatchIsCopied(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	var batch chain.Batch
	for i := range 100 {
		batch.Reset()
		batch.Set(fmt.Appendf(nil, "k%02d", i), fmt.Appendf(nil, "value %d", i))
		if err := s.Commit(&batch, false); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		want(t, s, fmt.Appendf(nil, "k%02d", i), fmt.Appendf(nil, "value %d", i))
	}
}

func testLargeValues(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	// Below and above what an implementation may treat apart.
	for i, size := range []int{512 << 10, 5 << 20, 17 << 20} {
		Put(t, s, i == 1, fmt.Appendf(nil, "k%d", i), bytes.Repeat([]byte{byte('a' + i)}, size))
	}
	for i, size := range []int{512 << 10, 5 << 20, 17 << 20} {
		want(t, s, fmt.Appendf(nil, "k%d", i), bytes.Repeat([]byte{byte('a' + i)}, size))
	}
}

func testReservedKeys(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	for _, key := range []string{"", "\x00", "\x00format"} {
		for _, del := range []bool{false, true} {
			var batch chain.Batch
			batch.Set(b("with"), b("1"))
			if del {
				batch.Delete(b(key))
			} else {
				batch.Set(b(key), b("1"))
			}
			if err := s.Commit(&batch, false); err == nil {
				t.Fatalf("key %q was taken (delete %v)", key, del)
			}
		}
		want(t, s, b(key), nil)
	}
	want(t, s, b("with"), nil) // nothing of such a batch
	Put(t, s, true, b("\x01"), b("first"))
	if got := Dump(t, s, nil, nil); len(got) != 1 || got[0] != "\x01=first" {
		t.Fatalf("scan shows %q", got)
	}
	if got := Dump(t, s, b("\x00"), b("\x00z")); len(got) != 0 {
		t.Fatalf("scan shows reserved keys: %q", got)
	}
}

func testNote(t *testing.T, open Open) {
	place := t.TempDir()
	s := open(t, place)
	if s.Note() != nil {
		t.Fatalf("a new store has the note %q", s.Note())
	}
	for _, note := range []string{"first", "second", ""} {
		if err := s.Mark(b(note)); err != nil {
			t.Fatal(err)
		}
		if s.Note() != nil {
			t.Fatalf("the note of this open changed to %q", s.Note())
		}
		if !s.Durable() {
			continue
		}
		shut(t, s)
		s = open(t, place)
		if got := s.Note(); got == nil || string(got) != note {
			t.Fatalf("note %q, want %q", got, note)
		}
		shut(t, s)
		s = open(t, place)
		if got := s.Note(); string(got) != note {
			t.Fatalf("note after an open without a mark: %q, want %q", got, note)
		}
		shut(t, s)
		place = t.TempDir()
		s = open(t, place)
	}
	shut(t, s)
}

func testBytes(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	before := s.Bytes()
	value := make([]byte, 1<<20)
	for i := range value {
		value[i] = byte(i * i >> 8)
	}
	for i := range 24 {
		Put(t, s, true, fmt.Appendf(nil, "k%d", i), value)
	}
	if grown := s.Bytes() - before; grown < 1<<20 {
		t.Fatalf("24 MiB were written and Bytes grew by %d", grown)
	}
}

func testReopen(t *testing.T, open Open) {
	place := t.TempDir()
	s := open(t, place)
	if !s.Durable() {
		shut(t, s)
		t.Skip("keeps nothing")
	}
	var wanted []string
	for i := range 5 {
		for j := range 50 {
			key, value := fmt.Sprintf("k%d-%02d", i, j), fmt.Sprintf("v%d", i*j)
			// Close keeps what was not synced too.
			Put(t, s, false, b(key), b(value))
			wanted = append(wanted, key+"="+value)
		}
		shut(t, s)
		s = open(t, place)
		if got := Dump(t, s, nil, nil); fmt.Sprint(got) != fmt.Sprint(wanted) {
			t.Fatalf("after %d opens: %d keys, want %d", i+1, len(got), len(wanted))
		}
	}
	shut(t, s)
}

func testClosed(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	Put(t, s, true, b("a"), b("1"))
	shut(t, s)
	shut(t, s)
	var batch chain.Batch
	batch.Set(b("a"), b("2"))
	_, err := s.Get(b("a"))
	it := s.Scan(nil, nil)
	if it.Next() || it.Last() || it.Prev() || it.SeekGE(b("a")) || it.Key() != nil || it.Value() != nil {
		t.Fatal("an iterator of a closed store moves")
	}
	for name, err := range map[string]error{
		"Get": err, "Scan": it.Close(), "Commit": s.Commit(&batch, false), "Commit synced": s.Commit(&batch, true),
		"Sync": s.Sync(), "Mark": s.Mark(b("note")),
	} {
		if !errors.Is(err, chain.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", name, err)
		}
	}
	s.Bytes()
	s.Note()
	s.Durable()
}
