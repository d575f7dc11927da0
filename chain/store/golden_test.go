package store_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidings-mesh/tidings/chain/store"
)

var update = flag.Bool("update", false, "write the golden data directory anew")

// TestGolden opens data directories that builds of each format version wrote.
func TestGolden(t *testing.T) {
	const n = 6
	if *update {
		writeGolden(t, goldenPath(store.FormatVersion), n)
	}
	for version := 1; version <= store.FormatVersion; version++ {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) { testGolden(t, goldenPath(version), n) })
	}
}

func goldenPath(version int) string {
	return filepath.Join("testdata", fmt.Sprintf("golden-v%d", version))
}

func testGolden(t *testing.T, golden string, n int) {
	path := filepath.Join(t.TempDir(), "node")
	copyDir(t, golden, path)
	for i := range 3 {
		d := openDir(t, path, store.DirOptions{Name: "golden-node", Authority: "golden"})
		if d.Unchanged() {
			t.Error("the copy counts as the original")
		}
		if i == 0 && d.Origin().String() != goldenOrigin(t, golden) {
			t.Errorf("origin %v", d.Origin())
		}
		s, err := d.OpenStore(store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if string(s.Note()) != "golden note" {
			t.Errorf("note %q", s.Note())
		}
		if got := prefix(t, s, "golden"); got != n+i {
			t.Errorf("%d batches, want %d", got, n+i)
		}
		w := &writer{s: s, n: n + i}
		if err := errors.Join(w.write(true), s.Mark([]byte("golden note"))); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		closeDir(t, d)
	}
}

// goldenOrigin is kept beside the directory, so that a key that reads as
// another is found.
func goldenOrigin(t *testing.T, golden string) string {
	t.Helper()
	b, err := os.ReadFile(golden + ".origin")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func writeGolden(t *testing.T, golden string, n int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node")
	d := openDir(t, path, store.DirOptions{Name: "golden-node", Authority: "golden"})
	s, err := d.OpenStore(store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{s: s}
	for range n {
		if err := w.write(true); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Mark([]byte("golden note")), s.Close(), os.RemoveAll(golden)); err != nil {
		t.Fatal(err)
	}
	origin := d.Origin().String() + "\n"
	closeDir(t, d)
	if err := os.WriteFile(filepath.Join(path, "LOCK"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	copyDir(t, path, golden)
	if err := os.WriteFile(golden+".origin", []byte(origin), 0o644); err != nil {
		t.Fatal(err)
	}
}
