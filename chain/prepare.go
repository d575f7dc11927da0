package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// Prepared is a draft that was checked as far as it can be without a ledger.
type Prepared struct {
	subject string
	delta   []byte // compact
	patch   Value
	deps    []ID // ascending, without repeats, the cause included
	cause   ID
	hook    string
	tag     KeyTag // as if no dep were of the own chain

	state *Value // whole, in place of delta and patch, which Append finds
}

// Prepare checks a draft and does the work that needs no ledger, so that
// callers do it side by side. Its error is a *DraftError.
func Prepare(d Draft) (*Prepared, error) {
	p := &Prepared{subject: d.Subject, cause: d.Cause, hook: d.Hook}
	if err := CheckSubject(d.Subject); err != nil {
		return nil, &DraftError{"subject", err}
	}
	if len(d.Delta) > MaxDelta {
		return nil, &DraftError{"delta", fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(d.Delta), MaxDelta)}
	}
	var err error
	if p.delta, err = CompactDelta(d.Delta); err != nil {
		return nil, &DraftError{"delta", err}
	}
	if p.patch, err = ParseValue(p.delta); err != nil {
		return nil, &DraftError{"delta", err}
	}
	if len(d.Key) > MaxKey {
		return nil, &DraftError{"key", fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(d.Key), MaxKey)}
	}
	if d.Cause.IsZero() != (d.Hook == "") {
		return nil, &DraftError{"hook", fmt.Errorf("%w: a cause and the hook that answers it go together", ErrDraft)}
	}
	if d.Hook != "" {
		if d.Cause.Seq == 0 || d.Cause.Seq > maxSeq {
			return nil, &DraftError{"cause", fmt.Errorf("%w: seq %d", ErrDraft, d.Cause.Seq)}
		}
		if err := CheckHook(d.Hook); err != nil {
			return nil, &DraftError{"hook", fmt.Errorf("%w: %w", ErrDraft, err)}
		}
		p.deps = append(p.deps, d.Cause)
	}
	for _, id := range d.Deps {
		if id.Seq == 0 || id.Seq > maxSeq {
			return nil, &DraftError{"deps", fmt.Errorf("%w: seq %d", ErrDraft, id.Seq)}
		}
	}
	p.deps = append(p.deps, d.Deps...)
	slices.SortFunc(p.deps, ID.Compare)
	p.deps = slices.Compact(p.deps)
	if len(p.deps) > MaxDeps {
		return nil, &DraftError{"deps", fmt.Errorf("%w: %d, at most %d", ErrTooLarge, len(p.deps), MaxDeps)}
	}
	if d.Key != "" {
		sum := sha256.Sum256(append([]byte("tidings key 1\x00"), d.Key...))
		copy(p.tag.Key[:], sum[:])
		p.tag.Content = p.content(p.deps)
	}
	return p, nil
}

// PrepareState checks a whole state that the own authority is to have of a
// subject. Append makes the delta of it: the Diff from what the authority's
// status is at that moment, so that nothing comes between. Where they are equal
// it is unchanged. The error is a *DraftError, and Append's is one where what
// changed is longer than MaxDelta.
func PrepareState(subject string, state Value) (*Prepared, error) {
	if err := CheckSubject(subject); err != nil {
		return nil, &DraftError{"subject", err}
	}
	if !state.IsObject() {
		return nil, &DraftError{"state", &DeltaError{Fault: DeltaNotObject, Detail: "not an object: a status is one at its top level"}}
	}
	return &Prepared{subject: subject, state: &state}, nil
}

// since is the draft of what changed in a whole state since a status.
func (p *Prepared) since(status Value) (*Prepared, error) {
	d := *p
	d.patch = Diff(status, *p.state)
	d.delta = d.patch.Append(nil)
	if len(d.delta) > MaxDelta {
		return nil, &DraftError{"state", fmt.Errorf("%w: what changed is %d bytes, at most %d: give its parts subjects of their own", ErrTooLarge, len(d.delta), MaxDelta)}
	}
	return &d, nil
}

// Subject is what the draft is about.
func (p *Prepared) Subject() string { return p.subject }

// Deps are the dependencies that the caller named, the cause included. The
// slice is the draft's own.
func (p *Prepared) Deps() []ID { return p.deps }

// Size is roughly what the draft takes in memory, in bytes.
func (p *Prepared) Size() int {
	size := 256 + len(p.subject) + 4*len(p.delta) + 24*len(p.deps)
	if p.state != nil {
		size += 4 * len(p.state.Append(nil))
	}
	return size
}

// depsOn are the deps of a draft for the chain of an origin: those of that chain
// are left out, as each of its updates depends on those before it.
func (p *Prepared) depsOn(own Origin) []ID {
	return slices.DeleteFunc(slices.Clone(p.deps), func(id ID) bool { return id.Origin == own })
}

// tagOn is the tag of a draft for the chain of an origin. What is left out of
// the deps is none of its content. That is rare, so Prepare has usually done
// the work.
func (p *Prepared) tagOn(own Origin) KeyTag {
	tag := p.tag
	if deps := p.depsOn(own); !tag.IsZero() && len(deps) < len(p.deps) {
		tag.Content = p.content(deps)
	}
	return tag
}

// content digests what a key stands for: the subject, the delta as a value, the
// caller's deps, the cause and the hook.
func (p *Prepared) content(deps []ID) (digest [8]byte) {
	b := []byte("tidings content 1\x00")
	for _, part := range [][]byte{[]byte(p.subject), p.patch.appendExact(nil), []byte(p.hook)} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	for _, id := range append(slices.Clone(deps), p.cause) {
		b = append(b, id.Origin[:]...)
		b = appendUint64(b, uint64(id.Seq))
	}
	sum := sha256.Sum256(b)
	copy(digest[:], sum[:])
	return digest
}
