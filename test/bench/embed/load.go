package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// process is a service of embed/plain or embed/with, as it was built.
type process struct {
	cmd        *exec.Cmd
	http, mesh string
}

func start(binary string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(binary, args...)}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	var line [256]byte
	n, err := out.Read(line[:])
	fields := strings.Fields(string(line[:n]))
	if err != nil || len(fields) == 0 {
		p.kill()
		return nil, fmt.Errorf("%s did not start: %w", binary, err)
	}
	if p.http = fields[0]; len(fields) > 1 {
		p.mesh = fields[1]
	}
	return p, nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // says that it was killed
}

// usage is what a process has used so far.
type usage struct {
	at  time.Time
	cpu time.Duration
	rss float64 // MB
}

func (p *process) usage() (u usage, err error) {
	pid := strconv.Itoa(p.cmd.Process.Pid)
	u.at = time.Now()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return u, err
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return u, fmt.Errorf("/proc/%s/stat is too short", pid)
	}
	for _, f := range fields[11:13] { // user and system, in ticks of 10 ms
		ticks, err := strconv.Atoi(f)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(ticks) * 10 * time.Millisecond
	}
	statm, err := os.ReadFile("/proc/" + pid + "/statm")
	if err != nil {
		return u, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	u.rss = float64(pages*os.Getpagesize()) / 1e6
	return u, err
}

// cores is the processor time since then, in cores.
func (u usage) cores(since usage) float64 {
	return (u.cpu - since.cpu).Seconds() / u.at.Sub(since.at).Seconds()
}

// loads measures three services of a mesh: idle, then with 1,000 updates a second
// published at the first one.
func loads(r *report, dir string, length time.Duration) error {
	plain, err := start(filepath.Join(dir, "plain"))
	if err != nil {
		return err
	}
	defer plain.kill()
	var mesh []*process
	defer func() {
		for _, p := range mesh {
			p.kill()
		}
	}()
	for i := range 3 {
		args := []string{filepath.Join(dir, "data"+strconv.Itoa(i))}
		if i > 0 {
			args = append(args, mesh[0].mesh)
		}
		p, err := start(filepath.Join(dir, "with"), args...)
		if err != nil {
			return err
		}
		mesh = append(mesh, p)
	}
	time.Sleep(length / 4) // the start is no idling
	was, err := mesh[1].usage()
	if err != nil {
		return err
	}
	time.Sleep(length)
	now, err := mesh[1].usage()
	if err != nil {
		return err
	}
	without, err := plain.usage()
	if err != nil {
		return err
	}
	r.add("memory of the process (RSS), idle in a mesh of 3", "%.0f MB, without a node %.0f MB", now.rss, without.rss)
	r.add("processor, idle in a mesh of 3", "%.1f %% of a core", 100*now.cores(was))
	return busy(r, mesh, length)
}

const perSecond = 1000

// busy publishes, and measures the one that is published at and one that only hears of it.
func busy(r *report, mesh []*process, length time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), length+time.Minute)
	defer cancel()
	var was, now [2]usage
	for i := range was {
		var err error
		if was[i], err = mesh[i].usage(); err != nil {
			return err
		}
	}
	total := int(length.Seconds()) * perSecond
	began := time.Now()
	if err := publish(ctx, mesh[0], total); err != nil {
		return err
	}
	took := time.Since(began)
	for i := range now {
		var err error
		if now[i], err = mesh[i].usage(); err != nil {
			return err
		}
	}
	if rate := float64(total) / took.Seconds(); rate < perSecond*0.95 {
		return fmt.Errorf("published only %.0f updates/s", rate)
	}
	r.add("memory at 1,000 updates/s of 256 B, published over HTTP", "%.0f MB at the publisher, %.0f MB at a node that hears of them", now[0].rss, now[1].rss)
	r.add("processor at 1,000 updates/s", "%.0f %% of a core at the publisher, %.0f %% at a node that hears of them",
		100*now[0].cores(was[0]), 100*now[1].cores(was[1]))
	return caughtUp(ctx, mesh[1], total)
}

// publish streams updates at their rate, and checks each result.
func publish(ctx context.Context, p *process, total int) error {
	body, w := io.Pipe()
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		noise := strings.Repeat("x", 230)
		var err error
		began := time.Now()
		for i := 0; i < total && err == nil; {
			<-tick.C
			for due := min(total, int(time.Since(began).Seconds()*perSecond)); i < due && err == nil; {
				_, err = fmt.Fprintf(w, `{"subject":"order/%d","delta":{"n":%d,"p":%q}}`+"\n", i%10_000, i, noise)
				i++
			}
		}
		w.CloseWithError(err) // nil is the end
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.http+"/v1/updates", body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	created := 0
	for d := json.NewDecoder(res.Body); ; created++ {
		var result struct{ Status int }
		switch err := d.Decode(&result); {
		case errors.Is(err, io.EOF) && created == total:
			return nil
		case err != nil:
			return fmt.Errorf("after %d of %d results: %w", created, total, err)
		case result.Status != http.StatusCreated:
			return fmt.Errorf("result %d has status %d", created, result.Status)
		}
	}
}

// caughtUp waits until a node has all that was published at another.
func caughtUp(ctx context.Context, p *process, total int) error {
	for {
		var mesh struct{ Store struct{ Updates int } }
		res, err := http.Get("http://" + p.http + "/v1/mesh")
		if err != nil {
			return err
		}
		err = json.NewDecoder(res.Body).Decode(&mesh)
		res.Body.Close()
		if err != nil || mesh.Store.Updates >= total {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("a node has only %d of %d updates", mesh.Store.Updates, total)
		}
	}
}
