package harness

import (
	"bufio"
	"fmt"
	"os"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// usage measures what this process and its loopback device consume.
type usage struct {
	cpu0    time.Duration
	at      time.Time
	wire0   float64
	heap    atomic.Uint64
	quit    chan struct{}
	profile *os.File
}

// startUsage begins, with a CPU profile if it is told a file for one.
func startUsage(profile string) *usage {
	u := &usage{cpu0: CPUTime(), at: time.Now(), wire0: loopbackBytes(), quit: make(chan struct{})}
	if profile != "" {
		f, err := os.Create(profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "no profile:", err)
		} else {
			u.profile = f
		}
	}
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			select {
			case <-u.quit:
				return
			case <-tick.C:
				metrics.Read(sample)
				u.heap.Store(max(u.heap.Load(), sample[0].Value.Uint64()))
			}
		}
	}()
	return u
}

func (u *usage) stop(r *Result, complete int) {
	close(u.quit)
	cpu := (CPUTime() - u.cpu0).Seconds()
	r.CPUCores = cpu / time.Since(u.at).Seconds()
	if complete > 0 {
		r.CPUPer1k = cpu / float64(complete) * 1000
	}
	r.HeapMB = float64(u.heap.Load()) / (1 << 20)
	r.RSSMB = PeakRSS() / (1 << 20)
	if u.profile != nil {
		pprof.StopCPUProfile()
		u.profile.Close()
	}
}

func (u *usage) wire(r *Result, receipts float64) {
	if receipts > 0 {
		r.WireB = (loopbackBytes() - u.wire0) / receipts
	}
}

// CPUTime is what this process has used, user and system.
func CPUTime() time.Duration {
	var ru unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// loopbackBytes is the transmit counter of lo.
func loopbackBytes() float64 { return lineField("/proc/net/dev", "lo:", 9) }

// PeakRSS is the most memory that this process had, in bytes.
func PeakRSS() float64 { return lineField("/proc/self/status", "VmHWM:", 1) * 1024 }

// RSS is the memory that this process has, in bytes.
func RSS() float64 { return lineField("/proc/self/status", "VmRSS:", 1) * 1024 }

func loadAverage() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}

func lineField(path, key string, field int) float64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) > field && fields[0] == key {
			v, _ := strconv.ParseFloat(fields[field], 64)
			return v
		}
	}
	return 0
}
