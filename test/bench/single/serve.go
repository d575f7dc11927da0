package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/node/api"
)

// greeting is what a node's process says once it serves.
type greeting struct {
	HTTP   string  `json:"http"`
	Mesh   string  `json:"mesh"`
	OpenMs float64 `json:"open_ms"` // Open alone, without the process's start
}

// serve is the process of a node: it opens it, serves it, and ends when its
// standard input does.
func serve(dir, join string) error {
	c := node.Config{Name: "single-" + strconv.Itoa(os.Getpid()), DataDir: dir, Bind: "127.0.0.1:0"}
	if dir != "" {
		c.Name = "" // a directory that has a name keeps it
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			c.Name = "single-" + strconv.Itoa(os.Getpid())
		}
	}
	if join != "" {
		c.Join = strings.Split(join, ",")
	}
	began := time.Now()
	n, err := node.Open(context.Background(), c)
	if err != nil {
		return err
	}
	g := greeting{OpenMs: time.Since(began).Seconds() * 1e3, Mesh: n.Addr()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	g.HTTP = l.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("/", n.Handler())
	mux.HandleFunc("GET /constant", constant)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	server := api.NewServer(mux, nil)
	go server.Serve(l) // until the process ends
	if err := json.NewEncoder(os.Stdout).Encode(g); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return n.Close()
}

// constant is what net/http alone can do: an answer of a view's size.
func constant(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", `"constant"`)
	if r.Header.Get("If-None-Match") == `"constant"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(constantBody)))
	_, _ = w.Write(constantBody)
}

var constantBody = []byte(`{"constant":"` + strings.Repeat("x", 700) + `"}`)

// process is a node in a process of its own.
type process struct {
	greeting
	cmd   *exec.Cmd
	stdin io.Closer
	began time.Time
}

func start(dir, join string) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(exe, "-serve", "-dir", dir, "-join", join), began: time.Now()}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = in
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(out).Decode(&p.greeting); err != nil {
		return nil, errors.Join(fmt.Errorf("the node did not start: %w", err), p.stop())
	}
	return p, nil
}

// stop ends the node in order, as SIGTERM does an agent.
func (p *process) stop() error {
	return errors.Join(p.stdin.Close(), p.cmd.Wait())
}

// kill ends the process as a power cut would, but that the page cache stays.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // says that it was killed
}

// memory is what the process has now, and the most it had, in MB.
func (p *process) memory() (now, peak float64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		v, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			now = v / 1024
		case "VmHWM:":
			peak = v / 1024
		}
	}
	return now, peak
}

// cpu is the time that the process took of all cores since its start, in µs.
func (p *process) cpu() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The name of the process, in parentheses, may have spaces.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	const userTime, systemTime, tick = 11, 12, 10_000 // fields after the name; µs
	if len(fields) <= systemTime {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[userTime], 64)
	system, _ := strconv.ParseFloat(fields[systemTime], 64)
	return (user + system) * tick
}

// profile begins a CPU profile of the node, of three seconds, into a file of the
// folder, if there is one. The function that it returns waits for it.
func (p *process) profile(folder, name string) (wait func()) {
	if folder == "" {
		return func() {}
	}
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			res, err := http.Get("http://" + p.HTTP + "/debug/pprof/profile?seconds=3")
			if err != nil {
				return err
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(folder, name+".pprof"), b, 0o644)
		}()
	}()
	return func() {
		if err := <-done; err != nil {
			fmt.Fprintln(os.Stderr, "profile:", err)
		}
	}
}

// get asks the node once, for what is not measured by rate.
func (p *process) get(path string, into any) (int, error) {
	res, err := http.Get("http://" + p.HTTP + path)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return res.StatusCode, json.NewDecoder(res.Body).Decode(into)
}
