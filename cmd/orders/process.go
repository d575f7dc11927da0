package main

import (
	"context"
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

// mesh is the services of a demo, each a process, with what they keep in one folder.
type mesh struct {
	dir   string
	slow  time.Duration // of the old system
	procs map[string]*process
}

// process is one of them.
type process struct {
	addresses
	cmd  *exec.Cmd
	done chan struct{} // closed once it has ended
}

// startTime bounds a start, stopTime a stop in order.
const (
	startTime = 30 * time.Second
	stopTime  = 10 * time.Second
)

// start starts a service, for the first time or again, and waits until it serves.
func (m *mesh) start(ctx context.Context, name string) (*process, error) {
	file := filepath.Join(m.dir, name+".json")
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(m.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	p := &process{cmd: exec.Command(exe, m.args(name, file)...), done: make(chan struct{})}
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	m.procs[name] = p
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // ProcessState has how it ended
	}()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	err = until(ctx, name+" serves", func() (bool, error) {
		select {
		case <-p.done:
			return false, fmt.Errorf("%s ended: %s", name, p.cmd.ProcessState)
		default:
		}
		b, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(b, &p.addresses) == nil, nil
	})
	return p, err
}

// args are those of a service. It joins all others that run.
func (m *mesh) args(name, file string) []string {
	args := []string{name, "--addr-file", file}
	if name == "legacy" {
		return append(args, "--slow", m.slow.String())
	}
	args = append(args, "--data-dir", filepath.Join(m.dir, name))
	if name == "fleet" {
		args = append(args, "--legacy", "http://"+m.procs["legacy"].HTTP)
	}
	var join []string
	for other, p := range m.procs {
		if other != name && p.Bind != "" {
			join = append(join, p.Bind)
		}
	}
	if len(join) > 0 {
		args = append(args, "--join", strings.Join(join, ","))
	}
	return args
}

// kill ends a process as kill -9 does.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	<-p.done
	return err
}

// stop stops all processes, side by side, and kills those that do not end in time.
func (m *mesh) stop() error {
	for _, p := range m.procs {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // one that has ended needs none
	}
	var errs []error
	late := time.After(stopTime)
	for name, p := range m.procs {
		select {
		case <-p.done:
		case <-late:
			errs = append(errs, fmt.Errorf("%s did not end within %s, and was killed", name, stopTime), p.kill())
			continue
		}
		if state := p.cmd.ProcessState; !state.Success() {
			errs = append(errs, fmt.Errorf("%s: %s", name, state))
		}
	}
	return errors.Join(errs...)
}

// call makes one call and reads the answer into a value, if there is one.
func (p *process) call(ctx context.Context, method, path, body string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.HTTP+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound:
		return errNotFound
	case res.StatusCode >= 300:
		return fmt.Errorf("%s %s: %s", method, path, res.Status)
	case into == nil:
		return nil
	}
	return json.NewDecoder(res.Body).Decode(into)
}

var errNotFound = errors.New("not found")

// until asks over and over, until what is said of it is true.
func until(ctx context.Context, what string, ok func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not so in time: %s", what)
		}
	}
}
