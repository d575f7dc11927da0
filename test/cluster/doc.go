// Package cluster tries the built binary as its users run it: real processes,
// published to and polled over HTTP, while everything around them fails.
//
// A few tests have agents on loopback. The others have a mesh: five agents with
// a mesh key, each in a network namespace of its own, on a bridge in another
// one (network). It suffers from one fault after the other: killed, paused and
// restarted processes, partitions and loss by nftables, late, doubled and
// reordered frames by a relay in the test itself, disks that are full, lost or
// put back from a copy, nodes that come late or speak another version. Each
// fault says what it did, and one that did nothing fails.
//
// Meanwhile producers, consumers that go from node to node with one cursor, and
// readers keep books (history). What must never happen is found from these
// alone (checks), and each check is shown books in which it did.
//
// Two agents on loopback are attacked by peers that hold the mesh key and write
// streams of their own, byte by byte (intruder, harms), and are held to bounds
// of memory, log and slowness meanwhile.
//
// Namespaces need root, iproute2 and nftables: make tools. Without, those tests
// say why they are left out. Flags make runs longer: -args -kills 1000,
// -updates 10000, -hold 60s, and -soak 1h for TestSoak (make soak)
// and, for that long, TestHostilePeer.
package cluster
