package sim

import (
	"math"
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// lost is C1: what was acknowledged is applied on every node that lives at the
// end, unless a freeze took it back, or it was lost as excused says. It must be
// the update of that draft: another one in its place is a loss.
func (c *checkAcked) lost(j *judge) {
	reported := map[chain.ID]bool{}
	for i := range c.acks {
		a := &c.acks[i]
		c.counted(j, a)
		if reported[a.ID] || above(j.frozen, a.ID) {
			continue
		}
		var without []int
		for _, f := range j.finals {
			if s := logged(f.logs[a.ID.Origin], a.ID.Seq); s == nil || s.Draft != a.Draft {
				without = append(without, f.Node)
			}
		}
		if len(without) == 0 || (len(without) == len(j.finals) && c.excused(j, a)) {
			continue
		}
		reported[a.ID] = true
		j.reportDraft("C1", a.Draft, one(a.ID), "acknowledged (acks %d), and not applied on nodes %v", a.Acks, without)
	}
}

// takes are the nodes that applied the acknowledged update.
func (c *checkAcked) takes(j *judge, a *judgedAck) []judgedTake {
	for _, s := range j.sighted[a.ID] {
		if s.Draft == a.Draft {
			return s.takes
		}
	}
	return nil
}

// judgedDisk is a node's disk until it is lost or set back: era counts that.
type judgedDisk struct{ node, era int }

// holders are the disks that the acknowledgement may have counted, with the
// position at which each began to hold: those of nodes that had applied the
// update by then, and that of the one that answered. A disk that was lost before
// the answer is among them: its node may have reported that it held the update,
// and the one that answered need not know what became of it.
func (c *checkAcked) holders(j *judge, a *judgedAck) map[judgedDisk]int {
	holders := map[judgedDisk]int{}
	for _, t := range c.takes(j, a) {
		if t.durable && t.pos < a.pos {
			holders[j.diskOf(t.life.node, t.pos)] = t.pos
		}
	}
	if a.durable {
		holders[j.diskOf(a.Node, a.pos)] = a.pos
	}
	return holders
}

func (j *judge) diskOf(node, pos int) judgedDisk { return judgedDisk{node, j.eraOf(node, pos)} }

// counted holds the number in an acknowledgement to the nodes that could be
// counted: one that lost its disk and took the update again is one.
func (c *checkAcked) counted(j *judge, a *judgedAck) {
	nodes := map[int]bool{}
	for disk := range c.holders(j, a) {
		nodes[disk.node] = true
	}
	if n := len(nodes); a.Acks > n {
		j.reportDraft("C1", a.Draft, one(a.ID), "acknowledged by %d nodes, when %d with a disk had it", a.Acks, n)
	}
}

// excused reports whether an update that no node has at the end may be gone:
// there was a moment after the answer when
//
//   - no node had it: from when a node applies an update it has it, to the end
//     of that life, and on through the next one if it says at its start that it
//     still has it; and
//   - all the disks that the acknowledgement counted may have lost it: one that
//     counted loses it when it is lost or set back, or when its node stops for
//     good. Which counted is not told, only how many: that of the node that
//     answered, if it has one, and others out of those that could. So all may
//     have lost it if no more than those that were not counted still hold it.
//
// A node in memory counts for nothing, so its own acknowledgement (acks 0)
// promises the update only as long as some node has it.
func (c *checkAcked) excused(j *judge, a *judgedAck) bool {
	holders := c.holders(j, a)
	moments := []int{a.pos}
	promised := map[judgedDisk]int{} // until when each that could be counted holds it
	for disk, from := range holders {
		until := j.keepsUntil(disk.node, from)
		promised[disk] = until
		moments = append(moments, until)
	}
	type span struct{ from, until int }
	var spans []span
	for _, t := range c.takes(j, a) {
		s := span{t.pos, j.hasUntil(t.life, a.ID)}
		spans = append(spans, s)
		moments = append(moments, s.until)
	}
	return slices.ContainsFunc(moments, func(at int) bool {
		if at < a.pos || at == math.MaxInt {
			return false
		}
		if slices.ContainsFunc(spans, func(s span) bool { return s.from <= at && at < s.until }) {
			return false
		}
		if a.durable && a.Acks > 0 && promised[j.diskOf(a.Node, a.pos)] > at {
			return false
		}
		left := 0
		for _, until := range promised {
			if until > at {
				left++
			}
		}
		return left <= len(holders)-a.Acks
	})
}

// keepsUntil is the position at which a node loses what it held durably at
// another: its disk is lost, or it stops for good.
func (j *judge) keepsUntil(node, from int) int {
	for _, pos := range j.losses[node] {
		if pos > from {
			return pos
		}
	}
	return j.stopsAt(node)
}

// stopsAt is the position at which the node's last life ended.
func (j *judge) stopsAt(node int) int {
	opens := j.opens[node]
	if len(opens) == 0 {
		return math.MaxInt
	}
	return j.endOf(j.h.Events[opens[len(opens)-1]].(Opened).lifeOf())
}

func (j *judge) endOf(l judgedLife) int {
	if pos, ok := j.lives[l]; ok {
		return pos
	}
	return math.MaxInt
}

// hasUntil is the position up to which a node that applied an update in one
// life goes on to have it.
func (j *judge) hasUntil(l judgedLife, id chain.ID) int {
	end := j.endOf(l)
	for _, pos := range j.opens[l.node] {
		if pos < end {
			continue
		}
		next := j.h.Events[pos].(Opened)
		if !next.Applied.Has(id) {
			return end
		}
		end = j.endOf(next.lifeOf())
	}
	return end
}
