// Package core is what a node decides, without a goroutine, clock or socket of
// its own: in what order a batch is applied, committed, shown and told
// ([Writer]), when a chain may be appended to after a start ([Recovery]), whose
// clock is believed ([TimeLimit], [ClockIsOff]), whom the node knows ([Known]),
// who holds what it published ([Acks]), what it has to publish again
// ([Republisher]), which update a reaction is to answer next ([Reaction]) and who
// is late to speak ([Attend]). Package node runs it in its loops around real
// streams and disks; the simulator runs the same code around
// simulated ones.
//
// Nothing here is safe for concurrent use; each type has one owner. Time is
// passed in, and the store is whatever the caller opened.
package core
