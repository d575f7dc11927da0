//go:build !linux

package store

// born is not known here: inodes alone tell a copy.
func born(string) int64 { return 0 }
