package node

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// panicError is a panic of a handler.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.value) }

// errExited says that a handler ended its goroutine, as testing.T.FailNow does.
var errExited = errors.New("handler called runtime.Goexit")

// call calls a handler. What it does to its goroutine is an error, and no more:
// it has one of its own.
func call(ctx context.Context, handler ReactFunc, c Change) (d *Draft, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = errExited
		defer func() {
			if value := recover(); value != nil {
				d, err = nil, &panicError{value, debug.Stack()}
			}
		}()
		d, err = handler(ctx, c)
	}()
	<-done
	return d, err
}
