package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// agent is a process with a data directory of its own.
type agent struct {
	cmd  *exec.Cmd
	dir  string
	http string
}

func startAgent(path string) (*agent, error) {
	dir, err := os.MkdirTemp("", "waiters-")
	if err != nil {
		return nil, err
	}
	addresses := filepath.Join(dir, "addresses.json")
	a := &agent{dir: dir, cmd: exec.Command(path, "agent", "--name", "bench", "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0",
		"--data-dir", filepath.Join(dir, "data"), "--addr-file", addresses, "--log-level", "warn")}
	a.cmd.Stderr = os.Stderr
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.cmd.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	for range 500 {
		var at struct{ HTTP string }
		if b, err := os.ReadFile(addresses); err == nil && json.Unmarshal(b, &at) == nil {
			a.http = at.HTTP
			return a, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	a.kill()
	return nil, fmt.Errorf("%s did not start", path)
}

func (a *agent) kill() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait() // says that it was killed
	_ = os.RemoveAll(a.dir)
}

// rss is what the process has in memory, in KB.
func (a *agent) rss() float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb
		}
	}
	return 0
}

// waitFor returns once so many requests wait on the agent.
func (a *agent) waitFor(n int) error {
	want := fmt.Sprintf("\ntidings_http_waiters %v\n", float64(n))
	for range 300 {
		res, err := http.Get("http://" + a.http + "/metrics")
		if err != nil {
			return err
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return err
		}
		if strings.Contains(string(b), want) {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%d requests do not wait", n)
}
