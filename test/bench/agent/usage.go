package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used so far.
type Usage struct {
	At      time.Time
	CPU     time.Duration // user and system
	RSS     float64       // MB that it has
	PeakRSS float64       // MB, the most since it began or ForgetPeak was called
	WakeUps int64         // how often its threads went to sleep, of those that live
}

// Usage reads what the agent has used.
func (a *Agent) Usage() (u Usage, err error) {
	proc := filepath.Join("/proc", strconv.Itoa(a.cmd.Process.Pid))
	u.At = time.Now()
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return u, err
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return u, fmt.Errorf("%s/stat is too short", proc)
	}
	for _, f := range fields[11:13] { // user and system, in ticks of 10 ms
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, err
		}
		u.CPU += time.Duration(ticks) * 10 * time.Millisecond
	}
	status, err := statusOf(proc)
	if err != nil {
		return u, err
	}
	u.RSS, u.PeakRSS = float64(status["VmRSS:"])/1024, float64(status["VmHWM:"])/1024
	threads, err := filepath.Glob(filepath.Join(proc, "task", "*"))
	if err != nil {
		return u, err
	}
	for _, t := range threads {
		if status, err := statusOf(t); err == nil { // else it has ended
			u.WakeUps += status["voluntary_ctxt_switches:"]
		}
	}
	return u, nil
}

// Cores is the processor time since then, in cores.
func (u Usage) Cores(since Usage) float64 {
	return (u.CPU - since.CPU).Seconds() / u.At.Sub(since.At).Seconds()
}

// WakeUpsPerSec is how often threads went to sleep since then, each second.
func (u Usage) WakeUpsPerSec(since Usage) float64 {
	return float64(u.WakeUps-since.WakeUps) / u.At.Sub(since.At).Seconds()
}

// ForgetPeak has PeakRSS count from now on.
func (a *Agent) ForgetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", a.cmd.Process.Pid), []byte("5"), 0)
}

// statusOf reads the numbers of a process's or thread's status file, by name.
func statusOf(proc string) (map[string]int64, error) {
	b, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 1 {
			if v, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				out[fields[0]] = v
			}
		}
	}
	return out, nil
}
