package sim

import "github.com/tidings-mesh/tidings/chain"

// checkReads is C7: an answer to a read that asked for updates contains them.
// Else the node says "not yet", which it may say as long as it likes.
type checkReads struct{}

func (*checkReads) see(j *judge, e Event) {
	r, ok := e.(Read)
	if !ok || !r.Answered {
		return
	}
	n := j.node(r.Node)
	var missing, madeUp []chain.ID
	holds := make(map[chain.ID]bool, len(r.Holds))
	for _, id := range r.Holds {
		s := n.update(id)
		if holds[id] || n.head(id.Origin) < id.Seq || (s != nil && s.Subject != r.Subject) {
			madeUp = append(madeUp, id)
		}
		holds[id] = true
	}
	for _, id := range r.AtLeast {
		s := n.update(id)
		if n.head(id.Origin) < id.Seq || (s != nil && s.Subject == r.Subject && !holds[id]) {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		j.report("C7", missing, "a read of %s on node %d asked for updates, and was answered without", r.Subject, r.Node)
	}
	if len(madeUp) > 0 {
		j.report("C8", madeUp, "a read of %s on node %d shows what is not applied of it there", r.Subject, r.Node)
	}
}

func (*checkReads) end(*judge) {}
