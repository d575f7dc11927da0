package main

import (
	"context"
	"errors"
	"fmt"
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
	var problem *problemError
	var unreachable *unreachableError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &problem) && problem.Code == "not_found":
		return exitNotFound
	case errors.As(err, &problem) && problem.Code == "gone":
		return exitGone
	case errors.As(err, &unreachable):
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
	return err.Error()
}
