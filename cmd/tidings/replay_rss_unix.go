//go:build unix

package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// peakRSS is the most memory that the process has had resident, in bytes; 0 if
// the system does not tell.
func peakRSS() int64 {
	// Where it is there: getrusage may count what the process was before exec.
	if text, err := os.ReadFile("/proc/self/status"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "VmHWM:"); ok {
			value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			if kib, err := strconv.ParseInt(value, 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	most := int64(usage.Maxrss)
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return most // in bytes there, in KiB elsewhere
	}
	return most << 10
}
