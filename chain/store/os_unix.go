//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// flock takes an exclusive lock that ends with the open file, which is held,
// and so with the process however it ends.
func flock(f *os.File) (held io.Closer, busy bool, err error) {
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, true, nil
	}
	return f, false, err
}

// writable reports why files cannot be made in path, without making one.
func writable(path string) error { return unix.Access(path, unix.W_OK|unix.X_OK) }

// inode is the number of a file or directory on its file system.
func inode(path string) (uint64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s: no inode", path)
	}
	return uint64(st.Ino), nil
}
