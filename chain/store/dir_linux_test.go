package store_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/tidings-mesh/tidings/chain/store"
)

// A copy of the store that is put into its place is told from it, though the
// directory and its identity are those that were, and whatever inodes the copy
// got.
func TestStorePutBackIsNoticed(t *testing.T) {
	path, backup := t.TempDir(), t.TempDir()
	d := openDir(t, path, store.DirOptions{DefaultName: "a"})
	closeStore(t, d)
	closeDir(t, d)
	d = openDir(t, path, store.DirOptions{})
	if !d.Unchanged() {
		t.Error("nothing happened, and it counts as changed")
	}
	closeDir(t, d)
	db := filepath.Join(path, "db")
	if err := os.CopyFS(filepath.Join(backup, "db"), os.DirFS(db)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(db)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(db, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(db, os.DirFS(filepath.Join(backup, "db"))); err != nil {
		t.Fatal(err)
	}
	d = openDir(t, path, store.DirOptions{})
	if d.Unchanged() {
		t.Error("a copy of the store was put back, and it counts as unchanged")
	}
	if err := d.Adopt(); err != nil || !d.Unchanged() {
		t.Errorf("adopted: %v", err)
	}
	closeDir(t, d)
	d = openDir(t, path, store.DirOptions{})
	if !d.Unchanged() {
		t.Error("what was adopted counts as changed")
	}
	closeDir(t, d)
}

// closeStore opens the store of a directory, and closes it.
func closeStore(t *testing.T, d *store.Dir) {
	t.Helper()
	s, err := d.OpenStore(store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNotWritable tries a directory that this user may read and not write.
func TestNotWritable(t *testing.T) {
	path := t.TempDir()
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil { // to be passed through
		t.Fatal(err)
	}
	closeDir(t, openDir(t, path, store.DirOptions{DefaultName: "a"}))
	if err := os.Chmod(path, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(path, 0o700)
	before := tree(t, path)
	result := make(chan error, 1)
	go func() {
		if os.Geteuid() == 0 {
			// Only this thread gives up its rights, and it ends with the
			// goroutine, for it is never unlocked. access(2) asks the real ID.
			runtime.LockOSThread()
			for _, call := range []uintptr{syscall.SYS_SETRESUID, syscall.SYS_SETFSUID} {
				const nobody, keep = 65534, ^uintptr(0)
				if _, _, err := syscall.RawSyscall(call, nobody, nobody, keep); err != 0 {
					result <- err
					return
				}
			}
		}
		d, err := store.OpenDir(path, store.DirOptions{})
		if err == nil {
			d.Close()
		}
		result <- err
	}()
	err := <-result
	if err == nil || !strings.Contains(err.Error(), "is not writable") {
		t.Errorf("%v", err)
	}
	if tree(t, path) != before {
		t.Error("it was touched")
	}
	t.Log(err)
}
