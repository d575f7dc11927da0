package node

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// SetBack puts the store of an old copy of a data directory in the place of what
// is there, as if the whole machine were set back, which cannot be told: the file
// by which a store is told from a copy stays. The copy is used up.
func SetBack(t *testing.T, dir, from string) {
	t.Helper()
	const lock = "LOCK"
	to := filepath.Join(dir, "db")
	entries, err := os.ReadDir(to)
	require.NoError(t, err)
	for _, e := range entries {
		if e.Name() != lock {
			require.NoError(t, os.RemoveAll(filepath.Join(to, e.Name())))
		}
	}
	require.NoError(t, os.Remove(filepath.Join(from, "db", lock)))
	require.NoError(t, os.CopyFS(to, os.DirFS(filepath.Join(from, "db"))))
	note, err := os.ReadFile(filepath.Join(from, "heads"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "heads"), note, 0o600))
}
