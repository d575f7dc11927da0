package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tidings-mesh/tidings/chain"
)

// Track publishes a subject's state: whole states go in, and only what changed
// goes out. It is safe for concurrent use.
type Track[T any] struct {
	n       *Node
	subject string
	said    atomic.Pointer[said]
}

// said is a state that the authority was found to have said, as of a version of
// the subject.
type said struct {
	version uint64
	state   []byte // as it was encoded
}

// TrackOf returns a track of a subject. T is encoded by encoding/json, into an
// object: a struct, a map, or [json.RawMessage] for what is JSON already. There
// may be many tracks of one subject; a track costs nothing but its memory, and
// saves some work where it is kept.
func TrackOf[T any](n *Node, subject string) *Track[T] { return &Track[T]{n: n, subject: subject} }

// Set makes state what this node's authority says of the subject. What goes out
// is the smallest merge patch (RFC 7396) from what the authority said of it
// before, on this node or another one, through this track or beside it; where
// nothing changed that is nothing, and Set returns at once. Numbers are compared
// by their exact value, and published as they are written. A merge patch cannot
// store null, so a member of an object that is null counts as absent; nulls in
// arrays are kept.
//
// Otherwise it waits as Publish does, with the same errors; a [*chain.DraftError]
// also where state does not become an object, or what changed is longer than
// 64 KiB. The difference is taken when the update is made, so of several calls
// at once the last one wins as a whole. After an error, also one that leaves the
// outcome unknown, the next Set puts right whatever came of it.
func (t *Track[T]) Set(ctx context.Context, state T) error {
	ack, err := t.set(ctx, state)
	return outcome(ctx, ack, err)
}

// End takes back all that this node's authority says of the subject: it is Set
// to {}. A field of its own that another authority has written over goes with it;
// [chain.EndDelta] leaves that. A subject of which no authority says anything any
// more has ended, and is in no list by default; its history stays. A later Set
// begins it anew.
func (t *Track[T]) End(ctx context.Context) error {
	ack, err := t.setJSON(ctx, []byte(`{}`))
	return outcome(ctx, ack, err)
}

// outcome is what becomes of a draft, if there is one.
func outcome(ctx context.Context, p *Ack, err error) error {
	if p == nil {
		return err
	}
	_, err = p.Wait(ctx)
	return err
}

// set is Set without the waiting. There is nothing to wait for if nothing
// changed.
func (t *Track[T]) set(ctx context.Context, state T) (*Ack, error) {
	b, err := json.Marshal(state)
	if err != nil {
		return nil, &chain.DraftError{Field: "state", Err: fmt.Errorf("%w: %w", chain.ErrDraft, err)}
	}
	return t.setJSON(ctx, b)
}

func (t *Track[T]) setJSON(ctx context.Context, state []byte) (*Ack, error) {
	if err := t.n.archive.Failed(); err != nil {
		return nil, err
	}
	settled := t.n.settled(t.subject)
	version := t.n.archive.SubjectVersion(t.subject)
	if s := t.said.Load(); settled && s != nil && s.version == version && bytes.Equal(s.state, state) {
		return nil, nil
	}
	v, err := chain.ParseValue(state)
	if err != nil {
		return nil, &chain.DraftError{Field: "state", Err: err}
	}
	prepared, err := chain.PrepareState(t.subject, v)
	if err != nil {
		return nil, err
	}
	if settled {
		status, err := t.n.ownStatus(ctx, t.subject)
		if err != nil {
			return nil, err
		}
		if chain.Diff(status, v).IsEmpty() {
			t.said.Store(&said{version, state})
			return nil, nil
		}
	}
	p := &Ack{prepared: prepared, done: make(chan struct{})}
	if err := t.n.outbox.put(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

// settled reports whether what is published of a subject is what the own chain
// says: the chain is whole, and no draft about the subject waits.
func (n *Node) settled(subject string) bool {
	select {
	case <-n.state.appendable:
		return n.outbox.settled(subject)
	default:
		return false
	}
}

// ownStatus is what the own authority says of a subject.
func (n *Node) ownStatus(ctx context.Context, subject string) (chain.Value, error) {
	s, err := n.View(ctx, subject)
	if errors.Is(err, chain.ErrNotFound) {
		s, err = chain.NewState(subject), nil
	}
	if err != nil {
		return chain.Value{}, err
	}
	v, _ := s.StatusOf(n.info.Authority)
	return v, nil
}
