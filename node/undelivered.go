package node

import (
	"fmt"
	"strings"
)

// UndeliveredError is what [Node.Close] returns where drafts that were enqueued
// are not on the chain: they waited when the node closed and could not be
// committed any more, or the store failed before. Each one's Ack says the same.
// Those that failed with the store may be there after a restart all the same:
// publish them again with the Key that they were enqueued with, if they had one.
type UndeliveredError struct {
	Drafts []Draft // in the order of the calls
	Err    error   // why the first was not committed
}

// Error says how many drafts there are, and why.
func (e *UndeliveredError) Error() string {
	const most = 3 // of up to Config.Outbox: the text is for people
	var b strings.Builder
	fmt.Fprintf(&b, "enqueued and not committed: %d, about", len(e.Drafts))
	for i, d := range e.Drafts {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(e.Drafts)-most)
			break
		}
		fmt.Fprintf(&b, " %q", d.Subject)
	}
	return fmt.Sprintf("%s: %v", b.String(), e.Err)
}

// Unwrap is Err.
func (e *UndeliveredError) Unwrap() error { return e.Err }

// lost gathers what was enqueued and not committed. It is the writer's until
// that has stopped.
type lost struct {
	drafts []Draft
	err    error
}

func (l *lost) add(d *Draft, err error) {
	if len(l.drafts) == 0 {
		l.err = err
	}
	l.drafts = append(l.drafts, *d)
}

// error is nil if nothing was lost.
func (l *lost) error() error {
	if len(l.drafts) == 0 {
		return nil
	}
	return &UndeliveredError{l.drafts, l.err}
}
