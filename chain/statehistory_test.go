package chain

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"
)

// modelNode is a node as far as one subject needs it: a state and an index.
type modelNode struct {
	state   *State
	index   map[Stamp][]byte
	applied map[ID]*Update
	head    map[Origin]Seq
	clock   HLC
	late    bool
}

func newModelNode() *modelNode {
	return &modelNode{state: NewState(modelSubject), index: map[Stamp][]byte{}, applied: map[ID]*Update{}, head: map[Origin]Seq{}}
}

func (n *modelNode) ready(u *Update) bool {
	if n.applied[u.ID] != nil || n.head[u.ID.Origin]+1 != max(u.ID.Seq, 2)-1 {
		return false
	}
	for _, id := range u.Deps {
		if n.applied[id] == nil {
			return false
		}
	}
	return true
}

func (n *modelNode) context(id ID) (Context, bool, error) {
	u := n.applied[id]
	if u == nil || u.Subject != modelSubject {
		return nil, false, nil
	}
	reads := 0
	ctx, err := ResolveContext(u.Stamp(), func(at Stamp) ([]byte, error) {
		if reads++; reads > 16 {
			return nil, fmt.Errorf("read %d entries", reads)
		}
		return n.index[at], nil
	})
	return ctx, true, err
}

// apply takes an update that is ready.
func (n *modelNode) apply(u *Update) error {
	n.applied[u.ID] = u
	n.head[u.ID.Origin] = u.ID.Seq - 1
	n.clock = max(n.clock, u.HLC)
	if u.Subject != modelSubject {
		return nil
	}
	ctx, entry, err := n.state.Context(u, n.context)
	if err != nil {
		return err
	}
	n.index[u.Stamp()] = entry
	n.late, err = n.state.Add(u, modelAuthority(u.ID.Origin), ctx)
	return err
}

func (n *modelNode) updates() (us modelUpdates) {
	for _, u := range n.applied {
		us = append(us, u)
	}
	slices.SortFunc(us, func(a, b *Update) int { return a.Stamp().Compare(b.Stamp()) })
	return us
}

func (n *modelNode) refold() error {
	if !n.late {
		return nil
	}
	n.late = false
	us := n.updates().stitched()
	after, count := n.state.LateAfter()
	if after.IsZero() {
		return n.state.Refold(nil, us.each())
	}
	us = slices.DeleteFunc(us, func(u *Update) bool { return u.Stamp().Compare(after) <= 0 })
	if len(us) != int(count) {
		return fmt.Errorf("%d updates after %v, %d said", len(us), after, count)
	}
	return n.state.RefoldLate(us.each())
}

// modelHistory draws what a few nodes publish while they learn of each other's
// updates at random, with clocks that differ, on the subject and on another.
func modelHistory(steps int) *rapid.Generator[modelUpdates] {
	return rapid.Custom(func(t *rapid.T) modelUpdates {
		nodes := make([]*modelNode, rapid.IntRange(2, 4).Draw(t, "origins"))
		skew := make([]int64, len(nodes))
		for i := range nodes {
			nodes[i] = newModelNode()
			skew[i] = rapid.Int64Range(0, 20).Draw(t, "skew")
		}
		var all modelUpdates
		for step := range rapid.IntRange(2, steps).Draw(t, "steps") {
			at := rapid.IntRange(0, len(nodes)-1).Draw(t, "node")
			n := nodes[at]
			if rapid.IntRange(0, 2).Draw(t, "learn") > 0 {
				for _, u := range all {
					if n.ready(u) && rapid.IntRange(0, 3).Draw(t, "take") > 0 {
						if err := n.apply(u); err != nil {
							t.Fatal(err)
						}
					}
				}
				continue
			}
			o := modelOrigin(at)
			u := modelUpdate(ID{o, n.head[o] + 2}, 0, modelDelta(3).Draw(t, "delta"))
			u.HLC, _ = n.clock.Next(skew[at] + int64(step))
			for _, d := range all {
				if len(u.Deps) < 2 && d.ID.Origin != o && n.applied[d.ID] != nil && rapid.IntRange(0, 3).Draw(t, "caller's") == 0 {
					u.Deps = append(u.Deps, d.ID)
				}
			}
			if rapid.IntRange(0, 4).Draw(t, "subject") == 0 {
				u.Subject = "other"
			} else {
				most := rapid.SampledFrom([]int{0, 1, MaxDeps, MaxDeps}).Draw(t, "most")
				u.Deps = append(u.Deps, n.state.Attach(o, u.Deps, most)...)
			}
			slices.SortFunc(u.Deps, ID.Compare)
			if err := n.apply(u); err != nil {
				t.Fatal(err)
			}
			all = append(all, u)
		}
		return all
	})
}

// deliver applies all updates in a random causal order, and calls each after
// every one.
func (us modelUpdates) deliver(t *rapid.T, n *modelNode, each func(u *Update)) {
	for left := slices.Clone(us); len(left) > 0; {
		var ready []int
		for i, u := range left {
			if n.ready(u) {
				ready = append(ready, i)
			}
		}
		i := rapid.SampledFrom(ready).Draw(t, "next")
		u := left[i]
		left = slices.Delete(left, i, i+1)
		if err := n.apply(u); err != nil {
			t.Fatal(err)
		}
		each(u)
	}
}
