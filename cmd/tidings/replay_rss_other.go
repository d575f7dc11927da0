//go:build !unix

package main

import "runtime"

// peakRSS is the most memory that the process has had from the system, in
// bytes.
func peakRSS() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}
