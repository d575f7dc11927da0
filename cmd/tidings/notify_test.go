package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/node/api"
)

// manager is a service manager's socket.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// heard is the next datagram.
func heard(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	require.NoError(t, err)
	return string(b[:n])
}

// An agent tells the service manager that it starts, is there, is ready, and leaves.
func TestAgentNotifies(t *testing.T) {
	names := []string{filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		names = append(names, "@tidings-test-"+filepath.Base(t.TempDir())+t.Name())
	}
	for _, name := range names {
		conn := manager(t, name)
		stop := runAgent(t, map[string]string{"NOTIFY_SOCKET": name})
		require.Equal(t, "STATUS=starting", heard(t, conn))
		said := heard(t, conn)
		require.True(t, strings.HasPrefix(said, "READY=1\nSTATUS="), said)
		for !strings.HasSuffix(said, "STATUS=ready") {
			said = heard(t, conn)
		}
		stop()
		for said != "STOPPING=1\nSTATUS=leaving" {
			said = heard(t, conn)
		}
	}
}

// Without a socket nothing is told; with one that is not there the agent does not start.
func TestNotifierFromEnvironment(t *testing.T) {
	env := map[string]string{}
	n, err := newNotifier(func(name string) string { return env[name] })
	require.NoError(t, err)
	n.tell("READY=1")
	require.NoError(t, n.ready(func() api.Readiness { panic("asked") })())
	require.NoError(t, n.close())

	env["NOTIFY_SOCKET"] = filepath.Join(t.TempDir(), "none")
	_, err = newNotifier(func(name string) string { return env[name] })
	require.ErrorContains(t, err, "NOTIFY_SOCKET")

	env["NOTIFY_SOCKET"], env["WATCHDOG_USEC"] = filepath.Join(t.TempDir(), "notify"), "3000000"
	manager(t, env["NOTIFY_SOCKET"])
	for pid, want := range map[string]time.Duration{"": 1500 * time.Millisecond, "1": 0} {
		env["WATCHDOG_PID"] = pid
		n, err = newNotifier(func(name string) string { return env[name] })
		require.NoError(t, err)
		require.Equal(t, want, n.watchdog)
		require.NoError(t, n.close())
	}
}

// The manager hears of each change once, and that the agent is alive for as long
// as its node answers.
func TestNotifierFollows(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	conn := manager(t, name)
	n, err := newNotifier(func(key string) string {
		return map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "400000"}[key]
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, n.close()) }()
	var ready atomic.Bool
	stop := n.ready(func() api.Readiness { return api.Readiness{Ready: ready.Load(), Reason: "catching up"} })
	require.Equal(t, "READY=1\nSTATUS=not ready: catching up", heard(t, conn))
	require.Equal(t, "WATCHDOG=1", heard(t, conn))
	ready.Store(true)
	said := heard(t, conn)
	for said == "WATCHDOG=1" {
		said = heard(t, conn)
	}
	require.Equal(t, "STATUS=ready", said)
	require.Equal(t, "WATCHDOG=1", heard(t, conn))
	require.Equal(t, "WATCHDOG=1", heard(t, conn))
	require.NoError(t, stop())
}

// runAgent runs an agent in this process until the function that it returns is called.
func runAgent(t *testing.T, env map[string]string, args ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	status := make(chan int, 1)
	var log bytes.Buffer
	go func() {
		status <- run(ctx, &process{in: strings.NewReader(""), out: io.Discard, err: &log, getenv: func(name string) string { return env[name] }},
			append([]string{"agent", "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0"}, args...))
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		require.Equal(t, exitDone, <-status, log.String())
	})
	t.Cleanup(stop)
	return stop
}

func TestStatusOf(t *testing.T) {
	require.Equal(t, "ready", statusOf(api.Readiness{Ready: true, Have: 1, Want: 2}))
	require.Equal(t, "not ready: catching up (1 of 2 updates)", statusOf(api.Readiness{Reason: "catching up", Have: 1, Want: 2}))
	require.Equal(t, "not ready: closing", statusOf(api.Readiness{Reason: "closing", Have: 2, Want: 2}))
	require.Equal(t, "not ready: store failed; READY=1", statusOf(api.Readiness{Reason: "store failed\nREADY=1"}))
}
