package chain

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds that publish and accept alike hold to.
const (
	MaxSubject   = 512       // bytes of a subject
	MaxDelta     = 64 << 10  // bytes of a delta
	MaxDepth     = 64        // nesting of a delta; its top-level object is depth 1
	MaxDeps      = 64        // dependencies of one update, the node's own finds included
	MaxHook      = 64        // bytes of a reaction's name
	MaxReactions = 16        // length of a chain of reactions
	MaxRun       = 512 << 10 // bytes of an encoded run
	MaxName      = 128       // bytes of a node's name, an authority, a zone
)

// Kind tells what an update is. Kinds that this build does not know are kept,
// linked, relayed and counted, and change no view.
type Kind uint8

const (
	KindGenesis Kind = 0 // seq 1 of every chain, and no other
	KindStatus  Kind = 1 // a status change
)

func (k Kind) String() string {
	switch k {
	case KindGenesis:
		return "genesis"
	case KindStatus:
		return "status"
	}
	return fmt.Sprintf("kind-%d", uint8(k))
}

// KeyTag is what an update carries of its caller's idempotency key: a hash of
// the key and a digest of the content that was published under it. The zero
// value says that there was none.
type KeyTag struct {
	Key     [16]byte // SHA-256 of the key, truncated
	Content [8]byte  // SHA-256 of the content, truncated
}

// IsZero reports whether there was no key.
func (t KeyTag) IsZero() bool { return t == KeyTag{} }

// Update is one entry of a chain, decoded: absolute time, absolute deps. The
// slices are shared with whoever made it and must not be written to.
type Update struct {
	ID   ID
	Kind Kind
	HLC  HLC
	Deps []ID // of other chains, ascending by ID

	Subject string
	Delta   []byte // compact JSON object; the genesis's body or an unknown kind's bytes otherwise

	Cause ID     // the update that a reaction answered, zero if none
	Hook  string // the reaction's name, with Cause
	Depth uint8  // length of the chain of reactions that led here, with Cause
	Key   KeyTag

	Prev Hash
	Hash Hash
}

// Stamp is the update's place in stitched order.
func (u *Update) Stamp() Stamp { return Stamp{u.HLC, u.ID} }

// ErrSubject is wrapped by every refusal of a subject.
var ErrSubject = errors.New("invalid subject")

// CheckSubject says what is wrong with a subject: it must be 1 to 512 bytes of
// UTF-8 in segments split by "/", none of them empty, "." or "..", and hold no
// control character.
func CheckSubject(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: empty", ErrSubject)
	case len(s) > MaxSubject:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrSubject, len(s), MaxSubject)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: not UTF-8", ErrSubject)
	}
	for i, r := range s {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) {
			return fmt.Errorf("%w: control character %U at byte %d", ErrSubject, r, i)
		}
	}
	for segment := range strings.SplitSeq(s, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("%w: segment %q", ErrSubject, segment)
		}
	}
	return nil
}

// ErrName is wrapped by every refusal of a node's name, authority or zone.
var ErrName = errors.New("invalid name")

// CheckName says what is wrong with the name of a node, authority or zone: it
// must be 1 to 128 bytes of UTF-8 without control characters, and neither
// begin nor end with a space.
func CheckName(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: empty", ErrName)
	case len(s) > MaxName:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrName, len(s), MaxName)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: not UTF-8", ErrName)
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("%w: space at an end", ErrName)
	}
	for i, r := range s {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) {
			return fmt.Errorf("%w: control character %U at byte %d", ErrName, r, i)
		}
	}
	return nil
}

// Prefix selects subjects by whole segments: "order" is order and all below
// it, "order/" only what is below, the empty prefix is every subject.
type Prefix string

// Contains reports whether the prefix selects the subject.
func (p Prefix) Contains(subject string) bool {
	if p == "" {
		return true
	}
	rest, ok := strings.CutPrefix(subject, string(p))
	if !ok {
		return false
	}
	if strings.HasSuffix(string(p), "/") {
		return rest != ""
	}
	return rest == "" || rest[0] == '/'
}

// CheckPrefix says what is wrong with a prefix: it must be empty or a subject,
// with or without a "/" at its end.
func CheckPrefix(p string) error {
	if p == "" {
		return nil
	}
	return CheckSubject(strings.TrimSuffix(p, "/"))
}
