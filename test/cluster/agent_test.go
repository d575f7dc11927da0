package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// binary is the command under test, built once with the race detector off: its
// own tests have it on, and a slow process would hide what a fast one does.
var binary string

func TestMain(m *testing.M) {
	if os.Getenv(attackEnv) != "" {
		os.Exit(m.Run()) // the attackers' process
	}
	dir, err := os.MkdirTemp("", "tidings-cluster-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "tidings")
	build := exec.Command("go", "build", "-o", binary, "github.com/tidings-mesh/tidings/cmd/tidings")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// agent is one node's process. Its addresses stay the same over restarts.
type agent struct {
	t    *testing.T
	name string
	dir  string
	args []string
	cmd  *exec.Cmd
	log  *os.File
	done chan error

	bind, http string // host:port, once started

	space  string       // network namespace that it runs in; empty is the test's own
	client *http.Client // that reaches it
	build  string       // binary that it runs; empty is the one under test
}

// start runs an agent and waits until it listens.
func start(t *testing.T, name, authority string, args ...string) *agent {
	t.Helper()
	a := newAgent(t, name, authority, args...)
	a.run()
	return a
}

func newAgent(t *testing.T, name, authority string, args ...string) *agent {
	t.Helper()
	a := &agent{t: t, name: name, dir: filepath.Join(t.TempDir(), name), client: httpClient}
	require.NoError(t, os.MkdirAll(a.dir, 0o700))
	a.args = append([]string{
		"agent", "--name", name, "--authority", authority,
		"--data-dir", filepath.Join(a.dir, "data"), "--addr-file", filepath.Join(a.dir, "addr.json"),
	}, args...)
	var err error
	a.log, err = os.Create(filepath.Join(a.dir, "log"))
	require.NoError(t, err)
	t.Cleanup(func() {
		a.kill()
		if t.Failed() {
			if b, err := os.ReadFile(a.log.Name()); err == nil {
				t.Logf("log of %s:\n%s", name, tail(b, 4000))
			}
		}
		a.log.Close()
	})
	return a
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// run starts the process, on the addresses that it had before.
func (a *agent) run() {
	a.t.Helper()
	addrs := filepath.Join(a.dir, "addr.json")
	_ = os.Remove(addrs)
	bind, http := "127.0.0.1:0", "127.0.0.1:0"
	if a.bind != "" {
		bind, http = a.bind, a.http
	}
	a.cmd = exec.Command(cmp.Or(a.build, binary), append(a.args, "--bind", bind, "--http", http)...)
	a.cmd.Stdout, a.cmd.Stderr = a.log, a.log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(a.t, inNamespace(a.space, a.cmd.Start))
	done, cmd := make(chan error, 1), a.cmd
	go func() { done <- cmd.Wait() }()
	a.done = done
	deadline := time.Now().Add(30 * time.Second)
	for {
		var got struct{ Bind, HTTP string }
		if b, err := os.ReadFile(addrs); err == nil && json.Unmarshal(b, &got) == nil {
			if a.bind == "" {
				a.bind, a.http = got.Bind, got.HTTP
			}
			return
		}
		select {
		case err := <-done:
			done <- err
			b, _ := os.ReadFile(a.log.Name())
			a.t.Fatalf("%s ended: %v\n%s", a.name, err, tail(b, 4000))
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("%s does not listen", a.name)
		}
	}
}

// kill ends the process at once, as a crash does.
func (a *agent) kill() {
	if a.cmd == nil {
		return
	}
	_ = a.cmd.Process.Kill()
	<-a.done
	a.cmd = nil
}

// copyData copies the data directory of an agent that was killed, but for the socket
// that it has left there.
func copyData(t *testing.T, to, from string) {
	t.Helper()
	if err := os.Remove(filepath.Join(from, "control.sock")); !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
}

// stop asks the process to leave, and returns how it ended.
func (a *agent) stop() error {
	a.t.Helper()
	require.NoError(a.t, a.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-a.done:
		a.cmd = nil
		return err
	case <-time.After(15 * time.Second):
		a.t.Fatalf("%s does not end", a.name)
		return nil
	}
}

func (a *agent) url(path string) string { return "http://" + a.http + path }

// get reads JSON from the agent; ok is false where there was no answer.
func (a *agent) get(path string, into any) (ok bool) {
	resp, err := a.client.Get(a.url(path))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(into) == nil
}

// status is the status of a call alone, or 0 where there was no answer.
func (a *agent) status(path string) int {
	resp, err := a.client.Get(a.url(path))
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (a *agent) ready() bool { return a.status("/readyz") == http.StatusOK }

// show logs what the agent says of itself and the mesh.
func (a *agent) show() {
	a.t.Helper()
	for _, path := range []string{"/readyz", "/v1/mesh"} {
		resp, err := a.client.Get(a.url(path))
		if err != nil {
			a.t.Logf("%s: %s: %v", a.name, path, err)
			continue
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
		resp.Body.Close()
		if err != nil {
			body = fmt.Append(body, " ", err)
		}
		a.t.Logf("%s: %s: %s %s", a.name, path, resp.Status, body)
	}
}

// until waits for a condition that depends on other processes. Where it does not come
// about, the agents that it is about are shown.
func until(t *testing.T, within time.Duration, what string, ok func() bool, about ...*agent) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			for _, a := range about {
				a.show()
			}
			t.Fatalf("after %s still not: %s", within, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// sendRaw sends bytes to a port and waits a moment for the other end to hang up.
func sendRaw(t *testing.T, addr, bytes string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	require.NoError(t, err)
	defer conn.Close()
	_, _ = conn.Write([]byte(bytes))
	_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	_, _ = io.Copy(io.Discard, conn)
}

// command runs the binary as a user does, and returns its standard output.
func command(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, err := runCommand(args...)
	if err != nil {
		t.Fatalf("tidings %s: %v\n%s", strings.Join(args, " "), err, errs)
	}
	return out
}

func runCommand(args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}
