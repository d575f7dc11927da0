// Package gossip gets every run of every chain to every node of a mesh, and
// knows who is in it.
//
// NewExchange gives an Exchange, which needs two things: a Transport, which is who is
// in the mesh and a stream to each of them, and a Ledger, which is what gossip
// needs of a node. Over makes the real transport: membership by serf, and TLS
// 1.3 streams bound to the chains' keys and to the mesh key, all through one
// port. A Hub connects nodes of one process.
//
//	x := gossip.NewExchange(gossip.Config{Self: origin, Epoch: epoch, Durable: true,
//		Transport: gossip.Over(gossip.MeshOptions{Key: key, Tags: tags, Bind: bind, Join: peers})}, ledger)
//	err := x.Open(ctx)
//	...
//	x.Local(runs, false)        // own runs, once they are synced
//	x.Committed(heads, root)    // after each commit, before the outcomes are given
//	x.Applied(heads)            // after each commit
//	x.Durable(heads)            // after each sync
//
// Inside, the Engine is a state machine without goroutine, clock or socket. It
// takes what happened and when, and gives back what is to be done:
//
//	for in := range inputs {
//		switch in := in.(type) {
//		case frame:
//			e.Message(now, in.peer, in.frame) // its runs, or its freeze, verified before
//		case tick:
//			e.Tick(now)
//		...
//		}
//		out := e.Take()
//		// Close streams; give Accept to the ledger, and its answers to
//		// Frozen, Committed, Waited and Outcome; write Send, and report Wrote; carry out
//		// Read and Evidence, and report ReadDone and EvidenceRead; tell whom it
//		// concerns of Acked and OwnHeads.
//		timer.Reset(e.NextTick() - now)
//	}
//
// The Exchange does this around real streams, tests do it in one goroutine
// under one seed. PROTOCOL.md is the specification: frames with their bytes,
// timers with their reasons, bounds.
//
// What the package promises: a run goes to the ledger only after its signature
// was verified; runs of one chain are handed over in order, though the ledger
// may see some twice; what a full queue or a lost stream kept from a peer is
// found and fetched; one slow peer costs the others nothing; nothing that a
// peer sends makes this end do more than close its stream and count it.
//
// What it does not do: it keeps no run that the ledger did not take, holds
// nothing back for its dependencies, and decides nothing about forks; those are
// the ledger's. Runs are not passed on by third nodes yet: that suits about 50
// nodes in one zone, and the frames have room for trees.
package gossip
