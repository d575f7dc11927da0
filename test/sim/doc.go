// Package sim is a deterministic simulation of a mesh: the shipping ledger,
// writer logic and gossip engine of many nodes, around a simulated network,
// disks and clocks, in one goroutine under one seed. What the nodes did is
// recorded as a History, which the checkers hold to the invariants C1 to C9 of
// docs/reliability.md. The same seed gives the same trace.
package sim
