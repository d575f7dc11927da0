package harness

import (
	"bufio"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// usage measures what this process and its loopback consume.
type usage struct {
	cpu0  time.Duration
	at    time.Time
	wire0 float64
	heap  atomic.Uint64
	quit  chan struct{}
}

func startUsage() *usage {
	u := &usage{cpu0: cpuTime(), at: time.Now(), wire0: loopbackBytes(), quit: make(chan struct{})}
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
	cpu := (cpuTime() - u.cpu0).Seconds()
	r.CPUCores = cpu / time.Since(u.at).Seconds()
	if complete > 0 {
		r.CPUPer1k = cpu / float64(complete) * 1000
	}
	r.HeapMB = float64(u.heap.Load()) / (1 << 20)
	r.RSSMB = peakRSS() / (1 << 20)
}

func (u *usage) wire(r *Result, receipts float64) {
	if receipts > 0 {
		r.WireB = (loopbackBytes() - u.wire0) / receipts
	}
}

func cpuTime() time.Duration {
	var ru unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// loopbackBytes reads the transmit counter of lo.
func loopbackBytes() float64 {
	f := lineField("/proc/net/dev", "lo:", 9)
	return f
}

func peakRSS() float64 { return lineField("/proc/self/status", "VmHWM:", 1) * 1024 }

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

// LoopbackUp brings up lo in a fresh network namespace.
func LoopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
