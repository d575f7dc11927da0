package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/tidings-mesh/tidings/chain"
)

// script walks an iterator by one letter a step (n next, p prev, l last,
// sKEY seek) and returns the key after each, "-" where there is none.
func script(it chain.Iterator, steps ...string) []string {
	var got []string
	for _, step := range steps {
		var ok bool
		switch step[0] {
		case 'n':
			ok = it.Next()
		case 'p':
			ok = it.Prev()
		case 'l':
			ok = it.Last()
		case 's':
			ok = it.SeekGE([]byte(step[1:]))
		}
		switch {
		case !ok && (it.Key() != nil || it.Value() != nil):
			got = append(got, "a key that is not there")
		case !ok:
			got = append(got, "-")
		default:
			got = append(got, string(it.Key()))
		}
	}
	return got
}

func testIterator(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	for _, k := range []string{"d", "b", "h", "f"} {
		Put(t, s, false, b(k), b("v"+k))
	}
	for _, c := range []struct {
		name, lo, hi string
		steps        []string
		want         []string
	}{
		{"all", "", "", []string{"n", "n", "n", "n", "n", "n"}, []string{"b", "d", "f", "h", "-", "-"}},
		{"bounds", "c", "h", []string{"n", "n", "n"}, []string{"d", "f", "-"}},
		{"bounds on keys", "d", "f", []string{"n", "n"}, []string{"d", "-"}},
		{"empty range", "d", "d", []string{"n", "l", "sd"}, []string{"-", "-", "-"}},
		{"range that ends before it begins", "f", "b", []string{"n", "l"}, []string{"-", "-"}},
		{"between keys", "e", "ef", []string{"n", "l"}, []string{"-", "-"}},
		{"last", "", "", []string{"l", "n", "p", "p"}, []string{"h", "-", "h", "f"}},
		{"last in bounds", "c", "h", []string{"l", "p", "p", "n"}, []string{"f", "d", "-", "d"}},
		{"prev at first", "", "", []string{"p", "n", "p", "p", "n"}, []string{"-", "b", "-", "-", "b"}},
		{"turn around", "", "", []string{"n", "n", "n", "p", "p", "n", "n", "n", "n"}, []string{"b", "d", "f", "d", "b", "d", "f", "h", "-"}},
		{"seek", "", "", []string{"sc", "n", "sd", "p", "sz", "p", "sa", "sh", "n"}, []string{"d", "f", "d", "b", "-", "h", "b", "h", "-"}},
		{"seek in bounds", "c", "h", []string{"sa", "sg", "sf", "n"}, []string{"d", "-", "f", "-"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var hi []byte
			if c.hi != "" {
				hi = b(c.hi)
			}
			it := s.Scan(b(c.lo), hi)
			if it.Key() != nil || it.Value() != nil {
				t.Error("it begins on a key")
			}
			if got := script(it, c.steps...); !slices.Equal(got, c.want) {
				t.Errorf("%v: got %v, want %v", c.steps, got, c.want)
			}
			if err := it.Close(); err != nil {
				t.Error(err)
			}
			if err := it.Close(); err != nil {
				t.Errorf("second close: %v", err)
			}
			if it.Next() || it.Key() != nil {
				t.Error("it moves after its end")
			}
		})
	}
	it := s.Scan(nil, nil)
	for it.Next() {
		if want := "v" + string(it.Key()); string(it.Value()) != want {
			t.Errorf("value %q, want %q", it.Value(), want)
		}
	}
	if err := it.Close(); err != nil {
		t.Error(err)
	}
}

func testIteratorOfNothing(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	it := s.Scan(nil, nil)
	if got := script(it, "n", "p", "l", "sa", "p", "n"); !slices.Equal(got, []string{"-", "-", "-", "-", "-", "-"}) {
		t.Errorf("got %v", got)
	}
	if err := it.Close(); err != nil {
		t.Error(err)
	}
}

// testLongWalks compares random walks over more keys than any page holds with
// a slice.
func testLongWalks(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	rng := rand.New(rand.NewPCG(1, 2))
	var keys []string
	for i := range 3000 {
		keys = append(keys, fmt.Sprintf("k%05d", i*3))
	}
	var batch chain.Batch
	for _, i := range rng.Perm(len(keys)) {
		batch.Set(b(keys[i]), b("v"+keys[i]))
	}
	if err := s.Commit(&batch, false); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		lo, hi := rng.IntN(3000), 3000+rng.IntN(7000)
		low, high := fmt.Sprintf("k%05d", lo), fmt.Sprintf("k%05d", hi)
		from, _ := slices.BinarySearch(keys, low)
		to, _ := slices.BinarySearch(keys, high)
		part := keys[from:to]
		it := s.Scan(b(low), b(high))
		at := -1 // place in part; len(part) is after the end
		for range 40 {
			var ok bool
			switch rng.IntN(6) {
			case 0:
				ok, at = it.Last(), len(part)-1
			case 1:
				key := fmt.Sprintf("k%05d", rng.IntN(10000))
				ok = it.SeekGE(b(key))
				at, _ = slices.BinarySearch(part, key)
			case 2, 3:
				for range 1 + rng.IntN(400) {
					ok, at = it.Next(), min(at+1, len(part))
				}
			default:
				for range 1 + rng.IntN(400) {
					ok, at = it.Prev(), max(at-1, -1)
				}
			}
			on := at >= 0 && at < len(part)
			if ok != on {
				t.Fatalf("moved %v, want %v at %d of %d", ok, on, at, len(part))
			}
			if on && (string(it.Key()) != part[at] || string(it.Value()) != "v"+part[at]) {
				t.Fatalf("on %q=%q, want %q", it.Key(), it.Value(), part[at])
			}
		}
		if err := it.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func testSnapshot(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	for i := range 300 {
		Put(t, s, false, fmt.Appendf(nil, "k%03d", i), b("old"))
	}
	// Two scans with writes between them, read slowly, beside more writes.
	first := s.Scan(nil, nil)
	if !first.Next() {
		t.Fatal("nothing there")
	}
	for i := range 300 {
		if i%3 == 0 {
			Put(t, s, false, fmt.Appendf(nil, "k%03d", i), nil)
		} else {
			Put(t, s, false, fmt.Appendf(nil, "k%03d", i), b("new"), fmt.Appendf(nil, "k%03d+", i), b("added"))
		}
	}
	second := s.Scan(nil, nil)
	Put(t, s, false, b("k001"), b("newest"), b("a"), b("before all"))
	n := 1
	for ; first.Next(); n++ {
		if key := fmt.Sprintf("k%03d", n); string(first.Key()) != key || string(first.Value()) != "old" {
			t.Fatalf("first scan: %q=%q at %s", first.Key(), first.Value(), key)
		}
		if n == 150 { // writes go on while it is being read
			Put(t, s, false, b("k200"), b("later"), b("k151"), nil)
		}
	}
	if n != 300 {
		t.Fatalf("first scan has %d keys, want 300", n)
	}
	for n = 0; second.Next(); n++ {
		if v := string(second.Value()); v != "new" && v != "added" {
			t.Fatalf("second scan: %q=%q", second.Key(), v)
		}
	}
	if n != 400 {
		t.Fatalf("second scan has %d keys, want 400", n)
	}
	for _, it := range []chain.Iterator{first, second} {
		if err := it.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// testConcurrentReaders has one writer keep an invariant that every scan must
// see: all keys have the same value, whatever the moment.
func testConcurrentReaders(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	const keys, rounds, readers = 40, 300, 4
	round := func(n int) {
		var batch chain.Batch
		for i := range keys {
			batch.Set(fmt.Appendf(nil, "k%02d", i), fmt.Appendf(nil, "%d", n))
		}
		if err := s.Commit(&batch, n%100 == 0); err != nil {
			t.Error(err)
		}
	}
	round(0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				it := s.Scan(nil, nil)
				n, value := 0, ""
				for it.Next() {
					if n++; n == 1 {
						value = string(it.Value())
					} else if string(it.Value()) != value {
						t.Errorf("a scan sees half a batch: %q and %q", value, it.Value())
					}
				}
				if n != keys {
					t.Errorf("a scan sees %d keys", n)
				}
				if err := it.Close(); err != nil {
					t.Error(err)
				}
				if v, err := s.Get(b("k07")); err != nil || v == nil {
					t.Errorf("get: %q, %v", v, err)
				}
				s.Bytes()
			}
		})
	}
	for n := range rounds {
		round(n + 1)
	}
	close(stop)
	wg.Wait()
}
