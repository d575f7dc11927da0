// Package sim is a deterministic simulation of a mesh: the shipping ledger,
// writer logic and gossip engine of many nodes, around a simulated network,
// disks and clocks, in one goroutine under one seed. What the nodes did is
// recorded as a History, which the checkers hold to the invariants C1 to C10 of
// docs/reliability.md. The same seed gives the same trace.
//
// Run runs a seed: a phase with faults and load, then all faults end, and the
// nodes have a bounded time to converge. OptionsOf are the seed's own number of
// nodes, load and kinds of faults; Check judges; Shrink makes a failing run
// small. From the command line:
//
//	go test ./test/sim -run 'TestSeeds$' -v -args -sim.first=1 -sim.seeds=1000
//	go test ./test/sim -run 'TestSeed$' -v -args -sim.seed=7 [-sim.options=...] [-sim.trace]
//	make soak-sim SIMSEEDS=10000
//
// What is the product's own: chain.Ledger and chain.Archive, all of node/core,
// gossip.Engine, the decoding and verifying of every run with real signatures,
// cursors as text. What is simulated: the store (a crash leaves what was synced,
// and of the batches after that some of the first), streams (reliable and in
// order until they break, with a window), who membership takes for alive (late,
// and at times wrong), clocks, and callers that lose answers and try again.
//
// The fault forks breaks what a chain promises, as an unnoticed old copy of a disk
// does: the fork must be proved and frozen everywhere, consumers be told, and the
// node, which its operator restarts, publish again under a new origin, each once.
//
// Some losses are beyond what is promised, and are left out of the seeds' mix: in
// one run only one machine loses what it held; a disk that was set back, or lost
// the end of its log, comes back to a mesh that is there, or to nobody; and a
// clock is set far ahead only where there are others to compare it with.
package sim
