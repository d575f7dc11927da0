// Package agent starts real agents, each a process of its own on loopback, and
// says what they use.
package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startTime bounds how long an agent may take until it listens: one with a large
// store that was killed reads what its log still has.
const startTime = 2 * time.Minute

// Agent is a process with a data directory.
type Agent struct {
	Dir    string        // what Start was given
	HTTP   string        // host:port
	Mesh   string        // host:port
	Opened time.Duration // from the start of the process until it listened
	cmd    *exec.Cmd
	ended  chan error // of Wait, once
}

// Start runs the binary at path with its data in dir, and returns once it
// listens. Of join it is told what is not empty. It ends with this process.
func Start(path, dir, name, join string) (*Agent, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	addresses := filepath.Join(dir, "addresses.json")
	if err := os.RemoveAll(addresses); err != nil {
		return nil, err
	}
	a := &Agent{Dir: dir, ended: make(chan error, 1), cmd: exec.Command(path, "agent", "--name", name,
		"--bind", "127.0.0.1:0", "--http", "127.0.0.1:0",
		"--data-dir", filepath.Join(dir, "data"), "--addr-file", addresses, "--log-level", "error")}
	if join != "" {
		a.cmd.Args = append(a.cmd.Args, "--join", join)
	}
	a.cmd.Stderr = os.Stderr
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { a.ended <- a.cmd.Wait() }()
	for time.Since(began) < startTime {
		var at struct{ Bind, HTTP string }
		if b, err := os.ReadFile(addresses); err == nil && json.Unmarshal(b, &at) == nil {
			a.HTTP, a.Mesh, a.Opened = at.HTTP, at.Bind, time.Since(began)
			return a, nil
		}
		select {
		case err := <-a.ended:
			return nil, fmt.Errorf("%s did not start: %w", path, err)
		case <-time.After(2 * time.Millisecond):
		}
	}
	a.Kill()
	return nil, fmt.Errorf("%s does not listen after %s", path, startTime)
}

// Stop ends the agent in order, and returns once its process is gone.
func (a *Agent) Stop() error {
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return a.wait()
}

// Kill ends the agent as a crash would. It may have ended before.
func (a *Agent) Kill() {
	_ = a.cmd.Process.Kill()
	_ = a.wait() // says that it was killed
}

func (a *Agent) wait() error {
	err := <-a.ended
	a.ended <- err // for who asks again
	return err
}

// Pause holds all threads of the agent until Resume.
func (a *Agent) Pause() error { return a.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (a *Agent) Resume() error { return a.cmd.Process.Signal(syscall.SIGCONT) }

// Mesh is what GET /v1/mesh says, as far as it is of use here.
type Mesh struct {
	Converged bool
	Members   []struct{ Status string }
	Store     struct{ Bytes, Updates, Subjects int64 }
}

// Look asks the agent for its mesh.
func (a *Agent) Look() (m Mesh, err error) {
	err = a.Get("/v1/mesh", &m)
	return m, err
}

// Get asks the agent for what is at path, and decodes the JSON of the answer
// into v.
func (a *Agent) Get(path string, v any) error {
	res, err := http.Get("http://" + a.HTTP + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(v)
}

// Await asks for the mesh until ok, for limit at most.
func (a *Agent) Await(limit time.Duration, ok func(Mesh) bool) error {
	var m Mesh
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if m, err = a.Look(); err == nil && ok(m) {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("not as awaited after %s: %+v", limit, m), err)
}

// Alive is how many members are alive, the agent itself included.
func (m Mesh) Alive() (n int) {
	for _, member := range m.Members {
		if strings.EqualFold(member.Status, "alive") {
			n++
		}
	}
	return n
}
