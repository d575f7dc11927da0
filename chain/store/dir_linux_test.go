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
