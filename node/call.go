package node

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// panicError is a panic of what the service gave the node to call.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("it panicked: %v", e.value) }

// errExited says that what was called ended its goroutine, as testing.T.FailNow does.
var errExited = errors.New("it called runtime.Goexit")

// call calls what the service gave the node. What that does to its goroutine is an
// error, and no more: it has one of its own.
func call(f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = errExited
		defer func() {
			if value := recover(); value != nil {
				err = &panicError{value, debug.Stack()}
			}
		}()
		err = f()
	}()
	<-done
	return err
}

// stackOf is the stack of a panic as an attribute for the log, nothing for any other
// error.
func stackOf(err error) []any {
	var crash *panicError
	if !errors.As(err, &crash) {
		return nil
	}
	return []any{"stack", string(crash.stack)}
}
