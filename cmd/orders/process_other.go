//go:build !linux

package main

import "syscall"

// dieWithParent: who kills the demo with kill -9 ends the services by hand here.
func dieWithParent() *syscall.SysProcAttr { return nil }
