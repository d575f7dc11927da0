package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// A write of a snapshot that fails, any of them, fails the snapshot and not the
// store.
func TestFailedSnapshotHarmsNoStore(t *testing.T) {
	points := 0
	for fail := 0; ; fail++ {
		require.Less(t, fail, 1000)
		seen := 0
		disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if !strings.Contains(op.Path, "/"+SnapshotDir) || op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
				return nil
			}
			if seen++; seen-1 == fail {
				return syscall.ENOSPC
			}
			return nil
		}))
		s, err := OpenPebble("/data", Options{FS: disk})
		require.NoError(t, err)
		set(t, s, "a", "1")
		require.NoError(t, s.do("flush", s.db.Flush)) // a table to link
		set(t, s, "b", "2")
		err = s.checkpoint("/data/" + SnapshotDir + "/" + dbDir)
		if err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			points++
		}
		set(t, s, "c", "3")
		require.NoError(t, s.Close())
		if seen <= fail {
			require.NoError(t, err)
			break
		}
	}
	require.Greater(t, points, 8)
}

func set(t *testing.T, s *Disk, key, value string) {
	t.Helper()
	var b chain.Batch
	b.Set([]byte(key), []byte(value))
	require.NoError(t, s.Commit(&b, true))
}

// The note of a snapshot is the one at that time, though notes are written into the
// file of the store: it is a copy, not a link.
func TestSnapshotKeepsItsNote(t *testing.T) {
	dir, err := OpenDir(filepath.Join(t.TempDir(), "data"), DirOptions{Name: "wh-1"})
	require.NoError(t, err)
	s, err := dir.OpenStore(Options{})
	require.NoError(t, err)
	for _, note := range []string{"one", "two", "three"} {
		require.NoError(t, s.Mark([]byte(note)))
	}
	snapshot, err := dir.Snapshot(s)
	require.NoError(t, err)
	for _, path := range []string{snapshot.Path(), dir.Path()} {
		for _, note := range []string{"four", "five"} {
			require.NoError(t, s.Mark([]byte(note)))
		}
		want := "three"
		if path == dir.Path() {
			want = "five"
		}
		got, torn, err := readNote(vfs.Default, notePath(vfs.Default, path))
		require.NoError(t, err)
		require.False(t, torn)
		require.Equal(t, want, string(got))
	}
	require.NoError(t, errors.Join(snapshot.Close(), s.Close(), dir.Close()))
}

// Where there is no room, that is said before anything is written.
func TestBackupWithoutRoom(t *testing.T) {
	c := copying{total: 1 << 62}
	require.ErrorContains(t, c.fits(t.TempDir()), "no room in ")
	c.total = 1
	require.NoError(t, c.fits(t.TempDir()))
}

// Whatever byte of a copy is not as it was written, the check says so; and of a
// good one it leaves no trace.
func TestCheckOfACopy(t *testing.T) {
	base := t.TempDir()
	dir, err := OpenDir(filepath.Join(base, "data"), DirOptions{Name: "wh-1"})
	require.NoError(t, err)
	s, err := dir.OpenStore(Options{})
	require.NoError(t, err)
	set(t, s, "zz", strings.Repeat("x", 4000))
	require.NoError(t, s.do("flush", s.db.Flush))
	require.NoError(t, s.Mark([]byte{}))
	snapshot, err := dir.Snapshot(s)
	require.NoError(t, err)
	path := filepath.Join(base, "backup")
	var done, total int64
	require.NoError(t, Backup(t.Context(), snapshot.Path(), path, func(d, all int64) { done, total = d, all }))
	require.Equal(t, total, done)
	require.NoError(t, errors.Join(snapshot.Close(), s.Close(), dir.Close()))

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	require.NoFileExists(t, filepath.Join(path, dbDir, lockFile))
	require.NoError(t, check(t.Context(), path))
	tables, err := filepath.Glob(filepath.Join(path, dbDir, "*"+tableSuffix))
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	for _, name := range append(tables, filepath.Join(path, identityFile), filepath.Join(path, noteFile)) {
		whole, err := os.ReadFile(name)
		require.NoError(t, err)
		bad := append([]byte{}, whole...)
		bad[10] ^= 0x40
		require.NoError(t, os.WriteFile(name, bad, 0o600))
		require.Error(t, check(t.Context(), path), name)
		require.NoError(t, os.WriteFile(name, whole, 0o600))
	}
	require.NoError(t, os.Remove(tables[0]))
	require.Error(t, check(t.Context(), path))

	// The copy, moved to where the directory was, does not pass for it; and a
	// snapshot that a killed process has left is removed.
	require.NoError(t, os.Mkdir(filepath.Join(path, SnapshotDir), 0o700))
	dir, err = OpenDir(path, DirOptions{})
	require.NoError(t, err)
	require.False(t, dir.Unchanged())
	require.NoDirExists(t, filepath.Join(path, SnapshotDir))
	require.NoError(t, dir.Close())
}
