package chain

import (
	"fmt"
	"slices"
)

// Context is the causal context of an update of the subject that is about to
// be added, and the bytes that the subject's index keeps for it: what its own
// chain's previous update on the subject had seen, and its deps on the subject,
// and what these had seen. Deps on other subjects bring nothing.
//
// earlier returns the context of a dep that is not the newest of its origin,
// and false if that dep is on another subject or not applied (beyond a freeze).
func (s *State) Context(u *Update, earlier func(ID) (Context, bool, error)) (Context, []byte, error) {
	ctx, entry, err := s.context(u, earlier)
	if err != nil {
		return nil, nil, err
	}
	return ctx, entry.append(nil, u.Stamp()), nil
}

func (s *State) context(u *Update, earlier func(ID) (Context, bool, error)) (Context, contextEntry, error) {
	var all gathered
	var own *stateTip
	if i, ok := s.tip(u.ID.Origin); ok {
		own = &s.tips[i]
		all.seen = own.context
	}
	if err := s.follows(u, own); err != nil {
		return nil, contextEntry{}, err
	}
	for _, id := range u.Deps {
		if all.seen.Covers(id) {
			// If it is of this subject, all that it had seen is covered too.
			continue
		}
		if i, ok := s.tip(id.Origin); !ok || s.tips[i].id.Seq < id.Seq {
			continue // not of this subject, or not applied
		}
		if t, ok := s.tipOf(id); ok {
			all.add(t.context)
			continue
		}
		ctx, ok, err := earlier(id)
		if err != nil {
			return nil, contextEntry{}, fmt.Errorf("context of %s: %w", id, err)
		}
		if ok {
			all.add(ctx)
		}
	}
	ctx := all.with(u.ID)
	return ctx, contextEntryOf(u, ctx, own), nil
}

// Attach are the deps that an update of self is to have beside those that its
// caller named: the subject's heads on other chains, oldest first, at most
// most. What self's own previous update on the subject has seen, or a caller's
// dep, is no head.
func (s *State) Attach(self Origin, callers []ID, most int) []ID {
	var found []Stamp
	for _, i := range s.heads() {
		if t := &s.tips[i]; t.id.Origin != self && !slices.Contains(callers, t.id) {
			found = append(found, t.stamp())
		}
	}
	slices.SortFunc(found, Stamp.Compare)
	found = found[:min(len(found), max(most, 0))]
	ids := make([]ID, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	return ids
}

// Heads are the updates that no other update of the subject has seen, sorted.
func (s *State) Heads() []ID {
	heads := s.heads()
	ids := make([]ID, len(heads))
	for i, h := range heads {
		ids[i] = s.tips[h].id
	}
	return ids
}

// heads are the places of the tips that no other tip has seen. An update that
// was seen at all was seen by the tip of whatever chain saw it.
func (s *State) heads() []int {
	seen := make([]bool, len(s.tips))
	for i := range s.tips {
		s.eachSeen(i, func(j int, seq Seq) {
			seen[j] = seen[j] || (j != i && seq == s.tips[j].id.Seq)
		})
	}
	var heads []int
	for i := range seen {
		if !seen[i] {
			heads = append(heads, i)
		}
	}
	return heads
}

// eachSeen calls yield for each origin in the context of a tip, with the place
// of that origin's own tip.
func (s *State) eachSeen(tip int, yield func(j int, seq Seq)) {
	j := 0
	for _, id := range s.tips[tip].context {
		for j < len(s.tips) && s.tips[j].id.Origin.Compare(id.Origin) < 0 {
			j++
		}
		if j < len(s.tips) && s.tips[j].id.Origin == id.Origin {
			yield(j, id.Seq)
		}
	}
}
