package store

import "golang.org/x/sys/unix"

// born is when a file or directory was made, in nanoseconds since 1970, 0 where
// its file system does not say. No copy has it, though it may get the inode of
// what it replaces.
func born(path string) int64 {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &st) != nil || st.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
}
