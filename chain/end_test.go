package chain

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestEndDelta(t *testing.T) {
	w, p := modelOrigin(1), modelOrigin(2) // warehouse, pay"ments
	type said struct {
		by    Origin
		delta string
	}
	for _, c := range []struct {
		name      string
		said      []said
		authority string
		want      string
	}{
		{"nothing said", nil, "warehouse", `{}`},
		{"another's", []said{{p, `{"a":1}`}}, "warehouse", `{}`},
		{"own", []said{{w, `{"a":1,"b":{"c":2,"d":{}},"e/f":[1]}`}}, "warehouse", `{"a":null,"b":null,"e/f":null}`},
		{"own, removed already", []said{{w, `{"a":1}`}, {w, `{"a":null}`}}, "warehouse", `{}`},
		{"a shared object", []said{{w, `{"a":{"b":1,"c":2}}`}, {p, `{"a":{"d":3}}`}}, "warehouse", `{"a":{"b":null,"c":null}}`},
		{"a shared object, the other's part", []said{{w, `{"a":{"b":1,"c":2}}`}, {p, `{"a":{"d":3}}`}}, "pay\"ments", `{"a":{"d":null}}`},
		{"written over by another", []said{{w, `{"a":1,"b":1}`}, {p, `{"a":2}`}}, "warehouse", `{"b":null}`},
		{"written over by another, who ends", []said{{w, `{"a":1,"b":1}`}, {p, `{"a":2}`}}, "pay\"ments", `{"a":null}`},
		{"what a removal has left", []said{{w, `{"a":{"b":1}}`}, {p, `{"a":{"b":null}}`}}, "pay\"ments", `{"a":null}`},
		{"an object written to no effect", []said{{w, `{"a":{"b":1,"c":{}}}`}, {p, `{"a":{}}`}}, "warehouse", `{"a":null}`},
		{"said by another too, since", []said{{w, `{"a":1}`}, {p, `{"a":1}`}}, "warehouse", `{}`},
		{"said by another too, before", []said{{p, `{"a":1}`}, {w, `{"a":1}`}}, "warehouse", `{"a":null}`},
		{"what removals by both have left", []said{{w, `{"a":{"b":1,"c":1}}`}, {p, `{"a":{"b":null,"d":1}}`}, {w, `{"a":{"c":null,"d":null}}`}}, "warehouse", `{"a":null}`},
		{"a key like another's path", []said{{w, `{"a":{"b":1}}`}, {p, `{"a/b":1,"a-b":1}`}}, "warehouse", `{"a":null}`},
	} {
		n := newRuleNode(t)
		var last []ID
		for _, s := range c.said {
			deps := last
			if len(last) > 0 && last[0].Origin == s.by {
				deps = nil
			}
			last = []ID{n.publish(s.by, s.delta, deps...)}
		}
		if got := string(EndDelta(n.state, c.authority)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestEndDeltaOfAConflict(t *testing.T) {
	n := newRuleNode(t)
	n.publish(modelOrigin(1), `{"a":1}`)
	n.publish(modelOrigin(2), `{"a":2}`)
	for authority, want := range map[string]string{"warehouse": `{}`, "pay\"ments": `{"a":null}`} {
		if got := string(EndDelta(n.state, authority)); got != want {
			t.Errorf("%s: %s, want %s: the status shows the later write", authority, got, want)
		}
	}
}

// A write that lost to one that had not seen it stays live where that one is not
// any more, since a third has written {} above. It made nothing of the status.
func TestEndDeltaOfALeafWithoutItsWrite(t *testing.T) {
	n := newRuleNode(t)
	n.publish(modelOrigin(2), `{"a":{"b":0}}`)
	won := n.publish(modelOrigin(1), `{"a":{"b":1}}`)
	n.publish(modelOrigin(0), `{"a":{}}`, won)
	for authority, want := range map[string]string{"pay\"ments": `{}`, "fleet": `{}`, "warehouse": `{"a":null}`} {
		if got := string(EndDelta(n.state, authority)); got != want {
			t.Errorf("%s: %s, want %s; the status is %s", authority, got, want, n.state.Status())
		}
	}
}

// What one authority ends takes nothing of another's away, and once all have
// ended nothing is left, whatever was said and in whatever order they end.
func TestEndDeltaProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := modelHistory(30).Draw(t, "history")
		n := newModelNode()
		us.deliver(t, n, func(*Update) {})
		if err := n.refold(); err != nil {
			t.Fatal(err)
		}
		for _, authority := range rapid.Permutation(n.state.Authorities()).Draw(t, "order") {
			winners, err := Winners(n.updates().stitched().each())
			if err != nil {
				t.Fatal(err)
			}
			delta := parsedRapid(t, string(EndDelta(n.state, authority)))
			after := Merge(n.state.Status(), delta)
			left := map[string]bool{}
			after.leaves(func(path []byte, v Value) { left[string(path)] = true })
			for _, x := range winners {
				if x.Value.IsObject() {
					continue // whose a {} is depends on what removed its members
				}
				var agreed []string // who has it in its own status alike
				for _, a := range n.state.authorities {
					if v, ok := a.status.at(x.Path); ok && v.Equal(x.Value) {
						agreed = append(agreed, a.name)
					}
				}
				if len(agreed) > 1 && slices.Contains(agreed, authority) {
					continue // any of them may take it
				}
				if own := x.Authority == authority; left[x.Path] == own {
					t.Fatalf("%s ends by %s: %s of %s is left: %v", authority, delta, x.Path, x.Authority, left[x.Path])
				}
			}
			var o Origin
			for i := range 4 {
				if modelAuthority(modelOrigin(i)) == authority {
					o = modelOrigin(i)
				}
			}
			u := modelUpdate(ID{o, n.head[o] + 2}, n.clock.Millis()+1, delta.String())
			u.Deps = n.state.Attach(o, nil, MaxDeps)
			if err := n.apply(u); err != nil {
				t.Fatal(err)
			}
		}
		if !n.state.Empty() {
			t.Fatalf("all have ended, and the status is %s", n.state.Status())
		}
	})
}
