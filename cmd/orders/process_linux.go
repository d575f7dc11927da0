package main

import "syscall"

// dieWithParent has the kernel end a service whose demo was killed.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
