package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// runLimit bounds a run, its start and its end included.
const runLimit = 2 * time.Minute

// spawn runs one job in a child process, in a network namespace of its own
// where the system allows that. If ctx ends first, so does the child.
func spawn(ctx context.Context, j Job, lock, tmp string) Result {
	unlock, err := flock(lock)
	if err != nil {
		return j.result(err.Error())
	}
	defer unlock()
	dir, err := os.MkdirTemp(tmp, "bench-")
	if err != nil {
		return j.result(err.Error())
	}
	defer os.RemoveAll(dir)
	j.Dir = dir
	for _, j.NetNS = range []bool{true, false} {
		var r Result
		if r, err = spawnOnce(ctx, j); err == nil {
			return r
		}
		if !errors.Is(err, syscall.EPERM) {
			break
		}
	}
	return j.result(err.Error())
}

func spawnOnce(ctx context.Context, j Job) (Result, error) {
	// Pdeathsig watches the thread that starts the child, so that has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	exe := j.program
	if exe == "" {
		var err error
		if exe, err = os.Executable(); err != nil {
			return Result{}, err
		}
	}
	arg, err := json.Marshal(j)
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	rd, wr, err := os.Pipe()
	if err != nil {
		return Result{}, err
	}
	defer rd.Close()
	cmd := exec.CommandContext(ctx, exe, "-child", string(arg))
	cmd.ExtraFiles = []*os.File{wr}
	tail := &tailBuffer{}
	cmd.Stdout, cmd.Stderr = tail, tail
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if j.NetNS {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	if err := cmd.Start(); err != nil {
		wr.Close()
		return Result{}, err
	}
	wr.Close()
	out, _ := io.ReadAll(rd) // what is missing shows below
	ended := cmd.Wait()
	var r Result
	if err := json.Unmarshal(out, &r); err != nil {
		return Result{}, fmt.Errorf("child: %v: %s", ended, tail)
	}
	return r, nil
}

// tailBuffer keeps the last output of a child, for when it fails.
type tailBuffer struct{ b []byte }

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > 4096 {
		t.b = t.b[len(t.b)-2048:]
	}
	return len(p), nil
}

func (t *tailBuffer) String() string { return string(bytes.TrimSpace(t.b)) }

// flock takes the lock file, if there is one, and returns how to give it back.
func flock(path string) (func(), error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
