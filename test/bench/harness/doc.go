// Package harness measures systems that bring small updates from any node to
// all nodes. The clock of an update starts before the call that publishes it
// and stops when the last of the nodes, the publisher included, has delivered
// it.
//
// A peer is a [Spec]; [Main] is the command line over a list of them. Every
// run is a process of its own, in a network namespace of its own where the
// system allows that, so that processor time, memory and the bytes on the
// loopback device are of that run alone. The runs of different peers are
// interleaved, so that a ratio compares what was measured within a minute.
package harness
