package store_test

import (
	"bufio"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
)

const holdVar = "TIDINGS_TEST_HOLD"

// TestMain also is the other process of TestInUse.
func TestMain(m *testing.M) {
	if path := os.Getenv(holdVar); path != "" {
		if _, err := store.OpenDir(path, store.DirOptions{DefaultName: "held"}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the test is done, or gone
		os.Exit(0)
	}
	flag.Parse()
	os.Exit(m.Run())
}

func openDir(t *testing.T, path string, o store.DirOptions) *store.Dir {
	t.Helper()
	d, err := store.OpenDir(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func closeDir(t *testing.T, d *store.Dir) {
	t.Helper()
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
}

// tree is every name below path with its mode and content.
func tree(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v", p, info.Mode())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %q", content)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDirKeepsItsNode(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "a", "node")
	now := time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.UTC)
	d := openDir(t, path, store.DirOptions{Name: "wh-1", Authority: "warehouse", Now: now})
	if !d.Fresh() || !d.Unchanged() {
		t.Errorf("a new one: fresh %v, unchanged %v", d.Fresh(), d.Unchanged())
	}
	id := d.Identity()
	if id.Name != "wh-1" || id.Authority != "warehouse" || !id.Created.Equal(now.Truncate(time.Millisecond)) {
		t.Errorf("identity %+v", id)
	}
	if o := chain.OriginOf(d.Key().Public().(ed25519.PublicKey)); o != d.Origin() || o != id.Origin || o.IsZero() {
		t.Errorf("origin %v, of the key %v", d.Origin(), o)
	}
	for file, mode := range map[string]fs.FileMode{"": 0o700, "identity.json": 0o600, "LOCK": 0o600} {
		if info, err := os.Stat(filepath.Join(path, file)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("mode of %q: %v, %v, want %v", file, info.Mode(), err, mode)
		}
	}
	s, err := d.OpenStore(store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Put(t, s, true, []byte("a"), []byte("1"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !d.Unchanged() {
		t.Error("changed by its store")
	}
	closeDir(t, d)
	if _, err := d.OpenStore(store.Options{}); !errors.Is(err, chain.ErrClosed) {
		t.Errorf("a store of a closed directory: %v", err)
	}
	if err := d.Adopt(); !errors.Is(err, chain.ErrClosed) {
		t.Errorf("a closed directory adopts: %v", err)
	}

	for _, o := range []store.DirOptions{{}, {Name: "wh-1"}, {Authority: "warehouse"}, {DefaultName: "other"}} {
		d := openDir(t, path, o)
		if got := d.Identity(); got.Origin != id.Origin || got.Name != "wh-1" || got.Authority != "warehouse" || d.Fresh() || !d.Unchanged() {
			t.Errorf("%+v: %+v, fresh %v, unchanged %v", o, got, d.Fresh(), d.Unchanged())
		}
		closeDir(t, d)
	}
	before := tree(t, path)
	for _, o := range []store.DirOptions{{Name: "wh-2"}, {Authority: "fleet"}} {
		_, err := store.OpenDir(path, o)
		if !errors.Is(err, store.ErrOtherNode) {
			t.Errorf("%+v: %v", o, err)
			continue
		}
		for _, value := range []string{o.Name + o.Authority, map[bool]string{true: "wh-1", false: "warehouse"}[o.Name != ""]} {
			if !strings.Contains(err.Error(), strconv.Quote(value)) {
				t.Errorf("%v: does not say %q", err, value)
			}
		}
	}
	if tree(t, path) != before {
		t.Error("a refused opening touched it")
	}
}

// What a process that was killed within a write has left is gone after the next
// opening; a temporary identity has the key in it.
func TestDirIsSwept(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "node")
	closeDir(t, openDir(t, path, store.DirOptions{Name: "wh-1"}))
	before := tree(t, path)
	for _, name := range []string{"identity.json.tmp", "heads.tmp", "damaged.tmp"} {
		if err := os.WriteFile(filepath.Join(path, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.OpenDir(path, store.DirOptions{Name: "other"}); err == nil || tree(t, path) == before {
		t.Errorf("the directory of another was touched (%v)", err)
	}
	closeDir(t, openDir(t, path, store.DirOptions{}))
	if after := tree(t, path); after != before {
		t.Errorf("left after the opening:\n%s\nbefore:\n%s", after, before)
	}
}

func TestDirDefaults(t *testing.T) {
	d := openDir(t, t.TempDir(), store.DirOptions{DefaultName: "host-7946"})
	if id := d.Identity(); id.Name != "host-7946" || id.Authority != "host-7946" {
		t.Errorf("%+v", id)
	}
	for _, o := range []store.DirOptions{{}, {Name: "a\n"}, {Authority: " a"}, {DefaultName: strings.Repeat("x", 129)}} {
		path := filepath.Join(t.TempDir(), "new")
		if _, err := store.OpenDir(path, o); !errors.Is(err, chain.ErrName) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestDirRefused(t *testing.T) {
	write := func(t *testing.T, path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// edit changes identity.json as JSON.
	edit := func(t *testing.T, path string, change func(map[string]any)) {
		t.Helper()
		file := filepath.Join(path, "identity.json")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]any{}
		if err := json.Unmarshal(b, &all); err != nil {
			t.Fatal(err)
		}
		change(all)
		if b, err = json.MarshalIndent(all, "", "  "); err != nil {
			t.Fatal(err)
		}
		write(t, file, string(b))
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string) // of a directory that was used
		want error
		text string
	}{
		{"a file", func(t *testing.T, path string) {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			write(t, path, "x")
		}, nil, "not a directory"},
		{"someone's directory", func(t *testing.T, path string) {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(path, "thesis.txt"), "x")
		}, store.ErrFormat, "not empty"},
		{"a later version", func(t *testing.T, path string) {
			edit(t, path, func(all map[string]any) { all["format"] = 2 })
		}, store.ErrFormat, "version 2"},
		{"another name by hand", func(t *testing.T, path string) {
			edit(t, path, func(all map[string]any) { all["name"] = "evil" })
		}, chain.ErrCorrupt, "edited"},
		{"no JSON", func(t *testing.T, path string) { write(t, filepath.Join(path, "identity.json"), "x") }, chain.ErrCorrupt, "identity.json"},
		{"empty identity", func(t *testing.T, path string) { write(t, filepath.Join(path, "identity.json"), "") }, chain.ErrCorrupt, "identity.json"},
		{"no identity", func(t *testing.T, path string) {
			if err := os.Remove(filepath.Join(path, "identity.json")); err != nil {
				t.Fatal(err)
			}
		}, chain.ErrCorrupt, "identity.json is missing"},
		{"no store", func(t *testing.T, path string) {
			if err := os.RemoveAll(filepath.Join(path, "db")); err != nil {
				t.Fatal(err)
			}
		}, chain.ErrCorrupt, "db is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "node")
			d := openDir(t, path, store.DirOptions{DefaultName: "a"})
			s, err := d.OpenStore(store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			closeDir(t, d)
			c.make(t, path)
			before := tree(t, path)
			_, err = store.OpenDir(path, store.DirOptions{DefaultName: "a"})
			if err == nil || (c.want != nil && !errors.Is(err, c.want)) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v: want %v and %q", err, c.want, c.text)
			}
			if tree(t, path) != before {
				t.Error("it was touched")
			}
			t.Log(err)
		})
	}
}

func TestInUse(t *testing.T) {
	path := t.TempDir()
	other := exec.Command(os.Args[0], "-test.run=^$")
	other.Env = append(os.Environ(), holdVar+"="+path)
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer in.Close()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("%q, %v", line, err)
	}
	before := tree(t, path)
	_, err = store.OpenDir(path, store.DirOptions{DefaultName: "a"})
	want := fmt.Sprintf("data directory %s is in use by another process (pid %d)", path, other.Process.Pid)
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nwant %s", err, want)
	}
	if tree(t, path) != before {
		t.Error("it was touched")
	}

	// A killed process holds nothing.
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait()
	d := openDir(t, path, store.DirOptions{})
	if _, err := store.OpenDir(path, store.DirOptions{}); !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), "this process") {
		t.Errorf("twice in one process: %v", err)
	}
	closeDir(t, d)
	closeDir(t, openDir(t, path, store.DirOptions{}))
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestCopyIsNoticed(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "node")
	d := openDir(t, path, store.DirOptions{Name: "a"})
	origin := d.Origin()
	closeDir(t, d)

	backup, restored := filepath.Join(base, "backup"), filepath.Join(base, "restored")
	copyDir(t, path, backup)
	copyDir(t, backup, restored)
	moved := filepath.Join(base, "moved")
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	if d := openDir(t, moved, store.DirOptions{}); !d.Unchanged() {
		t.Error("a renamed directory is no copy")
	} else {
		closeDir(t, d)
	}

	d = openDir(t, restored, store.DirOptions{})
	if d.Unchanged() || d.Origin() != origin {
		t.Errorf("a copy: unchanged %v, origin %v", d.Unchanged(), d.Origin())
	}
	s, err := d.OpenStore(store.Options{}) // must not make it look like the original
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	closeDir(t, d)
	d = openDir(t, restored, store.DirOptions{})
	if d.Unchanged() {
		t.Error("a copy counts as the original once its store was made")
	}
	if err := d.Adopt(); err != nil || !d.Unchanged() || d.Origin() != origin {
		t.Errorf("adopt: %v, unchanged %v", err, d.Unchanged())
	}
	closeDir(t, d)
	d = openDir(t, restored, store.DirOptions{})
	if !d.Unchanged() {
		t.Error("an adopted copy is forgotten")
	}
	closeDir(t, d)

	// The identity alone put back into its own directory.
	file := filepath.Join(restored, "identity.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".bak", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".bak", file); err != nil {
		t.Fatal(err)
	}
	if d := openDir(t, restored, store.DirOptions{}); d.Unchanged() {
		t.Error("another identity file counts as the original")
	}
}

func TestRekey(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path, store.DirOptions{Name: "a", Authority: "b"})
	origins := []chain.Origin{d.Origin()}
	for i := range 3 {
		now := time.Unix(int64(1000*(i+1)), 0).UTC()
		if err := d.Rekey(now); err != nil {
			t.Fatal(err)
		}
		if d.Identity().Predecessor != origins[i] || d.Origin() == origins[i] {
			t.Errorf("origin %v after %v names %v", d.Origin(), origins[i], d.Identity().Predecessor)
		}
		origins = append(origins, d.Origin())
		closeDir(t, d)
		d = openDir(t, path, store.DirOptions{Name: "a", Authority: "b"})
		id := d.Identity()
		if id.Origin != origins[i+1] || id.Predecessor != origins[i] || !id.Created.Equal(now) || !d.Unchanged() {
			t.Errorf("read again: %+v", id)
		}
		if len(id.Previous) != i+1 {
			t.Fatalf("%d former keys", len(id.Previous))
		}
		for j, former := range id.Previous {
			key := ed25519.NewKeyFromSeed(former.Key).Public().(ed25519.PublicKey)
			if former.Origin != origins[j] || chain.OriginOf(key) != origins[j] || !former.Until.Equal(time.Unix(int64(1000*(j+1)), 0)) {
				t.Errorf("former key %d: %+v", j, former)
			}
		}
	}
	// What is handed out is a copy.
	id := d.Identity()
	id.Key[0] ^= 1
	if d.Identity().Key[0] == id.Key[0] {
		t.Error("the key is shared")
	}
}
