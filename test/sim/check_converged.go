package sim

import (
	"maps"
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// checkConverged is C9: once faults have healed, all that live become the same
// within a bounded time; and at no time does a node say that it is converged while
// it has not applied what a live member told it more than a second ago.
type checkConverged struct{}

func (*checkConverged) see(j *judge, e Event) {
	said, ok := e.(SaidConverged)
	if !ok {
		return
	}
	n := j.node(said.Node)
	for _, o := range said.Reported.Origins() {
		want := said.Reported[o]
		if after, ok := n.frozen[o]; ok {
			want = min(want, after)
		}
		if have := n.head(o); have < want {
			j.report("C9", []chain.ID{{Origin: o, Seq: want}}, "node %d says that it is converged, and has applied %d of what it was told of", said.Node, have)
		}
	}
}

func (*checkConverged) end(j *judge) {
	h := j.h
	switch took := h.ConvergedAt - h.HealedAt; {
	case h.ConvergedAt == 0:
		j.report("C9", nil, "not converged within %s", h.ConvergeWithin)
	case took > h.ConvergeWithin:
		j.report("C9", nil, "converged after %s, not within %s", took, h.ConvergeWithin)
	case took < 0:
		j.report("C9", nil, "found converged %s before faults had healed", -took)
	}
	looked := map[int]bool{}
	for i, f := range j.finals {
		if !j.node(f.Node).up {
			j.report("C9", nil, "node %d is looked at in the end, and does not run", f.Node)
		}
		if looked[f.Node] {
			j.report("C9", nil, "node %d is looked at twice in the end", f.Node)
		}
		looked[f.Node] = true
		if first := j.finals[0]; i > 0 && h.ConvergedAt != 0 && (standingOf(first) != standingOf(f) || first.Root != f.Root) {
			j.report("C9", nil, "nodes %d and %d are not converged in the end", first.Node, f.Node)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(j.nodes)) {
		if j.nodes[node].up && !looked[node] {
			j.report("C9", nil, "node %d runs, and is not looked at in the end", node)
		}
	}
}
