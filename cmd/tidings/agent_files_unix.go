//go:build unix

package main

import "syscall"

// openFiles is how many files this process may have open, 0 if that is not
// bounded. Go has raised the soft limit to the hard one as it started.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) > 1<<31 {
		return 0
	}
	return uint64(limit.Cur)
}
