package chain

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// ruleNode is a node that holds all that is published, by any origin.
type ruleNode struct {
	*modelNode
	t *testing.T
}

func newRuleNode(t *testing.T) *ruleNode { return &ruleNode{newModelNode(), t} }

// publish applies an update that comes last, with exactly these deps.
func (n *ruleNode) publish(o Origin, delta string, deps ...ID) ID {
	n.t.Helper()
	return n.publishOn(modelSubject, o, delta, deps...)
}

func (n *ruleNode) publishOn(subject string, o Origin, delta string, deps ...ID) ID {
	n.t.Helper()
	u := modelUpdate(ID{o, n.head[o] + 2}, n.clock.Millis()+1, delta, deps...)
	u.Subject = subject
	if !n.ready(u) {
		n.t.Fatalf("%s is not ready", u.ID)
	}
	if err := n.apply(u); err != nil {
		n.t.Fatal(err)
	}
	return u.ID
}

// wantConflicts compares conflicts, each as its path and the values written.
func (n *ruleNode) wantConflicts(want ...string) {
	n.t.Helper()
	got := []string{}
	for _, c := range n.state.Conflicts() {
		line := c.Path
		for _, w := range c.Writes {
			if w.Deleted {
				line += " deleted"
			} else {
				line += " " + w.Value.String()
			}
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		n.t.Errorf("conflicts %q, want %q", got, want)
	}
	if got, want := string(n.state.AppendView(nil)), n.updates().view(); got != want {
		n.t.Errorf("view\n%s, want\n%s", got, want)
	}
}

func (n *ruleNode) wantHeads(want ...ID) {
	n.t.Helper()
	slices.SortFunc(want, ID.Compare)
	if got := n.state.Heads(); !slices.Equal(got, want) {
		n.t.Errorf("heads %v, want %v", got, want)
	}
}

// x published on another subject after it had applied y's update: its chain has
// seen that, but no update of this subject has. Taken as covered, it would be
// named by no later update of x, would stay a head and its conflict open for
// ever.
func TestRule5_CoveredIsByTheOwnPreviousUpdateOfTheSubject(t *testing.T) {
	x, y := modelOrigin(0), modelOrigin(1)
	n := newRuleNode(t)
	x2 := n.publish(x, `{"a":1}`)
	y2 := n.publish(y, `{"a":2}`)
	n.publishOn("other", x, `{}`, y2)
	n.wantHeads(x2, y2)
	n.wantConflicts("/a 2 1")
	deps := n.state.Attach(x, nil, MaxDeps)
	if !slices.Equal(deps, []ID{y2}) {
		t.Fatalf("attached %v, want %v", deps, y2)
	}
	x4 := n.publish(x, `{"a":3}`, deps...)
	n.wantHeads(x4)
	n.wantConflicts()
	if deps := n.state.Attach(x, nil, MaxDeps); len(deps) > 0 {
		t.Errorf("attached %v again", deps)
	}
}

// The same without an own update on the subject between: nothing is attached
// but heads, and only those of other chains.
func TestRule5_WhatIsSeenIsNotAttached(t *testing.T) {
	x, y, z := modelOrigin(0), modelOrigin(1), modelOrigin(2)
	n := newRuleNode(t)
	x2 := n.publish(x, `{"a":1}`)
	y2 := n.publish(y, `{"b":1}`, x2)
	z2 := n.publish(z, `{"c":1}`)
	for _, test := range []struct {
		self    Origin
		callers []ID
		most    int
		want    []ID
	}{
		{x, nil, 64, []ID{y2, z2}}, // oldest first
		{x, nil, 1, []ID{y2}},
		{x, nil, 0, nil},
		{x, nil, -1, nil},
		{y, nil, 64, []ID{z2}},
		{z, nil, 64, []ID{y2}}, // x2 was seen by y2
		{z, []ID{y2}, 64, nil},
		{modelOrigin(3), []ID{x2}, 64, []ID{y2, z2}},
	} {
		got := n.state.Attach(test.self, test.callers, test.most)
		if !slices.Equal(got, test.want) {
			t.Errorf("Attach(%s, %v, %d) = %v, want %v", test.self, test.callers, test.most, got, test.want)
		}
	}
}

// With more heads than an update can name, the oldest are named and the others
// stay heads, to be named by a later one.
func TestRule5_HeadsBeyondTheBoundStay(t *testing.T) {
	n := newRuleNode(t)
	var ids []ID
	for i := range MaxDeps + 6 {
		// Their times run against the order of their origins.
		ids = append(ids, n.publish(modelOrigin(MaxDeps+6-i), `{"a":1}`))
	}
	x := modelOrigin(100)
	caller := ids[len(ids)-1]
	deps := append(n.state.Attach(x, []ID{caller}, MaxDeps-1), caller)
	if want := append(slices.Clone(ids[:MaxDeps-1]), caller); !slices.Equal(deps, want) {
		t.Fatalf("attached %v, want the oldest", deps)
	}
	x2 := n.publish(x, `{"a":2}`, deps...)
	n.wantHeads(append(slices.Clone(ids[MaxDeps-1:len(ids)-1]), x2)...)
	rest := n.state.Attach(x, nil, MaxDeps)
	if !slices.Equal(rest, ids[MaxDeps-1:len(ids)-1]) {
		t.Fatalf("attached %v then", rest)
	}
	n.wantHeads(n.publish(x, `{"a":3}`, rest...))
}

// A dep that is not its chain's newest brings what that update had seen, not
// what its chain has seen since: else z would seem to have seen y2, and end a
// conflict that it knew nothing of.
func TestRule5_AnEarlierDepBringsItsOwnContext(t *testing.T) {
	x, y, z := modelOrigin(0), modelOrigin(1), modelOrigin(2)
	n := newRuleNode(t)
	x2 := n.publish(x, `{"x":1}`)
	y2 := n.publish(y, `{"a":1}`)
	x3 := n.publish(x, `{"x":2}`, y2)
	z2 := n.publish(z, `{"a":2,"x":3}`, x2)
	n.wantHeads(x3, z2)
	n.wantConflicts("/a 2 1", "/x 3 2")
	ctx, _, err := n.context(z2)
	if err != nil || !slices.Equal(ctx, Context{x2, z2}) {
		t.Errorf("context %v, %v", ctx, err)
	}
}

// A dep on an update of another subject brings nothing, though that one had
// seen updates of this subject: a context holds only what is found by reading
// this subject.
func TestRule5_DepsOnOtherSubjectsBringNothing(t *testing.T) {
	x, y, z := modelOrigin(0), modelOrigin(1), modelOrigin(2)
	n := newRuleNode(t)
	y2 := n.publish(y, `{"a":1}`)
	other := n.publishOn("other", x, `{}`, y2)
	z2 := n.publish(z, `{"a":2}`, other)
	n.wantHeads(y2, z2)
	n.wantConflicts("/a 2 1")
	// Also where that chain's later update is of this subject.
	n.publish(x, `{"b":1}`)
	z3 := n.publish(z, `{"a":3}`, other)
	n.wantHeads(y2, ID{x, 3}, z3)
	n.wantConflicts("/a 3 1")
}

// z had seen both writes, so there is one head; but it wrote elsewhere, and
// which of the two holds is as open as before. Conflicts taken from heads alone
// would vanish.
func TestRule6_OnlyAWriteThereEndsIt(t *testing.T) {
	x, y, z := modelOrigin(0), modelOrigin(1), modelOrigin(2)
	n := newRuleNode(t)
	x2 := n.publish(x, `{"a":1}`)
	y2 := n.publish(y, `{"a":2}`)
	z2 := n.publish(z, `{"b":3,"a-b":4}`, x2, y2)
	n.wantHeads(z2)
	n.wantConflicts("/a 2 1")
	// A write there by one who had seen only one of them does not end it.
	n.publish(modelOrigin(3), `{"a":3}`, y2)
	n.wantConflicts("/a 3 1")
	n.publish(x, `{"a":1}`, n.state.Attach(x, nil, MaxDeps)...)
	n.wantConflicts()
}

// Two authorities say the same, in other words: nothing to decide.
func TestRule6_EqualValuesAgree(t *testing.T) {
	x, y, z := modelOrigin(0), modelOrigin(1), modelOrigin(2)
	n := newRuleNode(t)
	n.publish(x, `{"a":1.0,"b":{},"c":[{"x":1}],"d":null}`)
	n.publish(y, `{"a":10e-1,"b":{},"c":[{"x":1e0}],"d":null}`)
	n.wantConflicts()
	// With a third that differs, both are among what was written.
	n.publish(z, `{"a":2,"d":{}}`)
	n.wantConflicts("/a 2 10e-1 1.0", "/d {} deleted deleted")
}

// A removal, or a scalar, wipes what another wrote below it, though no path was
// written twice. It is listed once, under the upper path.
func TestRule6_AncestorsConflict(t *testing.T) {
	x, y, z := modelOrigin(0), modelOrigin(1), modelOrigin(2)
	n := newRuleNode(t)
	n.publish(x, `{"a":{"b":1,"c":{"d":2}}}`)
	n.publish(z, `{"a":{"b":5},"a-b":6}`)
	n.wantConflicts("/a/b 5 1")
	y2 := n.publish(y, `{"a":null}`)
	n.wantConflicts(`/a deleted {"b":5} {"b":1,"c":{"d":2}}`)
	// A write below by one who had seen the removal ends the removal, and the
	// conflict below it shows again.
	n.publish(modelOrigin(3), `{"a":{"e":7}}`, y2)
	n.wantConflicts("/a/b 5 1")
}

// {} leaves what is below as it is.
func TestRule6_AnEmptyObjectIsNotInTheWay(t *testing.T) {
	x, y, z := modelOrigin(0), modelOrigin(1), modelOrigin(2)
	n := newRuleNode(t)
	n.publish(x, `{"a":{"b":1}}`)
	n.publish(y, `{"a":{}}`)
	n.wantConflicts()
	n.publish(z, `{"a":[]}`)
	n.wantConflicts(`/a [] {} {"b":1}`)
}

// An empty delta writes nothing, so it ends nothing.
func TestRule6_AnEmptyDeltaIsNoWrite(t *testing.T) {
	x, y := modelOrigin(0), modelOrigin(1)
	n := newRuleNode(t)
	n.publish(x, `{"a":1}`)
	n.publish(y, `{"a":2}`)
	n.publish(x, `{}`, n.state.Attach(x, nil, MaxDeps)...)
	n.wantConflicts("/a 2 1")
}

// unchanged asks for the authority of an origin.
func (n *ruleNode) unchanged(o Origin, delta string) bool {
	n.t.Helper()
	return n.state.Unchanged(modelAuthority(o), parsed(n.t, delta))
}

// x says again what it said before. Its own status would stay, but y has said
// something else since: dropped, x's word would never come to show.
func TestRule14_TheStitchedStatusCounts(t *testing.T) {
	x, y := modelOrigin(0), modelOrigin(1)
	n := newRuleNode(t)
	x2 := n.publish(x, `{"a":1}`)
	if !n.unchanged(x, `{"a":1.0}`) || !n.unchanged(x, `{}`) || !n.unchanged(x, `{"b":null}`) {
		t.Error("a repetition is meant to be unchanged")
	}
	n.publish(y, `{"a":2}`, x2)
	if n.unchanged(x, `{"a":1}`) {
		t.Error("it would alter the status")
	}
}

// y says what the status says already, by x. Dropped, y would never have said
// it: not in its own status, and not when x changes its mind.
func TestRule14_TheOwnStatusCounts(t *testing.T) {
	x, y := modelOrigin(0), modelOrigin(1)
	n := newRuleNode(t)
	n.publish(x, `{"a":1}`)
	if n.unchanged(y, `{"a":1}`) {
		t.Error("it would alter y's own status")
	}
	if !n.unchanged(y, `{"b":null}`) {
		t.Error("a removal of nothing is unchanged")
	}
}

// y repeats its word once it has seen x's other one. Both statuses would stay,
// for y's shows; but that is how y decides the conflict.
func TestRule14_AnOpenConflictCounts(t *testing.T) {
	x, y := modelOrigin(0), modelOrigin(1)
	n := newRuleNode(t)
	n.publish(x, `{"a":{"b":1},"z":1}`)
	n.publish(y, `{"a":{"b":2,"c":{}},"z":1}`)
	for delta, want := range map[string]bool{
		`{"a":{"b":2}}`: false, // at
		`{"a":{}}`:      false, // above
		`{"z":1}`:       true,
		`{}`:            true,
	} {
		if got := n.unchanged(y, delta); got != want {
			t.Errorf("%s: unchanged is %v", delta, got)
		}
	}
	n.publish(y, `{"a":{"b":2}}`, n.state.Attach(y, nil, MaxDeps)...)
	n.wantConflicts()
	if !n.unchanged(y, `{"a":{"b":2}}`) {
		t.Error("the conflict has ended")
	}
	// Below a path in conflict.
	n.publish(x, `{"q":{"r":{"s":1}}}`)
	n.publish(y, `{"q":{"r":null}}`)
	if n.unchanged(y, `{"q":{"r":{"s":null}}}`) {
		t.Error("it would make /q/r an object")
	}
	n.publish(x, `{"v":1}`)
	n.publish(y, `{"v":{}}`)
	if n.unchanged(y, `{"v":{"w":null}}`) {
		t.Error("it decides the conflict of /v, from below")
	}
	if n.unchanged(y, `{"q":{"r":null}}`) {
		t.Error("it decides the conflict of /q/r")
	}
}

// Unchanged is what the model says, and then adding the delta anyhow would have
// shown nothing new.
func TestRule14_IsTheModels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := modelHistory(20).Draw(t, "history")
		n := newModelNode()
		us.deliver(t, n, func(*Update) {})
		text := modelDelta(3).Draw(t, "delta")
		o := modelOrigin(rapid.IntRange(0, 3).Draw(t, "origin"))
		delta := parsedRapid(t, text)
		if n.late && n.state.Unchanged(modelAuthority(o), delta) {
			t.Fatal("a stale state says unchanged")
		}
		if err := n.refold(); err != nil {
			t.Fatal(err)
		}
		got := n.state.Unchanged(modelAuthority(o), delta)

		var view modelView
		decoder := json.NewDecoder(strings.NewReader(us.view()))
		decoder.UseNumber()
		if err := decoder.Decode(&view); err != nil {
			t.Fatal(err)
		}
		own := any(map[string]any{})
		if one, ok := view.Authorities[modelAuthority(o)]; ok {
			own = one.Status
		}
		patch := modelParse([]byte(text))
		want := modelEqual(own, modelMerge(own, patch)) && modelEqual(view.Status, modelMerge(view.Status, patch))
		for _, w := range modelWrites(&Update{Delta: []byte(text)}) {
			for _, group := range us.contested() {
				want = want && !slices.ContainsFunc(group, func(x modelWrite) bool { return modelMeet(w.path, x.path) })
			}
		}
		if got != want {
			t.Fatalf("%s on\n%s\nunchanged is %v, want %v", text, us.view(), got, want)
		}
	})
}
