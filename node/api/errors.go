package api

import (
	"errors"

	"github.com/tidings-mesh/tidings/chain"
)

// Failures of a Backend that the interface answers by a code of their own;
// chain's (DraftError, ErrKeyReused, ErrCursor, ErrStoreFailed, ErrClosed, ...)
// come besides. Anything else is a 500 that is logged.
var (
	ErrNotFound  = chain.ErrNotFound
	ErrBehind    = errors.New("not applied here yet")
	ErrBusy      = errors.New("outbox is full")
	ErrNotReady  = errors.New("not ready")
	ErrClockSkew = errors.New("clock is off")
	ErrAlive     = errors.New("member is alive")
)
