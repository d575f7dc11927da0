package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tidings-mesh/tidings/node/client"
)

// The exit statuses. Scripts branch on them, so they never change.
const (
	exitDone        = 0 // done
	exitFailed      = 1 // a node refused, an address is in use, a check is not met
	exitUsage       = 2 // wrong flag, argument or configuration: nothing was done
	exitNotFound    = 3 // what was asked for is not there
	exitGone        = 4 // the cursor is older than what the node keeps
	exitUnreachable = 5 // no node answered
)

// usageError is a mistake in how the command was called.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// errUnmet ends a command whose result, already printed, is a no.
var errUnmet = errors.New("not met")

// exitStatus is the status for what a command returned.
func exitStatus(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage), errors.Is(err, client.ErrConfig):
		return exitUsage
	case errors.Is(err, client.ErrNotFound):
		return exitNotFound
	case errors.Is(err, client.ErrGone):
		return exitGone
	case errors.Is(err, client.ErrUnreachable):
		return exitUnreachable
	}
	return exitFailed
}

// describe is the line on standard error for what a command returned, "" where
// there is nothing left to say.
func describe(err error) string {
	switch {
	case err == nil, errors.Is(err, errUnmet):
		return ""
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	// Much of it may be a node's words.
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	return strings.Join(lines, "\n")
}
