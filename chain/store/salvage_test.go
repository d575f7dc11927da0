package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
)

// carry copies what reads, key by key where a walk over many ends early.
func carry(t *testing.T, n int, came *int) func(chain.Reader, []byte, chain.Store) error {
	return func(from chain.Reader, _ []byte, to chain.Store) error {
		for i := 1; i <= n; i++ {
			v, err := from.Get(keyOf(i))
			if err != nil && !errors.Is(err, chain.ErrCorrupt) {
				t.Errorf("key %d: %v", i, err)
			}
			if v == nil || err != nil {
				continue
			}
			if !bytes.Equal(v, valueOf(i)) {
				t.Errorf("key %d reads otherwise", i)
			}
			var b chain.Batch
			b.Set(keyOf(i), v)
			if err := to.Commit(&b, false); err != nil {
				return err
			}
			*came++
		}
		return to.Sync()
	}
}

// usedDir is a data directory whose store was filled, in tables and a log if it
// was not closed, and the count of its keys.
func usedDir(t *testing.T, path string, closed bool, memTable uint64) int {
	t.Helper()
	const n = 90
	d, err := store.OpenDir(path, store.DirOptions{DefaultName: "a"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.OpenStore(store.Options{MemTableSize: memTable})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		storetest.Put(t, s, i%10 == 0, keyOf(i), valueOf(i))
	}
	if err := s.Mark([]byte("note")); err != nil {
		t.Fatal(err)
	}
	if !closed { // as after a crash: a copy of what is there
		killed := path + ".killed"
		copyDir(t, path, killed)
		defer func() {
			if err := errors.Join(os.RemoveAll(path), os.Rename(killed, path)); err != nil {
				t.Fatal(err)
			}
		}()
	}
	if err := errors.Join(s.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// spoil inverts a bit in the middle of the last file below db whose name has
// part in it.
func spoil(t *testing.T, path, part string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(path, part))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v, %v", part, names, err)
	}
	file := names[len(names)-1]
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/3] ^= 4
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// spoilNote inverts a bit of the note that is in a slot.
func spoilNote(t *testing.T, path string, slot int) {
	t.Helper()
	file := filepath.Join(path, "heads")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b[slot*len(b)/2:], []byte("note"))
	b[slot*len(b)/2+at] ^= 4
	if err := errors.Join(err, os.WriteFile(file, b, 0o600)); err != nil || at < 0 {
		t.Fatal(at, err)
	}
}

// TestSalvage damages each kind of file of a data directory. OpenStore says so,
// or opens with all of it; Salvage carries over what reads, sets the rest aside
// as it was, and leaves a directory that counts as changed and opens.
func TestSalvage(t *testing.T) {
	for _, c := range []struct {
		name   string
		closed bool
		damage func(t *testing.T, path string)
		least  int // keys that must come over
		aside  []string
	}{
		{"a table", true, func(t *testing.T, path string) { spoil(t, path, "db/*.sst") }, 40, []string{"db"}},
		{"the manifest", true, func(t *testing.T, path string) { spoil(t, path, "db/MANIFEST-*") }, 90, []string{"db"}},
		{"the manifest, after a crash", false, func(t *testing.T, path string) { spoil(t, path, "db/MANIFEST-*") }, 90, []string{"db"}},
		{"the options", true, func(t *testing.T, path string) {
			names, _ := filepath.Glob(filepath.Join(path, "db/OPTIONS-*"))
			for _, name := range names {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, bytes.Replace(b, []byte("comparer=leveldb"), []byte("comparer=leveldc"), 1), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}, 90, []string{"db"}},
		{"a table is gone", true, func(t *testing.T, path string) {
			names, _ := filepath.Glob(filepath.Join(path, "db/*.sst"))
			if err := os.Remove(names[0]); err != nil {
				t.Fatal(err)
			}
		}, 5, []string{"db"}},
		{"a log", false, func(t *testing.T, path string) { spoil(t, path, "db/*.log") }, 20, []string{"db"}},
		{"the note", true, func(t *testing.T, path string) { spoilNote(t, path, 1) }, 90, []string{"heads"}},
		{"the note before", true, func(t *testing.T, path string) { spoilNote(t, path, 0) }, 90, []string{"heads"}},
		{"the note is gone", true, func(t *testing.T, path string) {
			if err := os.Remove(filepath.Join(path, "heads")); err != nil {
				t.Fatal(err)
			}
		}, 90, nil},
		{"the note and the manifest", true, func(t *testing.T, path string) {
			spoilNote(t, path, 1)
			spoil(t, path, "db/MANIFEST-*")
		}, 90, []string{"heads", "db"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name != "a table" { // which a compaction may meet, and then Pebble is given up on
				noLeaks(t)
			}
			path := filepath.Join(t.TempDir(), "node")
			memTable := uint64(64 << 10)
			if c.name == "a log" || c.name == "a table" {
				memTable = 1 << 20 // all of it is in the log, or in one table, that no compaction meets
			}
			n := usedDir(t, path, c.closed, memTable)
			c.damage(t, path)
			was := tree(t, filepath.Join(path, "db"))

			d := openDir(t, path, store.DirOptions{})
			s, err := d.OpenStore(store.Options{Kept: keepsAll})
			if err == nil { // it is met by a read
				it, there := s.Scan([]byte("k"), []byte("l")), 0
				for it.Next() {
					there++
				}
				if err := it.Close(); !errors.Is(err, chain.ErrCorrupt) {
					err = errors.Join(err, s.Close())
					if there == n && err == nil && c.name == "the manifest" {
						return // it forgot a compaction alone, whose inputs were still there
					}
					t.Fatalf("nothing was noticed, and %d of %d keys are there: %v", there, n, err)
				}
				if !d.Damaged() {
					t.Error("a read met damage, and nothing marks it")
				}
				if err := s.Close(); err != nil && !errors.Is(err, chain.ErrCorrupt) {
					t.Fatal(err)
				}
				was = tree(t, filepath.Join(path, "db"))
				_, err = d.OpenStore(store.Options{})
			}
			if !errors.Is(err, store.ErrDamaged) {
				t.Fatalf("open: %v, want ErrDamaged", err)
			}
			came := 0
			if c.least == n && !slices.Contains(c.aside, "db") {
				came = n // nothing has to be carried
			}
			out, err := d.Salvage(err, store.Options{MemTableSize: memTable}, carry(t, n, &came)) // it flushes, too
			if err != nil {
				t.Fatal(err)
			}
			if came < c.least {
				t.Errorf("%d keys of %d came over, want %d", came, n, c.least)
			}
			if len(out.Aside) != len(c.aside) {
				t.Errorf("set aside %v, want %v", out.Aside, c.aside)
			}
			for i, name := range c.aside {
				if want := filepath.Join(path, name+".damaged-1"); out.Aside[i] != want {
					t.Errorf("set aside %s, want %s", out.Aside[i], want)
				}
			}
			if slices.Contains(c.aside, "db") {
				aside := filepath.Join(path, "db.damaged-1")
				if is := strings.ReplaceAll(tree(t, aside), "db.damaged-1", "db"); is != was {
					t.Error("what was set aside was changed")
				}
			}
			if d.Unchanged() || d.Damaged() {
				t.Errorf("unchanged %v, damaged %v", d.Unchanged(), d.Damaged())
			}
			closeDir(t, d)

			d = openDir(t, path, store.DirOptions{})
			if d.Unchanged() {
				t.Error("it counts as unchanged once it is opened again")
			}
			if s, err = d.OpenStore(store.Options{}); err != nil {
				t.Fatal(err)
			}
			if got := len(storetest.Dump(t, s, []byte("k"), []byte("l"))); got != came {
				t.Errorf("%d keys are there, %d came over", got, came)
			}
			if note := string(s.Note()); (note == "note") == out.NoNote {
				t.Errorf("note %q, lost %v", note, out.NoNote)
			}
			if err := errors.Join(s.Mark([]byte("next")), s.Close()); err != nil {
				t.Fatal(err)
			}
			if left, _ := filepath.Glob(filepath.Join(path, "*salvage*")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// TestNoDamage opens what is no damage, and must not be salvaged.
func TestNoDamage(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string)
	}{
		{"in use by a Pebble", func(t *testing.T, path string) {
			s, err := store.OpenPebble(path, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
		}},
		{"another version's note", func(t *testing.T, path string) {
			b, err := os.ReadFile(filepath.Join(path, "heads"))
			if err != nil {
				t.Fatal(err)
			}
			for at := 0; at < len(b); at += sectorSize {
				b[at+7] = 3
			}
			store.Resum(b)
			if err := os.WriteFile(filepath.Join(path, "heads"), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"another version's Pebble", func(t *testing.T, path string) {
			if err := os.WriteFile(filepath.Join(path, "db", "marker.format-version.999999.999"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "node")
			usedDir(t, path, true, 64<<10)
			c.make(t, path)
			d := openDir(t, path, store.DirOptions{})
			_, err := d.OpenStore(store.Options{})
			if err == nil || errors.Is(err, store.ErrDamaged) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestSalvageCutShort ends the process after each step of a salvage: what the
// next opening finds is the damaged store, or the one that was salvaged.
func TestSalvageCutShort(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "node")
	n := usedDir(t, path, true, 64<<10)
	names, err := filepath.Glob(filepath.Join(path, "db/MANIFEST-*"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	if err := os.Truncate(names[0], 0); err != nil {
		t.Fatal(err)
	}
	o := store.Options{Kept: keepsAll}
	steps := 0
	for k := 0; ; k++ {
		at := filepath.Join(base, fmt.Sprint("cut", k))
		copyDir(t, path, at)
		d := openDir(t, at, store.DirOptions{})
		_, why := d.OpenStore(o)
		if !errors.Is(why, store.ErrDamaged) {
			t.Fatal(why)
		}
		came := 0
		cut := store.CutShort(d, k)
		if _, err := d.Salvage(why, store.Options{}, carry(t, n, &came)); err != nil && !errors.Is(err, store.ErrCut) {
			t.Fatal(err)
		}
		closeDir(t, d)
		if !cut() {
			break
		}
		steps++
		d = openDir(t, at, store.DirOptions{})
		s, err := d.OpenStore(o)
		if errors.Is(err, store.ErrDamaged) {
			if _, err = d.Salvage(err, store.Options{}, carry(t, n, &came)); err == nil {
				s, err = d.OpenStore(o)
			}
		}
		if err != nil {
			t.Fatalf("cut short at step %d: %v", k, err)
		}
		if got := len(storetest.Dump(t, s, []byte("k"), []byte("l"))); got != n || d.Unchanged() {
			t.Errorf("cut short at step %d: %d keys of %d, unchanged %v", k, got, n, d.Unchanged())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		closeDir(t, d)
		if aside, _ := filepath.Glob(filepath.Join(at, "db.damaged-*")); len(aside) != 1 {
			t.Errorf("cut short at step %d: set aside %v", k, aside)
		}
	}
	if steps < 5 {
		t.Errorf("cut short at %d steps", steps)
	}
}

// keepsAll says that nothing is ever deleted.
func keepsAll([]byte, func([]byte) ([]byte, error)) (bool, error) { return true, nil }
