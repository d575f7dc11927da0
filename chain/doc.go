// Package chain is what an update is, and how updates link, verify, order,
// merge and roll up. It is pure: no clock, socket or file, and no goroutine that
// outlives a call's work; time, keys and storage are passed in, and what has to be
// done is returned as data. A call of the ledger may read the store several times at once.
//
// Every node writes one chain: a hash-linked sequence of [Update]s, sealed in
// [Run]s by one signature each, that begins with a [Genesis]. A [Ledger] is a
// node's copy of every chain: [Ledger.Append] puts a [Draft] on the own one,
// [Ledger.Accept] takes a run from a peer, and [Ledger.Flush] returns the
// writes that make both durable. An [Archive] is its reading side: the [State]
// of a subject, its history, and the [Feed], whose [Cursor] is good on every
// node.
//
// What it promises:
//
//   - Accepting never depends on what else is here: a run is checked against
//     its own chain, stored, and applied once what it depends on is. Received
//     and applied are two frontiers, and an update that waits delays its own
//     chain alone.
//   - Updates are applied in causal order. Stitched order (by [HLC], origin,
//     seq) extends it, is the same everywhere, and is the order in which deltas
//     are folded: ledgers with equal roots have equal views and histories,
//     byte for byte.
//   - A chain whose key signed two updates of one seq, or an update that breaks
//     a rule, is stopped right before: a [Freeze], which its evidence proves to
//     every other ledger. What was applied beyond is taken back. What a ledger
//     shows follows from what it received and which chains are stopped, in
//     whatever order it heard of these.
//
// It does not sync, send or wait; package node does. FORMAT.md has the bytes
// of chains and of the store; store/FORMAT.md those of the files around that, and
// gossip/PROTOCOL.md those of what nodes say to each other.
package chain
