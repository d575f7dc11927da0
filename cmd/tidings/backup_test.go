package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An agent's directory is copied while it runs and while it does not; what may
// not be copied is refused; and the socket is its owner's alone.
func TestBackup(t *testing.T) {
	base := t.TempDir()
	data, socket := filepath.Join(base, "data"), filepath.Join(base, "data", controlFile)
	call(t, "backup", "--data-dir", data, filepath.Join(base, "a")).want(t, exitFailed, "", "is no data directory")
	call(t, "backup", filepath.Join(base, "a")).want(t, exitUsage, "", "--data-dir")

	stop := runAgent(t, nil, "--name", "wh-1", "--data-dir", data, "--addr-file", filepath.Join(base, "addr"))
	require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(base, "addr")); return err == nil }, 20*time.Second, 10*time.Millisecond)
	b, err := os.ReadFile(filepath.Join(base, "addr"))
	require.NoError(t, err)
	var addr struct{ HTTP string }
	require.NoError(t, json.Unmarshal(b, &addr))
	call(t, "publish", "order/1", `{"a":1}`, "--endpoints", addr.HTTP).want(t, exitDone, "", "")
	info, err := os.Stat(socket)
	require.NoError(t, err)
	require.Equal(t, os.ModeSocket|0o600, info.Mode())

	o := call(t, "backup", "--data-dir", data, filepath.Join(base, "a"), "-o", "json")
	o.want(t, exitDone, `"running":true`, "")
	call(t, "backup", "--data-dir", data, filepath.Join(base, "a")).want(t, exitFailed, "", "is there already")
	// The next copy, or a restore, would be of a copy too.
	require.NoError(t, os.Symlink(data, filepath.Join(base, "link")))
	for _, dest := range []string{filepath.Join(data, "c"), filepath.Join(base, "link", "db", "c"), data} {
		call(t, "backup", "--data-dir", filepath.Join(base, "link"), dest).want(t, exitUsage, "", "is in the data directory")
	}

	// One at a time; and a connection that ends gives the snapshot up.
	held, err := askSnapshot(t.Context(), data)
	require.NoError(t, err)
	call(t, "backup", "--data-dir", data, filepath.Join(base, "b")).want(t, exitFailed, "", "a snapshot of the data directory is in use")
	require.DirExists(t, held.Path)
	require.NoError(t, held.Close())
	require.NoDirExists(t, held.Path)
	require.Equal(t, `{"error":"unknown request"}`+"\n", say(t, socket, "everything\n"))
	require.Empty(t, say(t, socket, string(make([]byte, 100))))

	stop()
	require.NoFileExists(t, socket)
	call(t, "backup", "--data-dir", data, filepath.Join(base, "b"), "-o", "json").want(t, exitDone, `"running":false`, "")
	for _, copied := range []string{"a", "b"} {
		require.NoDirExists(t, filepath.Join(base, copied, "snapshot"))
		call(t, "backup", "--data-dir", filepath.Join(base, copied), filepath.Join(base, copied+"-again")).want(t, exitDone, copied+"-again", "")
	}

	// A copy whose bytes are not good is none.
	tables, err := filepath.Glob(filepath.Join(base, "b", "db", "*.sst"))
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	table, err := os.ReadFile(tables[0])
	require.NoError(t, err)
	table[10] ^= 1
	require.NoError(t, os.WriteFile(tables[0], table, 0o600))
	call(t, "backup", "--data-dir", filepath.Join(base, "b"), filepath.Join(base, "c")).want(t, exitFailed, "", "the copy is not good")
	left, err := filepath.Glob(filepath.Join(base, "c*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// say sends a line to a socket and returns all that comes back.
func say(t *testing.T, socket, line string) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte(line))
	require.NoError(t, err)
	b := make([]byte, 1000)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	n, _ := conn.Read(b)
	return string(b[:n])
}
