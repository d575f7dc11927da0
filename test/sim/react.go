package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/core"
)

// hook is a reaction that nodes run.
type hook struct {
	name   string
	prefix chain.Prefix
	start  bool // from the first update on
	// wants reports whether a node answers an update by that authority. The
	// checkers ask, too.
	wants func(node int, authority string, u *Update) bool
}

// hooks are what a machine runs. The first begins with what comes, the second
// with what is there. The third is run by two nodes that answer each other, for as
// long as they may.
func hooks(node int) []hook {
	all := []hook{
		{name: "answer", prefix: "hot", wants: func(_ int, _ string, u *Update) bool { return u.Draft%3 == 0 }},
		{name: "first", prefix: "cold/1", start: true, wants: func(_ int, _ string, u *Update) bool { return true }},
	}
	if node == 1 || node == 2 {
		all = append(all, hook{name: "echo", prefix: "echo", wants: func(node int, authority string, u *Update) bool {
			return node == 1 && u.Hook == "" || u.Hook == "echo" && authority == authorityOf(3-node)
		}})
	}
	return all
}

// echoed is the number of the draft that the third hook begins with.
const echoed = 7

func authorityOf(node int) string { return fmt.Sprintf("a%d", node%authorities) }

// reactor runs a hook in one life of a node, as package node does.
type reactor struct {
	hook
	p     *process
	way   *core.Reaction
	busy  bool // a trigger is with the handler, or with the writer
	saved time.Duration
	tries int
}

// noteOfPlaces is how the store's keys begin of where reactions are.
const noteOfPlaces = "preaction/"

const (
	reactEvery = 30 * time.Millisecond // how often a node looks whether there is something to react to
	saveEvery  = 300 * time.Millisecond
	retryLeast = 20 * time.Millisecond
	retryMost  = 500 * time.Millisecond
)

// settling is a settlement on its way to the writer.
type settling struct {
	settlement *core.Settlement
	synced     bool
	reply      func(core.Settled, error)
}

func (p *process) startReactors() {
	for _, h := range hooks(p.m.index) {
		p.reactors = append(p.reactors, &reactor{hook: h, p: p})
	}
	p.every(reactEvery, func() bool {
		for _, r := range p.reactors {
			if p.own && p.clocks && p.caughtUp && !r.busy && p.archive.Failed() == nil {
				r.step()
			}
		}
		return true
	})
}

// settle has the writer commit a settlement.
func (r *reactor) settle(s *core.Settlement, synced bool, reply func(core.Settled)) {
	r.busy = true
	r.p.settles = append(r.p.settles, &settling{s, synced, func(out core.Settled, err error) {
		if err == nil { // else its store failed
			r.busy = false
			reply(out)
		}
	}})
	r.p.kick()
}

func (r *reactor) step() {
	if r.way == nil {
		r.begin()
		return
	}
	t, _, err := r.way.Next(context.Background())
	r.p.must(err)
	switch {
	case t != nil:
		r.busy = true
		r.p.after(between(r.p.w.rand.load, 0, 20*time.Millisecond), func() { r.answer(t) })
	case r.way.Unsaved() && r.p.w.now-r.saved >= saveEvery:
		r.settle(r.way.Save(), false, func(core.Settled) { r.way.Saved() })
		r.saved = r.p.w.now
	}
}

// begin finds the place. One that is new is durable before anything is done.
func (r *reactor) begin() {
	p := r.p
	way, from, _, err := core.OpenReaction(context.Background(), core.ReactionConfig{
		Archive: p.archive, Authority: p.m.authority, Hook: r.name, Prefix: r.prefix, FromStart: r.start,
	})
	p.must(err)
	if p.w.has(LostPlaceAtEnd) && from == core.FromAnswers {
		maps.Copy(way.Place().Frontier, p.archive.Frontier())
	}
	began := func(core.Settled) {
		r.way = way
		p.w.record(Reacts{
			Moment: p.moment(), Hook: r.name, New: from != core.GoesOn, Lost: from == core.FromAnswers, Place: way.Place().Frontier.Clone(),
		})
		p.w.note("reacts", p.m.index, uint64(from), uint64(len(way.Place().Frontier)))
		p.w.say(p.m.index, "reaction %s begins as %d", r.name, from)
	}
	if from == core.GoesOn {
		began(core.Settled{})
		return
	}
	way.Saved()
	r.settle(way.Save(), true, began)
}

// answer is the handler, which fails now and then, and what comes of it.
func (r *reactor) answer(t *core.Trigger) {
	p, u := r.p, updateOf(t.Update)
	switch {
	case chance(p.w.rand.load, 8):
		r.again()
		return
	case !r.wants(p.m.index, t.Authority, &u):
		r.pass()
		return
	}
	subject := "answers/" + p.m.name
	if r.prefix == "echo" {
		subject = "echo/0"
	}
	d := chain.Draft{Subject: subject, Delta: fmt.Appendf(nil, `{"by":%d,"to":"%s"}`, p.m.index, u.ID)}
	if p.w.has(PlaceFirst) {
		r.placeFirst(t, d)
		return
	}
	s, err := r.way.Settle(t, d)
	p.must(err)
	r.settle(s, false, func(out core.Settled) {
		p.w.note("settled", p.m.index, bit(out.Moved), bit(out.Err != nil), uint64(out.By.Seq), uint64(out.Receipt.ID.Seq))
		if !out.Moved {
			p.w.say(p.m.index, "reaction %s to %s waits: %v", r.name, u.ID, out.Err)
			r.again()
			return
		}
		r.way.Saved()
		r.pass()
	})
}

func (r *reactor) pass() {
	r.way.Pass()
	r.busy, r.tries = false, 0
}

// again comes back to the same trigger after a while.
func (r *reactor) again() {
	r.busy = true
	r.p.after(min(retryLeast<<min(r.tries, 8), retryMost), func() { r.busy = false })
	r.tries++
}

// placeFirst is the defect: the place is committed, and then the draft.
func (r *reactor) placeFirst(t *core.Trigger, d chain.Draft) {
	r.way.Pass()
	r.settle(r.way.Save(), true, func(core.Settled) {
		d.Cause, d.Hook = t.Update.ID, r.name
		prepared, err := chain.Prepare(d)
		r.p.must(err)
		r.p.outbox = append(r.p.outbox, &draft{prepared, func(chain.Receipt, error) {}})
		r.p.kick()
	})
}

// reacted reports whether all reactions have come to the end.
func (p *process) reacted() bool {
	return !slices.ContainsFunc(p.reactors, func(r *reactor) bool {
		return r.busy || r.way == nil || core.LagOf(r.way.Place().Frontier, p.archive.Frontier()) > 0
	})
}
