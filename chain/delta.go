package chain

import (
	"errors"
	"fmt"
)

// ErrDelta is wrapped by every refusal of a delta.
var ErrDelta = errors.New("invalid delta")

// DeltaFault tells refusals of a delta apart.
type DeltaFault uint8

const (
	DeltaSyntax    DeltaFault = iota // not JSON by RFC 8259, not UTF-8, a lone surrogate, not compact
	DeltaNotObject                   // JSON, but its top level is no object
	DeltaTooDeep                     // deeper than MaxDepth
	DeltaDuplicate                   // two equal keys in one object, once unescaped
)

// DeltaError says what is wrong with a delta, and where. It wraps ErrDelta.
type DeltaError struct {
	Fault   DeltaFault
	Offset  int    // in bytes, into what was given
	Pointer string // JSON pointer to the value that holds the fault, empty at the top
	Detail  string
}

func (e *DeltaError) Error() string {
	if e.Pointer == "" {
		return fmt.Sprintf("%v: byte %d: %s", ErrDelta, e.Offset, e.Detail)
	}
	return fmt.Sprintf("%v: byte %d, in %q: %s", ErrDelta, e.Offset, clip(e.Pointer), e.Detail)
}

// Unwrap makes errors.Is(err, ErrDelta) hold.
func (e *DeltaError) Unwrap() error { return ErrDelta }

// under moves the error's pointer below a key.
func (e *DeltaError) under(key string) *DeltaError {
	e.Pointer = "/" + pointerEscape(key) + e.Pointer
	return e
}

// CompactDelta is the publisher's side: it checks a delta and returns it
// without insignificant whitespace, all else as written: number literals,
// escapes, the order of keys. It refuses what is not a JSON object, duplicate
// keys at any depth (compared once unescaped), invalid UTF-8, lone surrogates,
// more than MaxDepth levels and bytes after the object, with a *DeltaError.
// The caller bounds the length. The result is the caller's own.
func CompactDelta(raw []byte) ([]byte, error) {
	keys := jsonKeysPool.Get().(*jsonKeys)
	defer keys.put()
	s := jsonScanner{src: raw, keep: true, dst: make([]byte, 0, len(raw)), keys: keys.keys}
	err := s.delta()
	keys.keys = s.keys
	if err != nil {
		return nil, err
	}
	return append(s.dst, raw[s.from:]...), nil
}

// CheckDelta is the receiver's side: a delta must be what CompactDelta would
// have made of it.
func CheckDelta(raw []byte) error {
	keys := jsonKeysPool.Get().(*jsonKeys)
	defer keys.put()
	s := jsonScanner{src: raw, compact: true, keys: keys.keys}
	err := s.delta()
	keys.keys = s.keys
	if err != nil {
		return err
	}
	return nil
}
